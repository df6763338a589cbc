"""ringhold in the peers' conditions, and the limits: programs that do less and give the same answer."""

import json
import os
import subprocess

from .subject import Subject

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIMITS = os.path.join(ROOT, "bench", "limits")


def built(folder, *more):
    """The release build's programs, by name."""
    words = ["cargo", "build", "--release", "--locked", "--bins", "--message-format=json-render-diagnostics", *more]
    told = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, text=True, check=True).stdout
    messages = [json.loads(line) for line in told.splitlines()]
    return {message["target"]["name"]: message["executable"] for message in messages if message.get("executable")}


def config(bench, name, port, admin, hot="128MiB", memory="256MiB", nodes=None, more="", eviction="tiny_lfu",
           access="off"):
    """One worker, for there is one core; state and log out of the way."""
    room = bench.room(name)
    nodes = nodes or [f'id = "n{number}"\nspawn = true' for number in (1, 2, 3)]
    path = os.path.join(room, "cluster.toml")
    with open(path, "w") as file:
        file.write(f"""
[proxy]
listen = ["127.0.0.1:{port}"]
workers = 1
[hot]
memory = "{hot}"
[admin]
listen = "127.0.0.1:{admin}"
[cache]
memory = "{memory}"
eviction = "{eviction}"
[log]
level = "warn"
access = "{access}"
[state]
path = "{room}/state"
{more}
""" + "".join(f"[[nodes]]\n{node}\n" for node in nodes))
    return path


class Ours:
    """Programs are paths by name: ringhold, bare-server, bare-relay, bare-origin, steady, eager."""

    def __init__(self, bench, programs):
        self.bench, self.programs = bench, programs

    def ringhold(self, name, hot="128MiB", **settings):
        """The front and its three nodes, all on the servers' core."""
        port, admin = self.bench.port(), self.bench.port()
        words = [self.programs["ringhold"], "serve", "--config", config(self.bench, name, port, admin, hot, **settings)]
        return Subject(name, "ringhold", port, [self.bench.start(name, words)], admin=admin)

    def ringhold_relay(self, name):
        return self.ringhold(name, hot="0")

    def ringhold_log(self, name):
        """With a line of JSON for each request, to a file."""
        return self.ringhold(name, access="json")

    def node(self, name, memory):
        """A cache node alone, spoken to as a proxy."""
        port = self.bench.port()
        path = config(self.bench, name, self.bench.port(), self.bench.port(), memory=f"{memory}MiB")
        words = [self.programs["ringhold"], "node", "--id", "n1", "--listen", f"127.0.0.1:{port}", "--config", path]
        return Subject(name, "ringhold", port, [self.bench.start(name, words)])

    def bare_server(self, name):
        port = self.bench.port()
        words = [self.programs["bare-server"], "--listen", f"127.0.0.1:{port}"]
        return Subject(name, "limit", port, [self.bench.start(name, words)])

    def bare_relay(self, name):
        port, path = self.bench.port(), os.path.join(self.bench.room(name), "node")
        node = self.bench.start(f"{name}-node", [self.programs["bare-server"], "--listen", f"unix:{path}"])
        words = [self.programs["bare-relay"], "--listen", f"127.0.0.1:{port}", "--node", path]
        return Subject(name, "limit", port, [node, self.bench.start(name, words)])


OURS = {"ringhold": Ours.ringhold, "ringhold-relay": Ours.ringhold_relay, "ringhold-log": Ours.ringhold_log}
LIMIT = {"bare-server": Ours.bare_server, "bare-relay": Ours.bare_relay}
