"""Hit ratios on one sequence of requests with the same memory: popularity by Zipf's law, sizes as on the web, and a cache
with room for a tenth of all bytes. What did not come to the origin was a hit."""

import dataclasses
import http.client
import os
import shutil
import signal
import subprocess
import threading
import time

from .peers import PEERS, Peers, missing
from .processes import family, resident
from .report import table, verdict

# What is kept in files is at most this share over what was allowed.
CLOSE = 1.03
# Varnish takes more memory than it is told: it is told less until it takes what ringhold does, tried so often at most.
HELD, AGAIN = "varnish, held to it", 3
# Half of the requests warm the cache; there are half as many URLs as requests.
REQUESTS = 2_000_000
SHARE, CONNECTIONS, LARGEST = 10, 32, 6
PATIENCE = 600
# Of ringhold's memory the hot copy gets what it gets by default: 128 MiB to three nodes of 256.
HOT, NODE = 1 / 7, 2 / 7
POLICIES = ["tiny_lfu", "lru"]
PEERS_OF_IT, RIVALS = ["squid", "nginx", "varnish"], ["nginx", "varnish", HELD]


@dataclasses.dataclass
class Hits:
    objects: float  # share of the requests that were answered without the origin
    bytes: float
    rate: float
    errors: int
    memory: int  # bytes of its processes at the end
    in_files: int  # and, on average, of files in memory


class Web:
    """The origin of the set, and what came to it."""

    def __init__(self, bench, program, objects, *more):
        self.port = bench.port()
        self.address = f"127.0.0.1:{self.port}"
        words = [program, "--listen", self.address, "--objects", str(objects), *more]
        self.child = bench.start("web-origin", words, core=bench.load_core)

    def status(self):
        """Requests and bytes so far, and the bytes of the set."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request("GET", "/status")
        numbers = connection.getresponse().read().split()
        connection.close()
        return list(map(int, numbers))

    def size_of_first(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request("HEAD", "/z/1")
        size = int(connection.getresponse().headers["Content-Length"])
        connection.close()
        return size

    def wait(self):
        """The first status, once it answers."""
        for _ in range(100):
            try:
                return self.status()
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("web-origin does not answer")


def replay(bench, program, web, subject, patience, **more):
    """Requests answered, bytes of their bodies, errors, seconds, and microseconds p50 and p99; and what it complains of."""
    words = [program, "--proxy", f"127.0.0.1:{subject.port}", "--origin", web.address, "--seconds", patience]
    words += [word for name, value in more.items() for word in (f"--{name}", value)]
    told = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=patience + 60,
                          preexec_fn=lambda: os.sched_setaffinity(0, {bench.load_core}))
    if told.returncode:
        raise RuntimeError(f"replay: {told.stderr.strip()}")
    return list(map(float, told.stdout.split())), told.stderr.strip()


class HitRatio:
    """`requests` in all; `only` names what is measured."""

    def __init__(self, bench, programs, ours, requests, only, say):
        self.bench, self.programs, self.ours, self.say = bench, programs, ours, say
        self.half, self.objects = requests // 2, requests // 2
        self.only = only

    def measure(self):
        """By name; ringhold once for each policy."""
        web = Web(self.bench, self.programs["web-origin"], self.objects)
        self.set = web.wait()[2]
        self.memory = self.set // SHARE >> 20
        self.say(f"hit ratio: {self.objects:,} URLs of {self.set / (1 << 30):.2f} GiB, a cache of {self.memory:,} MiB")
        starts = self.starts(web)
        found = {name: self.fairly(web, start) for name, start in starts.items()}
        ours = [hits.memory for name, hits in found.items() if name.startswith("ringhold")]
        if "varnish" in found and ours:
            found[HELD] = self.held(web, starts["varnish"], found["varnish"], max(ours))
        self.bench.stop([web.child])
        return found

    def held(self, web, start, hits, taken):
        """`hits`, or what comes of as much less, or more again, as it takes to need what `taken` says."""
        memory = self.memory
        for _ in range(AGAIN):
            if taken / CLOSE <= hits.memory <= taken * CLOSE:
                break
            memory = int(memory * taken / hits.memory)
            hits = self.alone(web, start(memory))
        return hits

    def starts(self, web):
        """How each is started with so many MiB, by its name in the table."""
        starts = {}
        for name in self.only:
            if name == "ringhold":
                starts.update({f"ringhold, {policy}": self.ringhold(policy) for policy in POLICIES})
            elif name in PEERS_OF_IT and not missing(name):
                starts[name] = self.peer(web, name)
        return starts

    def ringhold(self, policy):
        share = lambda memory, part: f"{int(memory * part * 1024)}KiB"
        return lambda memory: self.ours.ringhold(
            f"ringhold-{policy}", hot=share(memory, HOT), memory=share(memory, NODE), eviction=policy)

    def peer(self, web, name):
        return lambda memory: PEERS[name][1](
            Peers(self.bench, web, memory, files=memory, largest=LARGEST, shared=True), f"web-{name}")

    def fairly(self, web, start):
        """Once more with less for who kept more in files than it was told."""
        hits = self.alone(web, start(self.memory))
        if hits.in_files > (self.memory << 20) * CLOSE:
            hits = self.alone(web, start(int(self.memory * (self.memory << 20) / hits.in_files)))
        return hits

    def alone(self, web, subject):
        wrong = subject.ready(f"http://{web.address}/z/1", web.size_of_first())
        if wrong:
            raise RuntimeError(f"{subject.name}: {wrong}\n{self.bench.output(subject.name)[-1000:]}")
        with Files(self.bench.memory, subject) as files:
            self.replay(web, subject, 0)
            before = web.status()
            files.seen.clear()
            answered, size, errors, seconds = self.replay(web, subject, self.half)
            reached = [late - early for early, late in zip(before, web.status())]
        hits = Hits(1 - reached[0] / max(answered, 1), 1 - reached[1] / max(size, 1), answered / seconds, int(errors),
                    resident(subject.children), files.mean())
        self.bench.stop(subject.children)
        # What it kept in files must not be there when it starts again.
        shutil.rmtree(os.path.join(self.bench.memory, f"{subject.name}-store"), ignore_errors=True)
        self.say(f"hit ratio, {subject.name}: objects {hits.objects:.2%}, bytes {hits.bytes:.2%}, {hits.rate:,.0f}/s, "
                 f"{hits.errors} errors, {hits.memory >> 20:,} MiB, {hits.in_files >> 20:,} MiB in files")
        return hits

    def replay(self, web, subject, skip):
        told, complaint = replay(self.bench, self.programs["replay"], web, subject, PATIENCE, objects=self.objects, skip=skip,
                                 requests=self.half, connections=CONNECTIONS)
        if complaint:
            self.say(f"{subject.name}: {complaint}")
        return told[:4]

    def report(self, found):
        rows = [[name, f"{hits.objects:.2%}", f"{hits.bytes:.2%}", f"{hits.rate:,.0f}", f"{hits.memory + hits.in_files >> 20:,} MiB"]
                for name, hits in found.items()]
        text = (f"{self.half:,} requests after {self.half:,} to warm, for {self.objects:,} URLs by Zipf(0.9), sizes from 200 B "
                f"to 5 MiB (log-normal, {self.set / (1 << 30):.2f} GiB in all); every cache may hold {self.memory:,} MiB, "
                f"ringhold's hot copy and three nodes together.\n\n")
        text += table(["", "objects", "bytes", "requests/s", "memory"], rows)
        if HELD in found:
            text += "\nVarnish takes more memory than it is told; held to what ringhold takes, it is told so much less.\n"
        failed = [f"{name}: {hits.errors}" for name, hits in found.items() if hits.errors]
        text += f"\nRequests that failed: {', '.join(failed)}.\n" if failed else ""
        return text + "\n" + targets(found)


def targets(found):
    rows = []
    for policy in POLICIES:
        ours = found.get(f"ringhold, {policy}")
        for rival in RIVALS if ours else []:
            for what in ["objects", "bytes"] if rival in found else []:
                own, other = getattr(ours, what), getattr(found[rival], what)
                more = found[rival].memory / ours.memory
                met = verdict(own >= other) + (f", of {more:.2f} times the memory" if more > CLOSE else "")
                rows.append([f"{policy}: {what}, at least those of {rival}", f"{own:.2%} to {other:.2%}", met])
    return table(["hit ratio", "measured", "met"], rows) if rows else ""


class Files:
    """Bytes that files in memory take beyond those at the start: where nginx keeps bodies.

    Its cache manager looks at `max_size` when it starts, and then every ten seconds, in which several times as much may be
    written. Ended again and again, it is started anew and holds to what was said."""

    def __init__(self, folder, subject):
        self.folder, self.subject, self.seen, self.done = folder, subject, [], threading.Event()
        self.before, self.watcher = self.used(), threading.Thread(target=self.watch)

    def used(self):
        found = os.statvfs(self.folder)
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    def watch(self):
        while not self.done.wait(0.25):
            self.seen.append(self.used() - self.before)
            for pid in managers(self.subject):
                os.kill(pid, signal.SIGTERM)

    def mean(self):
        return max(0, sum(self.seen) // max(len(self.seen), 1))

    def __enter__(self):
        self.watcher.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.watcher.join()


def managers(subject):
    """nginx's cache manager, as long as it runs."""
    for child in subject.children:
        for pid in family(child.pid)[1:]:
            try:
                with open(f"/proc/{pid}/cmdline") as file:
                    if file.read().startswith("nginx: cache manager process"):
                        yield pid
            except OSError:
                continue
