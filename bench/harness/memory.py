"""What an object, an idle connection and a long transfer cost in memory of the server's processes."""

import dataclasses
import http.client
import socket
import threading
import time

from .origin import LARGE
from .processes import resident

# Room for a million objects in every cache, in MiB.
ROOM = 4095


@dataclasses.dataclass
class PerObject:
    objects: int
    bytes: float
    held: float  # share of the objects that were still answered without the origin


# Those that take all their memory at the start: all of it is what the objects cost.
RESERVED = ["haproxy"]


def per_object(load, subject, objects, reserved, say, first=100):
    """Stores that many objects of 1 KiB, and asks for all again to see whether it still holds them. What the `first` of them
    take does not count."""
    load.once(subject.port, "c/k1", first)
    before = 0 if reserved else resident(subject.children)
    patience = max(30, objects // 2000)
    load.once(subject.port, "c/k1", objects, patience)
    settled()
    grown = resident(subject.children) - before
    reached = load.origin.requests()
    requests = load.once(subject.port, "c/k1", objects, patience)
    held = 1 - (load.origin.requests() - reached - 1) / max(requests, 1)
    found = PerObject(objects, grown / ((objects - first) * held) if held > 0 else float("nan"), held)
    say(f"memory, {subject.name}: {found.bytes:,.0f} bytes an object, {found.held:.1%} of {objects:,} held")
    return found


def settled():
    time.sleep(2)


def idle_connections(origin, subject, count, say):
    ask = f"GET {origin.url('c/k1', 1)} HTTP/1.1\r\nHost: {origin.address}\r\n\r\n"
    return idle(subject, lambda: socket.create_connection(("127.0.0.1", subject.port), timeout=10), ask, count, say)


def idle(subject, connect, ask, count, say):
    """Bytes a connection that has asked once and waits."""
    before, sockets = resident(subject.children), []
    try:
        for _ in range(count):
            client = connect()
            sockets.append(client)
            client.sendall(ask.encode())
            answered(client)
        settled()
        cost = (resident(subject.children) - before) / count
    finally:
        for client in sockets:
            client.close()
    say(f"memory, {subject.name}: {cost:,.0f} bytes an idle connection")
    return cost


def answered(client, size=None):
    """Reads an answer to its end; with `size` it has to be a 200 with a body of that many bytes."""
    response = http.client.HTTPResponse(client)
    response.begin()
    length = len(response.read())
    if size is not None and (response.status, length) != (200, size):
        raise ValueError(f"it answers {response.status} with {length} bytes")


def transfer(origin, subject, say):
    """The most that the processes grow while a body of 1 GiB, too large to store, passes; None when it breaks off."""
    before, peak, done = resident(subject.children), [0], threading.Event()

    def watch():
        while not done.wait(0.05):
            peak[0] = max(peak[0], resident(subject.children))
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        length = download(origin, subject)
    finally:
        done.set()
        watcher.join()
    grown = peak[0] - before
    say(f"memory, {subject.name}: {grown / (1 << 20):.1f} MiB over idle for {length / (1 << 30):.2f} GiB")
    return grown if length == LARGE[1] else None


def download(origin, subject):
    connection = http.client.HTTPConnection("127.0.0.1", subject.port, timeout=60)
    connection.request("GET", origin.url(f"c/{LARGE[0]}", 1), headers={"Host": origin.address})
    response, length, buffer = connection.getresponse(), 0, bytearray(1 << 18)
    try:
        while read := response.readinto(buffer):
            length += read
    except (OSError, http.client.HTTPException):
        pass
    connection.close()
    return length
