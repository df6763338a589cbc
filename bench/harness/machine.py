"""Where it was measured, and with what."""

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


def stalls(bench, program, seconds):
    """The p99.9 and the longest, in microseconds, of how long a program that only looks at the clock stood still, while
    it runs on both cores, on the core where that was longer."""
    def start(core):
        return subprocess.Popen([program, "--seconds", str(seconds)], stdout=subprocess.PIPE, text=True,
                                preexec_fn=lambda: os.sched_setaffinity(0, {core}))
    both = [start(core) for core in (bench.server_core, bench.load_core)]
    told = [each.communicate(timeout=seconds + 60)[0] for each in both]
    return tuple(map(max, zip(*([int(word) for word in words.split()] for words in told))))


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
        ("load", f"wrk {wrk[1] if wrk else '?'}, one thread on core {bench.load_core}, with the origin "
                 f"({origin.program}); all servers on core {bench.server_core}"),
    ]
