"""Processes that are started on one core, and ended by their ids, whatever happens."""

import ctypes
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

# So many for everyone: some servers size their tables by the limit.
FILES = 20000
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class Bench:
    """The folder and the processes of one run; leaving the `with` block ends and removes them."""

    def __init__(self, server_core=0, load_core=1):
        self.server_core, self.load_core = server_core, load_core
        self.children, self.folders, self.group = [], [], None
        self.next_port = 21000

    def __enter__(self):
        signal.signal(signal.SIGTERM, lambda *_: exit(143))
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        limit = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        self.disk = self.folder(None)
        self.memory = self.folder("/dev/shm")
        return self

    def __exit__(self, *_):
        for child in reversed(self.children):
            end(child)
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)

    def folder(self, parent):
        """Open to the users that some servers change to."""
        path = tempfile.mkdtemp(prefix="ringhold-bench-", dir=parent)
        os.chmod(path, 0o755)
        self.folders.append(path)
        return path

    def room(self, name, parent=None):
        """A folder for one process, which may not run as our user."""
        path = os.path.join(parent or self.disk, name)
        os.makedirs(path, exist_ok=True)
        os.chmod(path, 0o777)
        return path

    def port(self):
        """A port that is free, below those that the kernel gives to clients."""
        while True:
            self.next_port += 1
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", self.next_port))
                    return self.next_port
                except OSError:
                    continue

    def start(self, name, words, core=None, env=None):
        """Starts `words` on the servers' core; what it says goes to a file in its room."""
        log = open(os.path.join(self.room(name), "output"), "ab")
        pin = self.server_core if core is None else core
        child = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **(env or {})},
            start_new_session=True, preexec_fn=lambda: settle(pin, self.group))
        self.children.append(child)
        return child

    def stop(self, children):
        for child in children:
            end(child)
            self.children.remove(child)

    def output(self, name):
        with open(os.path.join(self.room(name), "output"), errors="replace") as file:
            return file.read().strip()


def settle(core, group=None):
    """In the child: on its core, in its control group, and gone when we are."""
    if group:
        with open(os.path.join(group, "cgroup.procs"), "w") as file:
            file.write(str(os.getpid()))
    os.sched_setaffinity(0, {core})
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def family(pid):
    """The process and all below it."""
    children = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(entry))
    found = [pid]
    for member in found:
        found += children.get(member, [])
    return found


def end(child, patience=4):
    """Asks, waits, and then insists; a child's children are known before it is gone."""
    if child.poll() is not None:
        return  # its number may be somebody else's by now
    members = family(child.pid)[1:]
    child.terminate()
    try:
        child.wait(patience)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    deadline = time.monotonic() + 1
    while any(map(alive, members)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for member in filter(alive, members):
        os.kill(member, signal.SIGKILL)


def alive(pid):
    return os.path.exists(f"/proc/{pid}")


def transferred(children):
    """Bytes that the processes have read from devices and written for them so far; and how many of those were dropped while only
    the page cache had them."""
    total = [0, 0, 0]
    for child in children:
        for pid in family(child.pid):
            try:
                with open(f"/proc/{pid}/io") as file:
                    numbers = dict(line.split(": ") for line in file)
            except OSError:
                continue
            for place, name in enumerate(["read_bytes", "write_bytes", "cancelled_write_bytes"]):
                total[place] += int(numbers[name])
    return total


def resident(children):
    """Bytes of memory that the processes hold, a shared page by its share."""
    total = 0
    for child in children:
        for pid in family(child.pid):
            try:
                with open(f"/proc/{pid}/smaps_rollup") as file:
                    total += next(int(line.split()[1]) for line in file if line.startswith("Pss:")) * 1024
            except OSError:
                continue
    return total
