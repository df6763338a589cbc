"""How long hits take at the same rate when more goes on than hits: while the nodes are full and each new URL has to find
room, and while nodes join and leave. ringhold only."""

import http.client
import json
import statistics
import threading

from .latency import steady
from .report import table

# One node holds some 5,000 objects of 1 KiB: the 1,000 that are asked for, and no room for what passes.
FULL = "8MiB"
PASSING = 60_000
NEW = ["--new", 100]
# Seconds that a node that joined stays, and that pass before the next one joins.
STAYS = 0.5
SHAPES = {"ringhold": "128MiB", "ringhold-relay": "0"}


class Changes:
    """Adds a node by the admin API, removes it, adds the next, for as long as the block lasts."""

    def __init__(self, admin):
        self.admin, self.done, self.count = admin, threading.Event(), 0
        self.worker = threading.Thread(target=self.change)

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=30)
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        status = connection.getresponse().status
        connection.close()
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status}")

    def change(self):
        while not self.done.wait(STAYS):
            name = f"m{self.count}"
            self.ask("POST", "/v1/nodes", json.dumps({"id": name, "spawn": True}))
            self.done.wait(STAYS)
            self.ask("DELETE", f"/v1/nodes/{name}?drain=1s")
            self.count += 1

    def __enter__(self):
        self.worker.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.worker.join()


def median(runs):
    middle = statistics.median_low(run.p999 for run in runs)
    return next(run for run in runs if run.p999 == middle)


def measure(program, load, ours, known, rounds, seconds, say):
    """By the name of ours and the situation; the rate is that of the hits measured before, where there are some."""
    found = {}
    for name, hot in SHAPES.items():
        subject = ours.ringhold(f"{name}-situations", hot=hot, memory=FULL)
        if wrong := subject.ready(load.origin.url("c/k1", 0), 1024):
            raise RuntimeError(f"{subject.name}: {wrong}")
        load.warm(subject.port, "c/k1")
        rate = known[name, "c/k1"].rate if (name, "c/k1") in known else load.measure(subject.port, "c/k1", 2).rate / 2
        run = lambda *more: steady(program, load, subject.port, "c/k1", rate, seconds, *more)
        found[name, "nothing else"] = median([run() for _ in range(rounds)])
        with Changes(subject.admin) as changing:
            found[name, "nodes join and leave"] = median([run() for _ in range(rounds)])
        load.once(subject.port, "c/k1", PASSING, 60)
        load.warm(subject.port, "c/k1")
        found[name, "the nodes are full, 1 % new URLs"] = median([run(*NEW) for _ in range(rounds)])
        load.bench.stop(subject.children)
        for (whose, what), told in found.items():
            if whose == name:
                say(f"latency, {whose}, {what}: at {told.rate:,.0f}/s p50 {told.p50:.0f}, p99 {told.p99:.0f}, p99.9 "
                    f"{told.p999:.0f} microseconds, {told.errors} errors, {told.unanswered} unanswered")
        say(f"latency, {name}: {changing.count} nodes joined and left")
    return found


def report(found):
    rows = []
    for (name, what), run in found.items():
        bad = f" ({run.errors} errors, {run.unanswered} unanswered)" if run.errors or run.unanswered else ""
        rows.append([f"{name}, {what}", f"{run.rate:,.0f}{bad}"] +
                    [f"{value:,.0f}" for value in (run.p50, run.p99, run.p999, run.worst)])
    return table(["1 KiB hit while", "rate", "p50", "p99", "p99.9", "max"], rows)
