"""The load, on its core, and what the run was like: who was busy, and what reached the origin."""

import dataclasses
import os
import re
import subprocess
import time

SCRIPT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "get.lua")


@dataclasses.dataclass
class Run:
    rate: float
    p50: float  # microseconds
    p99: float
    errors: int
    reached: float  # share of the requests that came to the origin
    server_busy: float
    load_busy: float
    stolen: float  # share of both cores' time that the host took


QUIET_SECONDS = 2


def ticks(core):
    """Busy, idle and stolen time of a core so far."""
    with open("/proc/stat") as file:
        numbers = next(line.split()[1:] for line in file if line.startswith(f"cpu{core} "))
    user, nice, system, idle, wait, irq, soft, steal = map(int, numbers[:8])
    return user + nice + system + irq + soft, idle + wait, steal


def shares(before, after):
    """Of a core's time: busy and stolen."""
    busy, idle, stolen = (late - early for early, late in zip(before, after))
    total = max(busy + idle + stolen, 1)
    return busy / total, stolen / total


class Load:
    """`eager` is the path of that program, see bench/limits: wrk reads 8 KiB at a time and copies all of it, so that it would
    be measured instead of the fastest servers. Without, wrk asks."""

    def __init__(self, bench, origin, eager=None, connections=64, urls=1000):
        self.bench, self.origin, self.eager, self.connections, self.urls = bench, origin, eager, connections, urls

    def run(self, words, seconds, env=None):
        """The numbers that it says."""
        told = subprocess.run(words, env={**os.environ, **(env or {})}, capture_output=True, text=True,
                              timeout=seconds + 60,
                              preexec_fn=lambda: os.sched_setaffinity(0, {self.bench.load_core}))
        found = re.search(r"^(?:RESULT|ASKED) (.*)", told.stdout, re.M)
        if not found:
            raise RuntimeError(f"{words[0]}: {told.stderr.strip() or told.stdout.strip()}")
        return list(map(int, found[1].split()))

    def wrk(self, port, kind, seconds, order, urls=None):
        """What it says, run for that long at most."""
        env = {"ORIGIN": self.origin.address, "KIND": kind, "N": str(urls or self.urls), "ORDER": order,
               "CONNECTIONS": str(self.connections)}
        return self.run(["wrk", "-t1", f"-c{self.connections}", f"-d{seconds}s", "--timeout", "10s", "-s", SCRIPT,
                         f"http://127.0.0.1:{port}/"], seconds, env)

    def eagerly(self, port, kind, seconds):
        """The same, in the same words, by our own program."""
        return self.run([self.eager, "--proxy", f"127.0.0.1:{port}", "--origin", self.origin.address, "--kind", kind,
                         "--urls", str(self.urls), "--connections", str(self.connections), "--seconds", str(seconds)],
                        seconds)

    def random(self, port, kind, seconds):
        """Requests, seconds, errors, p50, p99."""
        told = self.eagerly(port, kind, seconds) if self.eager else self.wrk(port, kind, seconds, "random")
        requests, duration, _, errors, p50, p99 = told
        return requests, duration / 1e6, errors, p50, p99

    def once(self, port, kind, urls=None, patience=10):
        """Asks for each URL, and returns how many requests that were."""
        return self.wrk(port, kind, patience, "once", urls)[0]

    def warm(self, port, kind):
        """Every URL twice where it can be stored, then as it will be asked for."""
        if kind.startswith("c/"):
            for _ in range(2):
                self.once(port, kind)
        self.random(port, kind, 1)

    def measure(self, port, kind, seconds):
        return self.watched(lambda: self.random(port, kind, seconds))

    def watched(self, ask):
        """What `ask` says (requests, seconds, errors, p50, p99), and what the machine and the origin did meanwhile."""
        cores = self.bench.server_core, self.bench.load_core
        reached, before = self.origin.requests(), [ticks(core) for core in cores]
        requests, took, errors, p50, p99 = ask()
        after = [ticks(core) for core in cores]
        reached = self.origin.requests() - reached - 1
        (server, stolen), (load, stolen_too) = map(shares, before, after)
        return Run(requests / took, p50, p99, errors, max(reached, 0) / max(requests, 1), server, load,
                   (stolen + stolen_too) / 2)

    def noise(self):
        """How busy the two cores are while nothing is asked."""
        cores = self.bench.server_core, self.bench.load_core
        before = [ticks(core) for core in cores]
        time.sleep(QUIET_SECONDS)
        return [shares(early, ticks(core))[0] for early, core in zip(before, cores)]
