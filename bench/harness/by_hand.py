"""`bench/peers list` and `bench/peers run`."""

import os
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from harness import ours, peers
from harness.origin import SIZES, Origin
from harness.peers import PEERS, Peers
from harness.processes import Bench


def show():
    for name in PEERS:
        lacking = peers.missing(name)
        print(name, f"needs {', '.join(lacking)}" if lacking else "is installed")


def run(names):
    with Bench() as bench:
        origin = Origin(bench, ours.built(ours.LIMITS)["bare-origin"])
        print("origin", origin.address, flush=True)
        for name in names or [name for name in PEERS if not peers.missing(name)]:
            subject = PEERS[name][1](Peers(bench, origin), name)
            wrong = subject.ready(origin.url("c/k1", 0), SIZES["k1"])
            print(name, wrong or subject.port, flush=True)
        print("end with Ctrl-C", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            pass


if sys.argv[1] == "list":
    show()
else:
    unknown = set(sys.argv[2:]) - set(PEERS)
    if unknown:
        sys.exit(f"unknown: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    run(sys.argv[2:])
