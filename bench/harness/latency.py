"""How long an answer takes at half of what each can do, counted from when it was due."""

import dataclasses
import os
import statistics
import subprocess

KINDS = [("1 KiB hit", "c/k1"), ("1 KiB no-store", "n/k1")]


@dataclasses.dataclass
class Latency:
    rate: float
    p50: float  # microseconds, as all below
    p99: float
    p999: float
    worst: float
    errors: int
    unanswered: int


def steady(program, load, port, kind, rate, seconds, *more):
    words = [program, "--proxy", f"127.0.0.1:{port}", "--origin", load.origin.address, "--kind", kind,
             "--urls", load.urls, "--connections", load.connections, "--rate", int(rate), "--seconds", seconds, *more]
    pin = lambda: os.sched_setaffinity(0, {load.bench.load_core})
    told = subprocess.run(list(map(str, words)), capture_output=True, text=True, preexec_fn=pin, timeout=seconds + 60)
    if told.returncode:
        raise RuntimeError(f"steady: {told.stderr.strip()}")
    numbers = told.stdout.split()
    return Latency(*map(float, numbers[:5]), *map(int, numbers[5:]))


def measure(program, load, subjects, cells, rounds, seconds, say):
    """The round with the median p99.9, by subject's name and kind; the rate comes from `cells` where they have it."""
    found = {}
    for subject in subjects:
        for title, kind in KINDS:
            if subject.shape == "limit" and kind.startswith("n/"):
                continue
            load.warm(subject.port, kind)
            cell = cells.get((subject.name, {"c/k1": "k1", "n/k1": "nostore"}[kind]))
            rate = cell.rate if cell else load.measure(subject.port, kind, 2).rate
            runs = [steady(program, load, subject.port, kind, rate / 2, seconds) for _ in range(rounds)]
            middle = statistics.median_low(run.p999 for run in runs)
            found[subject.name, kind] = run = next(run for run in runs if run.p999 == middle)
            say(f"latency, {title}, {subject.name}: at {run.rate:,.0f}/s p50 {run.p50:.0f}, p99 {run.p99:.0f}, "
                f"p99.9 {run.p999:.0f} microseconds, {run.errors} errors, {run.unanswered} unanswered")
    return found
