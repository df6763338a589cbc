"""Memory that is held to a limit, the page cache included: a control group of the kernel's, version 2 or 1."""

import contextlib
import os

ROOTS = [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")]


class Group:
    """What starts within `with group.of(bench):` may hold so many bytes."""

    def __init__(self, name, limit):
        for root, key in ROOTS:
            if os.path.exists(os.path.join(root, "cgroup.controllers")):
                write(os.path.join(root, "cgroup.subtree_control"), "+memory")
            self.path = os.path.join(root, name)
            try:
                os.makedirs(self.path, exist_ok=True)
                write(os.path.join(self.path, key), str(limit))
                return
            except OSError:
                with contextlib.suppress(OSError):
                    os.rmdir(self.path)
        raise OSError("no control group for memory can be made here: root, and a kernel with it, are needed")

    @contextlib.contextmanager
    def of(self, bench):
        bench.group = self.path
        try:
            yield
        finally:
            bench.group = None

    def remove(self):
        """Once nothing runs in it."""
        with contextlib.suppress(OSError):
            os.rmdir(self.path)


def write(path, text):
    """To a file that is there: where a hierarchy is not mounted, its root may be a folder like others, and one made in it holds
    nobody to anything."""
    with open(os.open(path, os.O_WRONLY), "w") as file:
        file.write(text)
