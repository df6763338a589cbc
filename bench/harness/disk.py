"""Caches on disk, with far more on it than memory holds: how fast they answer from there, what of all bytes they have, what
they write for that, and what each object costs of memory. Beside them what the device gives when nothing is in between."""

import dataclasses
import http.client
import os
import re
import shutil
import statistics
import subprocess

from .hitratio import HOT, NODE, Files, Web, replay
from .held import Group
from .load import Load
from .memory import per_object
from .peers import PEERS, Peers, missing, version
from .processes import transferred
from .report import table, verdict
from .subject import Subject

MIB = 1 << 20
SIZES = {"sizes": "log-uniform"}
# Of a full run: URLs, what the disk may hold, and memory with the page cache; half of that is the servers' own.
URLS, CACHE, MEMORY, LEAST_MEMORY = 100_000, 4096 * MIB, 1024 * MIB, 320 * MIB
# A set that fits the disk and not memory: of the first fifth of all URLs.
FITS = 5
CONNECTIONS, LARGEST = 32, 1
# A cache has wrapped when it has written so many times its size; it is asked in parts, so many at most.
WRAPPED, PART, PARTS = 1.1, 2, 24
PATIENCE = 900
# Rounds are longer than those of other parts: the device has to be asked as well.
LONGER = 5
# Of all URLs' requests: from where the order goes on for those that are counted, and for each round.
COUNTED, ROUNDS = 20, 25
# Above this share of requests that came to the origin the set did not fit.
REACHED = 0.01
OBJECTS, FIRST = 4, 10
BETTER, OF_DEVICE, AMPLIFIED, OBJECT = 1.3, 0.9, 1.3, 32


@dataclasses.dataclass
class Hits:
    """A round of a subject, or of the device."""
    rate: float
    p50: float  # microseconds
    p99: float
    errors: int
    reached: float
    read: float  # bytes a second from the device


@dataclasses.dataclass
class Whole:
    """What came of all URLs after the cache had wrapped."""
    objects: float
    bytes: float
    written: float  # to the device for a byte stored
    files: int  # bytes on disk


class Disk:
    """`only` names what is measured; `scale` makes all that is stored smaller."""

    def __init__(self, bench, origin, programs, ours, only, rounds, seconds, scale, objects, say):
        self.bench, self.origin, self.programs, self.ours, self.say = bench, origin, programs, ours, say
        self.only, self.rounds, self.seconds = only, rounds, seconds * LONGER
        self.urls, self.cache = int(URLS * scale), int(CACHE * scale)
        self.memory = max(int(MEMORY * scale), LEAST_MEMORY)
        self.objects = int(objects * scale) // OBJECTS
        self.whole, self.hits, self.device, self.each, self.left_out, self.versions = {}, {}, [], {}, {}, {}

    def measure(self):
        try:
            self.groups = {name: Group(f"ringhold-bench-{name}", self.memory) for name in STARTS if name in self.only}
        except OSError as error:
            self.left_out["disk"] = str(error)
            return
        try:
            self.all()
            self.each = {name: found for name in self.groups if (found := self.memory_of(name)) is not None}
        finally:
            for group in self.groups.values():
                group.remove()

    def all(self):
        self.web = Web(self.bench, self.programs["web-origin"], self.urls, "--sizes", SIZES["sizes"])
        self.set = self.web.wait()[2]
        subjects = {name: subject for name in self.groups if (subject := self.start(name))}
        for name, subject in subjects.items():
            self.whole[name] = self.fill(name, subject)
        for number in range(1, self.rounds + 1):
            self.device.append(self.bare(number))
            for name, subject in subjects.items():
                self.hits.setdefault(name, []).append(self.round(number, name, subject))
        for subject in subjects.values():
            self.bench.stop(subject.children)
        self.bench.stop([self.web.child])
        for name in subjects:
            shutil.rmtree(self.store(name), ignore_errors=True)

    def start(self, name):
        if name in PEERS and (packages := missing(name)):
            self.left_out[name] = f"not installed ({', '.join(packages)})"
            return None
        with self.groups[name].of(self.bench):
            subject = STARTS[name](self, f"disk-{name}", self.web, self.cache // MIB, self.memory // 2 // MIB)
        if wrong := subject.ready(f"http://{self.web.address}/z/1", self.web.size_of_first()):
            self.left_out[name] = f"did not start: {wrong}"
            self.say(f"{name} is left out: {wrong}\n{self.bench.output(subject.name)[-1000:]}")
            self.bench.stop(subject.children)
            return None
        self.versions[name] = subject.version
        return subject

    def replay(self, subject, **more):
        told, complaint = replay(self.bench, self.programs["replay"], self.web, subject, more.pop("patience", PATIENCE),
                                 connections=CONNECTIONS, **SIZES, **more)
        if complaint:
            self.say(f"{subject.name}: {complaint}")
        return told

    def fill(self, name, subject):
        """Until it has wrapped; then what is counted; then all of the smaller set, so often that it may be admitted."""
        with Files(self.bench.disk, subject) as files:
            for part in range(PARTS):
                self.replay(subject, objects=self.urls, skip=part * self.urls // PART, requests=self.urls // PART)
                if transferred(subject.children)[1] > WRAPPED * self.cache:
                    break
            stored, written, before = stored_by(subject), transferred(subject.children), self.web.status()
            answered, size, errors, *_ = self.replay(
                subject, objects=self.urls, skip=COUNTED * self.urls, requests=self.urls)
            os.sync()
            _, wrote, dropped = (late - early for early, late in zip(written, transferred(subject.children)))
            requests, fetched, _ = (late - early for early, late in zip(before, self.web.status()))
            stored = stored_by(subject) - stored if stored is not None else fetched
            found = Whole(1 - requests / max(answered, 1), 1 - fetched / max(size, 1), (wrote - dropped) / max(stored, 1),
                          used(self.store(name)))
            for _ in range(3):
                self.replay(subject, objects=self.urls // FITS, skip=0, requests=self.urls, each="yes")
        self.say(f"disk, {name}, all URLs: objects {found.objects:.2%}, bytes {found.bytes:.2%}, {found.written:.2f} bytes "
                 f"written for one stored, {found.files >> 20:,} MiB on disk, {errors:.0f} errors")
        return found

    def round(self, number, name, subject):
        before, read = self.web.status(), transferred(subject.children)[0]
        answered, _, errors, took, p50, p99 = self.replay(
            subject, objects=self.urls // FITS, skip=(ROUNDS + number) * self.urls, requests=10**9, patience=self.seconds)
        read = transferred(subject.children)[0] - read
        reached = (self.web.status()[0] - before[0]) / max(answered, 1)
        hits = Hits(answered / took, p50, p99, int(errors), reached, read / took)
        self.say(f"disk, round {number}, {name}: {hits}")
        return hits

    def bare(self, number):
        """As many readers of the same sizes at a time, on the servers' core."""
        words = [self.programs["bare-disk"], "--file", os.path.join(self.bench.disk, "bare"), "--bytes", self.cache, "--threads",
                 CONNECTIONS, "--seconds", self.seconds, "--sizes", SIZES["sizes"]]
        told = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=True, timeout=PATIENCE,
                              preexec_fn=lambda: os.sched_setaffinity(0, {self.bench.server_core}))
        reads, size, took, p50, p99 = map(float, told.stdout.split())
        hits = Hits(reads / took, p50, p99, 0, 0, size / took)
        self.say(f"disk, round {number}, the device: {hits}")
        return hits

    def memory_of(self, name):
        """Bytes an object of 1 KiB costs of memory, with nearly no room for it there; started anew."""
        if name in self.left_out:
            return None
        load, room = Load(self.bench, self.origin), max(self.objects * 20 // 1024, 512)
        with self.groups[name].of(self.bench):
            subject = STARTS[name](self, f"each-{name}", self.origin, room, 8)
        if wrong := subject.ready(self.origin.url("c/k1", 0), 1024):
            self.left_out[f"memory of {name}"] = wrong
            found = None
        else:
            found = per_object(load, subject, self.objects, False, self.say, self.objects // FIRST)
        self.bench.stop(subject.children)
        shutil.rmtree(self.store(name, "each"), ignore_errors=True)
        return found

    def store(self, name, what="disk"):
        return os.path.join(self.bench.disk, f"{what}-{name}-store")

    def ringhold(self, name, origin, files, memory):
        # What origins on loopback answer is for this machine alone, and never on a disk, unless they are open to all.
        part = lambda share: f"{int(memory * share * 1024)}KiB"
        return self.ours.ringhold(name, hot=part(HOT), memory=part(NODE), more=f"""[disk]
path = "{self.bench.room(f"{name}-store")}"
size = "{files // 3}MiB"
[access]
open = ["127.0.0.0/8"]
""")

    def peers(self, origin, files, memory):
        return Peers(self.bench, origin, memory, files, LARGEST, store=self.bench.disk)

    def nginx(self, name, origin, files, memory):
        port = self.bench.port()
        child = self.peers(origin, files, memory).nginx(name, port, "aio threads; aio_write on;")
        return Subject(name, "cache", port, [child], version("nginx"))

    def squid(self, name, origin, files, memory):
        # Rock reads and writes in a process of its own, but not with -N.
        port, store = self.bench.port(), self.bench.room(f"{name}-store")
        peers, rock = self.peers(origin, files, memory), f"cache_dir rock {store} {files} max-size={LARGEST * MIB + 65536}"
        made = peers.squid(name, port, rock, ["-z", "--foreground"])
        made.wait(60)
        self.bench.stop([made])
        return Subject(name, "cache", port, [peers.squid(name, port, rock, ["--foreground"])], version("squid"))

    def traffic_server(self, name, origin, files, memory):
        port = self.bench.port()
        peers = self.peers(origin, files, memory)
        child = peers.traffic_server(name, port, memory, files, self.bench.room(f"{name}-store"))
        return Subject(name, "cache", port, [child], version("traffic_server"))

    def report(self):
        if not self.hits:
            return "".join(f"Left out: {name}: {why}.\n" for name, why in self.left_out.items())
        text = (f"{self.urls:,} URLs by Zipf(0.9), sizes log-uniform from 1 KiB to 1 MiB ({self.set / (1 << 30):.1f} GiB in "
                f"all), a cache of {self.cache >> 20:,} MiB on disk, memory and page cache held to {self.memory >> 20:,} MiB "
                f"(half of that for what servers keep in memory themselves), {CONNECTIONS} connections. Bytes: {self.urls:,} "
                f"requests for all URLs after the cache had wrapped; written is what went to the device, by the kernel's "
                f"count. Hits: the first {self.urls // FITS:,} URLs alone, which the disk has room for; medians of "
                f"{self.rounds} rounds of {self.seconds} s, in turns. Memory: {self.objects:,} objects of 1 KiB.\n\n")
        rows = [["the device, past the page cache", "", "", "", *shown(self.device), "", ""]]
        for name, runs in self.hits.items():
            whole, each = self.whole[name], self.each.get(name)
            rows.append([f"{name} {self.versions[name]}".strip(), f"{whole.objects:.2%}", f"{whole.bytes:.2%}",
                         f"{whole.files >> 20:,} MiB", *shown(runs), f"{whole.written:.2f}", f"{each.bytes:,.0f} B" if each else ""])
        text += table(["", "objects", "bytes", "on disk", "hits/s", "p99", "read/s", "written a byte stored",
                       "memory an object"], rows)
        text += "\n(o) more than 1 % of these came to the origin; (e) some failed\n"
        text += "".join(f"\n{name} is left out: {why}.\n" for name, why in self.left_out.items())
        return text + "\n" + self.targets()

    def targets(self):
        if "ringhold" not in self.hits:
            return ""
        rates, p99s = ({name: median(runs, what) for name, runs in self.hits.items()} for what in ("rate", "p99"))
        ours, rows = self.whole["ringhold"], []
        rivals = [name for name in self.hits if name != "ringhold"]
        of_device = median(self.hits["ringhold"], "read") / max(median(self.device, "read"), 1)
        if rivals:
            best, quick = max(rivals, key=rates.get), min(rivals, key=p99s.get)
            full = max(rivals, key=lambda name: self.whole[name].bytes)
            ratio, later = rates["ringhold"] / max(rates[best], 1e-9), p99s["ringhold"] / max(p99s[quick], 1e-9)
            rows = [[f"hits a second, next to {best}; or bytes read, next to the device", f"{ratio:.2f}; {of_device:.2f}",
                     f"{BETTER}; or {OF_DEVICE}", verdict(ratio >= BETTER or of_device >= OF_DEVICE)],
                    [f"p99, next to {quick}", f"{later:.2f}", "at most 1.00", verdict(later <= 1)],
                    [f"byte hit ratio, next to {full}", f"{ours.bytes:.2%} to {self.whole[full].bytes:.2%}", "no less",
                     verdict(ours.bytes >= self.whole[full].bytes)]]
        rows.append(["bytes written for one stored", f"{ours.written:.2f}", f"at most {AMPLIFIED}",
                     verdict(ours.written <= AMPLIFIED)])
        if each := self.each.get("ringhold"):
            rows.append(["memory an object", f"{each.bytes:,.0f} B", f"at most {OBJECT} B", verdict(each.bytes <= OBJECT)])
        return table(["disk", "measured", "wanted", "met"], rows)

    def raw(self):
        plain = dataclasses.asdict
        return {"whole": {name: plain(found) for name, found in self.whole.items()},
                "rounds": {name: list(map(plain, runs)) for name, runs in [*self.hits.items(), ("device", self.device)]},
                "memory": {name: plain(found) for name, found in self.each.items()}}


# What the issue names, and how each is started: a name, the origin, MiB on disk and in memory.
STARTS = {"ringhold": Disk.ringhold, "nginx": Disk.nginx, "squid": Disk.squid, "traffic-server": Disk.traffic_server}


def median(runs, what):
    return statistics.median(getattr(run, what) for run in runs)


def shown(runs):
    letters = "".join(letter for letter, holds in [("o", max(run.reached for run in runs) > REACHED),
                                                   ("e", any(run.errors for run in runs))] if holds)
    return [f"{median(runs, 'rate'):,.0f}" + (f" ({letters})" if letters else ""), f"{median(runs, 'p99') / 1000:.1f} ms",
            f"{median(runs, 'read') / 1e6:,.0f} MB"]


def used(folder):
    """Bytes that the files below take of the device."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(place, name)).st_blocks * 512
            except OSError:
                continue
    return total


def stored_by(subject):
    """What ringhold counts as stored: it does not admit all that it fetches. None for others."""
    if not subject.admin:
        return None
    connection = http.client.HTTPConnection("127.0.0.1", subject.admin, timeout=10)
    connection.request("GET", "/metrics")
    told = connection.getresponse().read().decode()
    connection.close()
    count = lambda name: sum(map(float, re.findall(rf"^ringhold_node_disk_{name}_bytes_total{{.*}} (\S+)", told, re.M)))
    return count("written") - count("rewritten")
