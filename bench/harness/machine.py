"""Where it was measured, and with what."""

import contextlib
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


class Watch:
    """How long the machine itself stood still on either core while the block lasted: `longest`, in microseconds. `None` where
    the watchers may not run ahead of others, and are late for those as well."""

    def __init__(self, bench, program):
        self.bench, self.program, self.longest = bench, program, None

    def start(self, core):
        child = subprocess.Popen([self.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                 preexec_fn=lambda: ahead(core))
        child.stdout.readline()
        return child

    def __enter__(self):
        self.children = [self.start(core) for core in (self.bench.server_core, self.bench.load_core)]
        self.first = all(os.sched_getscheduler(child.pid) == os.SCHED_FIFO for child in self.children)
        return self

    def __exit__(self, *_):
        for child in self.children:
            child.stdin.close()
        late = [child.stdout.read() for child in self.children]
        for child in self.children:
            child.wait(10)
        if self.first and all(late):
            self.longest = max(map(int, late))


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
