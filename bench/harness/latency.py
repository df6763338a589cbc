"""How long an answer takes at half of what each can do, counted from when it was due.

A host that gives its guest's cores to others for some milliseconds adds them to whatever is measured then. So the machine is
watched, and what was measured while it stood still is measured again."""

import dataclasses
import os
import subprocess

from .machine import Watch

KINDS = [("1 KiB hit", "c/k1"), ("1 KiB no-store", "n/k1")]
# A machine that stands still for longer, in microseconds, is not idle otherwise.
STILL = 500
# A round is short, so that many are undisturbed, and is tried so often at most.
SECONDS, TRIES = 2, 5
# Of hits there are so many times as many rounds.
MORE = 3


@dataclasses.dataclass
class Latency:
    rate: float
    p50: float  # microseconds, as all below
    p99: float
    p999: float
    worst: float
    errors: int
    unanswered: int
    still: float = 0  # how long the machine itself stood still, at most
    # Of several rounds: the least p99.9, how many were quiet, and how many there were.
    least: float = 0
    quiet: int = 0
    tried: int = 0


def steady(program, load, port, kind, rate, seconds, *more):
    words = [program, "--proxy", f"127.0.0.1:{port}", "--origin", load.origin.address, "--kind", kind,
             "--urls", load.urls, "--connections", load.connections, "--rate", int(rate), "--seconds", seconds, *more]
    pin = lambda: os.sched_setaffinity(0, {load.bench.load_core})
    told = subprocess.run(list(map(str, words)), capture_output=True, text=True, preexec_fn=pin, timeout=seconds + 60)
    if told.returncode:
        raise RuntimeError(f"steady: {told.stderr.strip()}")
    numbers = told.stdout.split()
    return Latency(*map(float, numbers[:5]), *map(int, numbers[5:]))


class Latencies:
    """`seconds` at most for a round; `program` is the load at a fixed rate, `watch` looks at the machine."""

    def __init__(self, program, watch, load, rounds, seconds):
        self.program, self.watch, self.load = program, watch, load
        self.rounds, self.seconds = rounds, min(seconds, SECONDS)

    def round(self, port, kind, rate, *more):
        """A quiet one, or else the one in which the machine stood still for the shortest time."""
        tried = []
        while len(tried) < TRIES and not any(run.still <= STILL for run in tried):
            with Watch(self.load.bench, self.watch) as watch:
                run = steady(self.program, self.load, port, kind, rate, self.seconds, *more)
            tried.append(dataclasses.replace(run, still=watch.longest))
        best = min(tried, key=lambda run: run.still)
        return dataclasses.replace(best, quiet=int(best.still <= STILL), tried=len(tried))

    def run(self, port, kind, rate, *more):
        return middle([self.round(port, kind, rate, *more) for _ in range(self.rounds)])

    def measure(self, subjects, cells, say):
        """By subject's name and kind, each in turn, then all again; the rates come from `cells` where they are there."""
        runs, rates = {}, {}
        for title, kind in KINDS:
            those = [subject for subject in subjects if subject.shape != "limit" or kind.startswith("c/")]
            for _ in range(self.rounds * (MORE if kind.startswith("c/") else 1)):
                for subject in those:
                    self.load.warm(subject.port, kind)
                    which = subject.name, kind
                    rates[which] = rates.get(which) or self.half(subject, kind, cells)
                    runs.setdefault(which, []).append(self.round(subject.port, kind, rates[which]))
            for subject in those:
                say(f"latency, {title}, {subject.name}: {told(middle(runs[subject.name, kind]))}")
        return {which: middle(some) for which, some in runs.items()}

    def half(self, subject, kind, cells):
        cell = cells.get((subject.name, {"c/k1": "k1", "n/k1": "nostore"}[kind]))
        return (cell.rate if cell else self.load.measure(subject.port, kind, 2).rate) / 2


def middle(runs):
    """The one with the median p99.9 of the quiet ones, or of all where none was quiet."""
    some = sorted([run for run in runs if run.quiet] or runs, key=lambda run: run.p999)
    return dataclasses.replace(some[(len(some) - 1) // 2], least=some[0].p999, quiet=sum(run.quiet for run in runs),
                               tried=sum(run.tried for run in runs))


def told(run):
    return (f"at {run.rate:,.0f}/s p50 {run.p50:.0f}, p99 {run.p99:.0f}, p99.9 {run.p999:.0f} microseconds (least "
            f"{run.least:.0f}), {run.errors} errors, {run.unanswered} unanswered; {run.quiet} quiet rounds of {run.tried}")
