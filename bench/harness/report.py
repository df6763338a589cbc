"""The measurements as Markdown."""

from .latency import ENOUGH, KINDS, OTHERS, SECONDS, STILL, ratio
from .throughput import remarks

OBJECT, CONNECTION, TRANSFER, P999 = 1.6 * 1024, 12 * 1024, 4 << 20, 2000
CACHES = ["squid", "traffic-server", "nginx", "haproxy", "varnish"]
CLUSTERS = ["haproxy+3varnish", "squid-carp+3squid", "nginx-hash+3nginx"]

# Workload, what of ours, next to the best of whom, at least how many times as fast.
TARGETS = [
    ("k1", "ringhold", CACHES, "the fastest cache", 1.2),
    ("k1", "ringhold", ["bare-server"], "a bare hyper server", 0.85),
    ("k10", "ringhold", CACHES, "the fastest cache", 1.2),
    ("k100", "ringhold", CACHES, "the fastest cache", 1.2),
    ("k1", "ringhold-relay", CLUSTERS, "the fastest front plus nodes", 2.0),
    ("k100", "ringhold-relay", CLUSTERS, "the fastest front plus nodes", 1.5),
    ("k1", "ringhold-relay", ["bare-relay"], "a bare hyper relay", None),
    ("k1", "ringhold-log", ["ringhold"], "itself without the access log", 0.85),
    ("nostore", "ringhold-log", ["ringhold"], "itself without the access log", 0.85),
    ("nostore", "ringhold", CLUSTERS, "the fastest front plus nodes", 1.5),
    ("nostore", "ringhold", ["squid", "nginx", "varnish"], "the fastest of Squid, nginx and Varnish", 1.0),
]


def table(head, rows):
    rows = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def verdict(met):
    return "yes" if met else "**no**"


def machine(lines, subjects, left_out, noise):
    versions = {name: subject.version for name, subject in subjects.items() if subject.version}
    rows = lines + [("peers", "; ".join(f"{name} {version}" for name, version in versions.items()) or "none")]
    rows += [("left out", "; ".join(f"{name}: {why}" for name, why in left_out.items()))] if left_out else []
    rows += [("busy while nothing was asked", "; ".join(
        f"{when} {' and '.join(f'{share:.0%}' for share in busy)} of the two cores" for when, busy in noise.items()))]
    return "".join(f"- {name}: {value}\n" for name, value in rows)


def throughput(cells, names, workloads, rounds, seconds):
    seen = set()

    def shown(name, workload):
        cell = cells.get((name, workload.name))
        return cell.shown(workload.cached, seen) if cell else ""
    rows = [[name] + [shown(name, workload) for workload in workloads] for name in names]
    stolen = max((run.stolen for cell in cells.values() for run in cell.runs), default=0)
    text = (f"Requests a second, 64 connections, 1,000 URLs; {f'median of {rounds} rounds' if rounds > 1 else 'one round'} "
            f"of {seconds} s{', ± half the range' if rounds > 1 else ''}. "
            f"The host took at most {stolen:.1%} of a run's processor time for others.\n\n")
    text += table([""] + [workload.title for workload in workloads], rows)
    text += ("\nAsked by eager (bench/limits), which reads and checks heads and has the kernel count bodies and throw them "
             "away: wrk copies all that it reads, 8 KiB at a time, and would be the limit of the fastest.\n")
    return text + remarks(seen)


def targets(cells, workloads):
    titles = {workload.name: workload.title for workload in workloads}
    rows = []
    for workload, ours, rivals, title, wanted in TARGETS:
        rates = {name: cells[name, workload].rate for name in rivals if (name, workload) in cells}
        if workload not in titles or (ours, workload) not in cells or not rates:
            continue
        best = max(rates, key=rates.get)
        ratio = cells[ours, workload].rate / max(rates[best], 1e-9)
        rows.append([f"{titles[workload]}, {ours}", f"{title} ({best})" if len(rivals) > 1 else title, f"{ratio:.2f}",
                     f"{wanted:.2f}" if wanted else "", verdict(ratio >= wanted) if wanted else ""])
    return table(["what", "next to", "ratio", "wanted", "met"], rows) if rows else ""


def memory(objects, connections, transfers):
    text = ""
    if objects:
        rows = [[name, f"{found.bytes / 1024:.2f} KiB", f"{found.held:.1%}",
                 verdict(found.bytes <= OBJECT and found.held >= 0.99) if name == "node" else ""]
                for name, found in objects.items()]
        count = next(iter(objects.values())).objects
        text += table([f"{count:,} objects of 1 KiB", "memory an object", "held", "at most 1.6 KiB"], rows) + "\n"
    names = dict.fromkeys([*connections, *transfers])
    if names:
        rows = []
        for name in names:
            each, grown, ours = connections.get(name), transfers.get(name), name == "ringhold"
            broken = name in transfers and grown is None
            rows.append([name, f"{each / 1024:.1f} KiB" if each is not None else "",
                         verdict(each <= CONNECTION) if ours and each is not None else "",
                         f"{grown / (1 << 20):.1f} MiB" if grown is not None else "broken off" if broken else "",
                         verdict(grown <= TRANSFER) if ours and grown is not None else ""])
        text += table(["", "an idle connection", "at most 12 KiB", "a transfer of 1 GiB, over idle", "at most 4 MiB"], rows)
        text += "\nMemory is that of all the server's processes (PSS); nginx keeps bodies in files, which do not count here.\n"
    return text


LATENCY = ["rate", "p50", "p99", "p99.9", "max", "p99.9 of all", "quiet"]


def latency_row(run):
    bad = f" ({run.errors} errors, {run.unanswered} unanswered)" if run.errors or run.unanswered else ""
    return [f"{run.rate:,.0f}{bad}", *(f"{value:,.0f}" for value in (run.p50, run.p99, run.p999, run.worst, run.p999_of_all)),
            f"{run.quiet:.0%}"]


def best_peer(found):
    """The peer with the least p99.9 of hits, if there is any that was measured while the machine was quiet."""
    rivals = {name: run.p999 for (name, kind), run in found.items()
              if kind == "c/k1" and name in CACHES + CLUSTERS and run.quiet > ENOUGH}
    return min(rivals, key=rivals.get) if rivals else None


def latency(found, names, level):
    text = (f"Microseconds from when a request was due, at a fixed rate of half of what each can do; all in turn, in many "
            f"rounds of {SECONDS} s. The machine was watched: a slot of 25 ms counts when in it, in the one before and in the one "
            f"after it no core stood still for more than {STILL} microseconds and no more than {OTHERS} went to processes other "
            f"than the servers and the load; what share of the time that is stands in the last column. Medians of the rounds, "
            f"of what was quiet in them; beside them the p99.9 of all the time, in which what is rare shows too. In brackets "
            f"what 95 % of a ratio lies between by the differences from round to round (bootstrap); where that has 1 in it, one "
            f"above 1 is called a tie.\n\n")
    for title, kind in KINDS:
        rows = [[name, *latency_row(found[name, kind])] for name in names if (name, kind) in found]
        if rows:
            text += table([title, *LATENCY], rows) + "\n"
    if level:
        rows = [[name, *latency_row(run)] for name, run in level.items()]
        text += table(["1 KiB hit at the same rate", *LATENCY], rows) + "\n"
    return text + latency_targets(found, level)


def compared(ours, other):
    """The ratio, what it lies between, and whether that is no worse: a difference that the rounds do not show is none."""
    told, least, most = ratio(ours.rounds, other.rounds)
    return f"{told:.2f} of it ({least:.2f} to {most:.2f})", "yes" if told <= 1 else "a tie" if least <= 1 else verdict(False)


def latency_targets(found, level):
    ours = found.get(("ringhold", "c/k1"))
    if not ours:
        return ""
    rows = [["p99.9 of hits below 2 ms", f"{ours.p999 / 1000:.2f} ms", verdict(ours.p999 < P999)]]
    if best := best_peer(found):
        rows.append([f"p99.9 no worse than the best peer's ({best})", *compared(ours, found[best, "c/k1"])])
        if level:
            rows.append(["the same, both at that peer's rate", *compared(level["ringhold"], level[best])])
    if limit := found.get(("bare-server", "c/k1")):
        rows.append(["p99.9 of the bare hyper server", f"{limit.p999 / 1000:.2f} ms", ""])
    return table(["what", "measured", "met"], rows)
