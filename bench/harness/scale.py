"""What many connections and many nodes cost, and that all of them are served. ringhold only; objects are in memory.py."""

import http.client
import json
import re
import socket
import subprocess
import time

from . import ours as own
from .load import Load
from .memory import answered, settled
from .processes import resident
from .report import CONNECTION, table, verdict

IDLE, BUSY, NODES = 10_000, 2_000, 64
# Nanoseconds to find an owner, milliseconds to rebuild the ring, of 64 nodes.
LOOKUP, REBUILD = 100, 10


class Scale:
    def __init__(self, bench, origin, ours, seconds, say):
        self.bench, self.origin, self.ours, self.seconds, self.say = bench, origin, ours, seconds, say

    def measure(self):
        found = {"idle": self.idle(), "nodes": self.nodes(), "ring": ring()}
        for name, hot in [("busy, hot", "128MiB"), ("busy, relayed", "0")]:
            found[name] = self.busy(hot)
        self.say(f"scale: {found}")
        return found

    def start(self, name, **settings):
        subject = self.ours.ringhold(f"scale-{name}", **settings)
        if wrong := subject.ready(self.origin.url("c/k1", 0), 1024, patience=60):
            raise RuntimeError(f"{subject.name}: {wrong}\n{self.bench.output(subject.name)[-1000:]}")
        return subject

    def idle(self):
        """Bytes a connection, and how many of them were answered before and after they all waited."""
        subject = self.start("idle")
        before, sockets, served = resident(subject.children), [], [0, 0]
        try:
            for _ in range(IDLE):
                sockets.append(socket.create_connection(("127.0.0.1", subject.port), timeout=10))
                served[0] += self.asked(sockets[-1])
            settled()
            cost = (resident(subject.children) - before) / IDLE
            served[1] = sum(map(self.asked, sockets))
        finally:
            for client in sockets:
                client.close()
        self.bench.stop(subject.children)
        return {"cost": cost, "served": min(served)}

    def asked(self, client):
        address = self.origin.address
        try:
            client.sendall(f"GET {self.origin.url('c/k1', 1)} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
            answered(client)
            return 1
        except (OSError, http.client.HTTPException):
            return 0

    def busy(self, hot):
        subject, load = self.start(f"busy-{hot}", hot=hot), Load(self.bench, self.origin, connections=BUSY)
        load.warm(subject.port, "c/k1")
        run = load.measure(subject.port, "c/k1", self.seconds)
        self.bench.stop(subject.children)
        return {"rate": run.rate, "errors": run.errors, "p99": run.p99}

    def nodes(self):
        """A front that spawns them all: the time until every one is up, what they hold, and whether all of it is served."""
        began = time.monotonic()
        nodes = [f'id = "n{number}"\nspawn = true' for number in range(1, NODES + 1)]
        subject = self.start("nodes", hot="0", memory="16MiB", nodes=nodes)
        while (up := self.up(subject)) < NODES and time.monotonic() < began + 60:
            time.sleep(0.05)
        took = time.monotonic() - began
        load = Load(self.bench, self.origin)
        load.warm(subject.port, "c/k1")
        run = load.measure(subject.port, "c/k1", self.seconds)
        held = resident(subject.children)
        self.bench.stop(subject.children)
        return {"up": up, "took": took, "rate": run.rate, "errors": run.errors, "memory": held}

    def up(self, subject):
        connection = http.client.HTTPConnection("127.0.0.1", subject.admin, timeout=10)
        connection.request("GET", "/v1/nodes")
        nodes = json.load(connection.getresponse())["nodes"]
        connection.close()
        return sum(node["up"] for node in nodes)


def ring():
    """Nanoseconds of the micro-benchmarks of a ring of 64 nodes, by their names."""
    words = ["cargo", "bench", "--locked", "--bench", "ring", "--", "xxh3", "--warm-up-time", "0.5", "--measurement-time", "2"]
    told = subprocess.run(words, cwd=own.ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    units = {"ps": 1e-3, "ns": 1, "µs": 1e3, "us": 1e3, "ms": 1e6, "s": 1e9}
    times = re.findall(r"^(\S[^\n]*?)\s+time:\s+\[\S+ \S+ (\S+) (\S+) ", told, re.M)
    return {name: float(number) * units[unit] for name, number, unit in times}


def report(found):
    idle, nodes = found["idle"], found["nodes"]
    rows = [[f"memory of one of {IDLE:,} idle connections", f"{idle['cost'] / 1024:.1f} KiB", "12 KiB",
             verdict(idle["cost"] <= CONNECTION)],
            [f"of {IDLE:,} idle connections answered again", f"{idle['served']:,}", f"{IDLE:,}",
             verdict(idle["served"] == IDLE)]]
    for name in ["busy, hot", "busy, relayed"]:
        busy = found[name]
        rows.append([f"failed requests of {BUSY:,} connections, {name}",
                     f"{busy['errors']} ({busy['rate']:,.0f}/s, p99 {busy['p99'] / 1000:.0f} ms)", "0",
                     verdict(busy["errors"] == 0)])
    rows.append([f"of {NODES} spawned nodes up", f"{nodes['up']} in {nodes['took']:.1f} s, "
                 f"{nodes['memory'] >> 20:,} MiB in all", str(NODES), verdict(nodes["up"] == NODES)])
    rows.append([f"failed relayed hits with {NODES} nodes", f"{nodes['errors']} ({nodes['rate']:,.0f}/s)", "0",
                 verdict(nodes["errors"] == 0)])
    for name, most, unit, scale in [("owner of a position", LOOKUP, "ns", 1), ("owner of a URL", None, "ns", 1),
                                    ("rebuild", REBUILD, "ms", 1e6)]:
        took = next((took for full, took in found["ring"].items() if full.startswith(name)), None)
        if took is not None:
            rows.append([f"{name}, {NODES} nodes", f"{took / scale:.1f} {unit}", f"{most} {unit}" if most else "",
                         verdict(took / scale <= most) if most else ""])
    return table(["what", "measured", "at most, or all", "met"], rows)
