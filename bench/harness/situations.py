"""How long hits take at the same rate when more goes on than hits: while the nodes are full and each new URL has to find
room, and while nodes join and leave. ringhold only."""

import http.client
import itertools
import json
import threading

from .latency import Latency
from .report import LATENCY as COLUMNS, latency_row, table

# One node holds some 5,000 objects of 1 KiB: the 1,000 that are asked for, and no room for what passes.
FULL = "8MiB"
PASSING = 60_000
ONE_NEW_IN = 100
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


def measure(latencies, ours, known, say):
    """By the name of ours and the situation; the rate is that of the hits measured before, where there are some."""
    found, load = {}, latencies.load
    for name, hot in SHAPES.items():
        subject = ours.ringhold(f"{name}-situations", hot=hot, memory=FULL)
        if wrong := subject.ready(load.origin.url("c/k1", 0), 1024):
            raise RuntimeError(f"{subject.name}: {wrong}")
        load.warm(subject.port, "c/k1")
        rate = known[name, "c/k1"].rate if (name, "c/k1") in known else load.measure(subject.port, "c/k1", 2).rate / 2
        # What goes on is what is measured: every run counts.
        run = lambda *more: latencies.steady(subject.port, "c/k1", rate, *more)
        runs = lambda each=run: Latency.of([each() for _ in range(latencies.rounds)], all_count=True)
        found[name, "nothing else"] = runs()
        with Changes(subject.admin) as changing:
            found[name, "nodes join and leave"] = runs()
        load.once(subject.port, "c/k1", PASSING, 60)
        load.warm(subject.port, "c/k1")
        new = itertools.count(load.urls + PASSING + 1, int(rate * latencies.seconds))
        before = load.origin.requests()
        found[name, "the nodes are full, 1 % new URLs"] = runs(lambda: run("--new", ONE_NEW_IN, "--from", next(new)))
        fetched = load.origin.requests() - before
        if fetched < 0.9 * rate * latencies.seconds * latencies.rounds / ONE_NEW_IN:
            raise RuntimeError(f"{subject.name}: only {fetched} new URLs came to the origin")
        load.bench.stop(subject.children)
        for (whose, what), seen in found.items():
            if whose == name:
                say(f"latency, {whose}, {what}: {seen}")
        say(f"latency, {name}: {changing.count} nodes joined and left")
    return found


def report(found):
    return table(["1 KiB hit while", *COLUMNS], [[f"{name}, {what}", *latency_row(run)] for (name, what), run in found.items()])
