"""How long an answer takes at half of what each can do, counted from when it was due.

A host that gives its guest's cores to others for some milliseconds adds them to whatever is measured then. So the machine is
watched, and what was measured while it stood still is told apart.
"""

import dataclasses
import os
import statistics
import subprocess

from .machine import Watch

KINDS = [("1 KiB hit", "c/k1"), ("1 KiB no-store", "n/k1")]
# A machine that stands still for longer, in microseconds, is not idle otherwise.
STILL = 500
# A round is short, so that many are undisturbed, and is tried so often at most.
SECONDS, TRIES = 1, 5
# Of hits there are so many times as many rounds.
MORE = 2


@dataclasses.dataclass
class Run:
    rate: float
    errors: int
    unanswered: int
    counts: dict  # how many took so many nanoseconds
    still: int | None = None  # for how many microseconds the machine stood still; None: not known

    @property
    def quiet(self):
        return self.still is not None and self.still <= STILL


@dataclasses.dataclass
class Latency:
    """The medians of all quiet runs of one, or of all where none was quiet."""
    rate: float
    p50: float  # microseconds, as all below
    p99: float
    p999: float
    worst: float
    p999_of_all: float  # of all runs taken together, those in which the machine stood still too
    errors: int  # of all runs
    unanswered: int
    quiet: int  # runs
    tried: int

    @classmethod
    def of(cls, runs, all_count=False):
        counted = not all_count and [run for run in runs if run.quiet] or runs
        median = lambda share: statistics.median(quantiles([run])(share) for run in counted)
        return cls(statistics.median(run.rate for run in counted), median(0.5), median(0.99), median(0.999), median(1),
                   quantiles(runs)(0.999), sum(run.errors for run in runs),
                   sum(run.unanswered for run in runs), sum(run.quiet for run in runs), len(runs))

    def __str__(self):
        return (f"at {self.rate:,.0f}/s p50 {self.p50:.0f}, p99 {self.p99:.0f}, p99.9 {self.p999:.0f} microseconds (of all "
                f"{self.p999_of_all:.0f}), {self.errors} errors, {self.unanswered} unanswered; {self.quiet} quiet rounds of "
                f"{self.tried}")


def quantiles(runs):
    """Of a share: the microseconds that so many of all answers took at most."""
    together = {}
    for run in runs:
        for nanoseconds, count in run.counts.items():
            together[nanoseconds] = together.get(nanoseconds, 0) + count
    total = sum(together.values())

    def quantile(share):
        seen = 0
        for nanoseconds in sorted(together):
            seen += together[nanoseconds]
            if seen >= share * total:
                return nanoseconds / 1000
        return float("inf")  # nothing was answered
    return quantile


class Latencies:
    """`program` is the load at a fixed rate, `watch` looks at the machine; no round is longer than `SECONDS`."""

    def __init__(self, program, watch, load, rounds, seconds):
        self.program, self.watch, self.load = program, watch, load
        self.rounds, self.seconds = rounds, min(seconds, SECONDS)

    def steady(self, port, kind, rate, *more):
        load = self.load
        words = [self.program, "--proxy", f"127.0.0.1:{port}", "--origin", load.origin.address, "--kind", kind, "--urls",
                 load.urls, "--connections", load.connections, "--rate", int(rate), "--seconds", self.seconds, *more]
        pin = lambda: os.sched_setaffinity(0, {load.bench.load_core})
        with Watch(load.bench, self.watch) as watch:
            told = subprocess.run(list(map(str, words)), capture_output=True, text=True, preexec_fn=pin,
                                  timeout=self.seconds + 60)
        if told.returncode:
            raise RuntimeError(f"steady: {told.stderr.strip()}")
        numbers, counts = told.stdout.splitlines()
        rate, errors, unanswered = numbers.split()
        counts = {int(nanoseconds): int(count) for nanoseconds, count in (pair.split(":") for pair in counts.split())}
        return Run(float(rate), int(errors), int(unanswered), counts, watch.longest)

    def until_quiet(self, port, kind, rate):
        """One run in which the machine did not stand still, and those before it."""
        runs = []
        while len(runs) < TRIES:
            runs.append(self.steady(port, kind, rate))
            if runs[-1].quiet or runs[-1].still is None:
                break
        return runs

    def measure(self, subjects, cells, say):
        """By subject's name and kind; the rates come from `cells` where they are there."""
        found = {}
        for title, kind in KINDS:
            those = [subject for subject in subjects if subject.shape != "limit" or kind.startswith("c/")]
            rates = {subject.name: self.half(subject, kind, cells) for subject in those}
            for name, told in self.in_turn(title, kind, those, rates, say).items():
                found[name, kind] = told
        return found

    def at_the_same_rate(self, subjects, rate, say):
        """Hits, by subject's name: what waits for a core that stood still is more, the higher the rate."""
        rates = {subject.name: rate for subject in subjects}
        return self.in_turn(f"{KINDS[0][0]} at the same rate", KINDS[0][1], subjects, rates, say)

    def in_turn(self, title, kind, subjects, rates, say):
        """Each once, then all again; by subject's name."""
        runs = {subject.name: [] for subject in subjects}
        for _ in range(self.rounds * (MORE if kind.startswith("c/") else 1)):
            for subject in subjects:
                self.load.warm(subject.port, kind)
                runs[subject.name] += self.until_quiet(subject.port, kind, rates[subject.name])
        found = {name: Latency.of(some) for name, some in runs.items()}
        for name, told in found.items():
            say(f"latency, {title}, {name}: {told}")
        return found

    def half(self, subject, kind, cells):
        if cell := cells.get((subject.name, {"c/k1": "k1", "n/k1": "nostore"}[kind])):
            return cell.rate / 2
        self.load.warm(subject.port, kind)
        return self.load.measure(subject.port, kind, 2).rate / 2
