"""Requests a second: each subject, each workload, in turn, several rounds; the median counts."""

import dataclasses
import statistics


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    title: str
    kind: str
    cached: bool


WORKLOADS = [
    Workload("k1", "1 KiB hit", "c/k1", True),
    Workload("k10", "10 KiB hit", "c/k10", True),
    Workload("k100", "100 KiB hit", "c/k100", True),
    Workload("nostore", "1 KiB no-store", "n/k1", False),
]

# Above or below these shares a run was not what its title says.
HIT_REACHED, MISS_REACHED = 0.005, 0.99
SATURATED = 0.95


@dataclasses.dataclass
class Cell:
    """The rounds of one subject and workload."""
    runs: list

    @property
    def rate(self):
        return statistics.median(run.rate for run in self.runs)

    @property
    def spread(self):
        rates = [run.rate for run in self.runs]
        return (max(rates) - min(rates)) / 2 / self.rate if self.rate else 0

    def remarks(self, cached):
        """Letters for what a reader must know about these runs."""
        errors = any(run.errors for run in self.runs)
        reached = [run.reached for run in self.runs]
        wrong = max(reached) > HIT_REACHED if cached else min(reached) < MISS_REACHED
        waiting = statistics.median(run.server_busy for run in self.runs) < SATURATED
        return "".join(letter for letter, holds in [("e", errors), ("o", wrong), ("w", waiting)] if holds)

    def shown(self, cached, seen):
        """In a table; the letters are added to those that were `seen`."""
        letters = self.remarks(cached)
        seen.update(letters)
        spread = f" ±{self.spread:.0%}" if len(self.runs) > 1 else ""
        return f"{self.rate:,.0f}{spread}" + (f" ({letters})" if letters else "")


REMARKS = {
    "e": "some requests failed",
    "o": "not all were what the title says (hits that reached the origin, or the other way round)",
    "w": "the servers' core was not fully used: the load or the origin was the limit, the server can do more",
}


def remarks(seen):
    """What the letters below a table mean."""
    return "".join(f"\n({letter}) {REMARKS[letter]}\n" for letter in REMARKS if letter in seen)


def measure(load, subjects, workloads, rounds, seconds, say):
    """Cells by subject's name and workload's name."""
    cells = {}
    for round_number in range(1, rounds + 1):
        for workload in workloads:
            for subject in subjects:
                if subject.shape == "limit" and not workload.cached:
                    continue
                load.warm(subject.port, workload.kind)
                run = load.measure(subject.port, workload.kind, seconds)
                cells.setdefault((subject.name, workload.name), Cell([])).runs.append(run)
                say(f"round {round_number}, {workload.title}, {subject.name}: {run.rate:,.0f}/s, "
                    f"p99 {run.p99 / 1000:.2f} ms, {run.errors} errors, origin {run.reached:.1%}, "
                    f"server core {run.server_busy:.0%}, load core {run.load_busy:.0%}")
    return cells
