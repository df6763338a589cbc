"""How long an answer takes at half of what each can do, counted from when it was due.

A host that gives its guest's cores to others for some milliseconds, and whatever else runs on the machine, add theirs to
what is measured then. So the machine is watched, and the slots of 25 ms in which it was not idle otherwise are told apart.
"""

import dataclasses
import os
import statistics
import subprocess
from random import Random

from .machine import Watch

KINDS = [("1 KiB hit", "c/k1"), ("1 KiB no-store", "n/k1")]
# In a quiet slot no core stood still for longer, nor did processes of others run for longer; microseconds.
STILL, OTHERS = 60, 60
# Of a round: its first slots, in which connections are made, do not count; and it is quiet where this share of it was.
FIRST, ENOUGH = 2, 0.2
SECONDS = 1
# Of hits there are so many times as many rounds.
MORE = 5


@dataclasses.dataclass
class Run:
    rate: float
    errors: int
    unanswered: int
    slots: dict  # of a slot of time: how many took so many nanoseconds
    watched: dict  # of a slot: the disturbance; empty: not known

    def counted(self):
        return sorted(self.slots)[FIRST:-1]

    def quiet(self):
        """What was answered in a slot can have waited for what was in the one before; what others did is found a slot later."""
        idle = lambda slot: slot in self.watched and self.watched[slot].stood <= STILL and self.watched[slot].others <= OTHERS
        return [slot for slot in self.counted() if all(map(idle, (slot - 1, slot, slot + 1)))]

    def is_quiet(self):
        return len(self.quiet()) > ENOUGH * len(self.counted())


@dataclasses.dataclass
class Latency:
    """The medians of the rounds, of the quiet slots in them; or of all slots where no round was quiet."""
    rate: float
    p50: float  # microseconds, as all below
    p99: float
    p999: float
    worst: float
    p999_of_all: float  # of all slots of all runs taken together
    errors: int  # of all runs
    unanswered: int
    quiet: float  # the share of all slots
    rounds: list  # the p99.9 of each that counts

    @classmethod
    def of(cls, runs, all_count=False):
        counted = not all_count and [(run, run.quiet()) for run in runs if run.is_quiet()]
        counted = counted or [(run, run.counted()) for run in runs]
        each = [quantiles([run.slots[slot] for slot in slots]) for run, slots in counted]
        median = lambda share: statistics.median(quantile(share) for quantile in each)
        together = quantiles([run.slots[slot] for run in runs for slot in run.counted()])
        share = sum(len(run.quiet()) for run in runs) / max(sum(len(run.counted()) for run in runs), 1)
        return cls(statistics.median(run.rate for run in runs), median(0.5), median(0.99), median(0.999), median(1),
                   together(0.999), sum(run.errors for run in runs), sum(run.unanswered for run in runs), share,
                   [quantile(0.999) for quantile in each])

    def __str__(self):
        return (f"at {self.rate:,.0f}/s p50 {self.p50:.0f}, p99 {self.p99:.0f}, p99.9 {self.p999:.0f} microseconds (of all "
                f"{self.p999_of_all:.0f}), {self.errors} errors, {self.unanswered} unanswered; quiet for {self.quiet:.0%}")


def ratio(ours, others):
    """Of the medians of two lists of rounds, with what 95 % of it lies between when rounds are drawn anew from those there are
    (Efron, Tibshirani, An Introduction to the Bootstrap, chapter 13)."""
    random = Random(1)
    again = lambda rounds: statistics.median(random.choices(rounds, k=len(rounds)))
    drawn = sorted(again(ours) / again(others) for _ in range(2000))
    return statistics.median(ours) / statistics.median(others), drawn[50], drawn[-51]


def quantiles(slots):
    """Of a share: the microseconds that so many of all answers took at most."""
    together = {}
    for counts in slots:
        for nanoseconds, count in counts.items():
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
        numbers, *slots = map(str.split, told.stdout.splitlines())
        rate, errors, unanswered = numbers
        slots = {int(slot): {int(most): int(count) for most, count in (pair.split(":") for pair in pairs)}
                 for slot, *pairs in slots}
        return Run(float(rate), int(errors), int(unanswered), slots, watch.slots)

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
                runs[subject.name].append(self.steady(subject.port, kind, rates[subject.name]))
        found = {name: Latency.of(some) for name, some in runs.items()}
        for name, told in found.items():
            say(f"latency, {title}, {name}: {told}")
        return found

    def half(self, subject, kind, cells):
        if cell := cells.get((subject.name, {"c/k1": "k1", "n/k1": "nostore"}[kind])):
            return cell.rate / 2
        self.load.warm(subject.port, kind)
        return self.load.measure(subject.port, kind, 2).rate / 2
