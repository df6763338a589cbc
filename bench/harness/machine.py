"""Where it was measured, and with what."""

import contextlib
import dataclasses
import os
import platform
import re
import subprocess


def told(*words, cwd=None):
    try:
        return subprocess.run(words, capture_output=True, text=True, cwd=cwd).stdout.strip()
    except OSError:
        return ""


def first(path, pattern):
    with open(path) as file:
        found = re.search(pattern, file.read(), re.M)
    return found[1].strip() if found else "?"


@dataclasses.dataclass
class Disturbance:
    """In a slot of time; microseconds."""
    stood: int  # a core, for the kernel or for the host
    others: int  # processes that have nothing to do with the measurement had a core


class Watch:
    """What else the machine did while the block lasted: `slots`, by their numbers. Empty where the watchers may not run ahead
    of others, and are late for those as well."""

    def __init__(self, bench, program):
        self.bench, self.program, self.slots = bench, program, {}

    def start(self, core, *more):
        child = subprocess.Popen([self.program, *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                 preexec_fn=lambda: ahead(core))
        child.stdout.readline()
        return child

    def __enter__(self):
        # The one next to the load looks for the others as well: that is felt, a little.
        self.children = [self.start(self.bench.server_core),
                         self.start(self.bench.load_core, "--but-for", str(os.getpid()))]
        self.first = all(os.sched_getscheduler(child.pid) == os.SCHED_FIFO for child in self.children)
        return self

    def __exit__(self, *_):
        for child in self.children:
            child.stdin.close()
        told = [child.stdout.read().splitlines() for child in self.children]
        for child in self.children:
            child.wait(10)
        if self.first:
            for slot, stood, others in (map(int, line.split()) for lines in told for line in lines):
                known = self.slots.setdefault(slot, Disturbance(0, 0))
                known.stood, known.others = max(known.stood, stood), max(known.others, others)


def ahead(core):
    """In the child: on that core, and before all others there if we may."""
    os.sched_setaffinity(0, {core})
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))


def lines(root, bench, origin, given):
    """Name and value of what somebody who compares two results needs to know."""
    memory = int(first("/proc/meminfo", r"^MemTotal:\s*(\d+)")) / (1 << 20)
    processor = first("/proc/cpuinfo", r"^model name\s*:(.*)")
    wrk = re.search(r"wrk (\S+)", told("wrk", "-v"))
    return [
        ("processor", f"{processor}, {os.cpu_count()} cores, {memory:.0f} GiB"),
        ("kernel", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("system", first("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)')),
        ("ringhold", given or told("git", "describe", "--always", "--dirty", "--exclude", "*", cwd=root) or "?"),
        ("rustc", told("rustc", "--version", cwd=root)),
        ("load", f"one thread on core {bench.load_core}, with the origin ({origin.program}); all servers on core "
                 f"{bench.server_core}; wrk {wrk[1] if wrk else '?'} fills the caches"),
    ]
