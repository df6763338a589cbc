"""Instructions that a program runs for one more request, by function: two runs that differ in nothing but how many
requests they answer, one taken from the other, so that start and end do not count."""

import glob
import http.client
import os
import re
from collections import Counter

FEW = 300


def words(out, program):
    return ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}.%p", "--quiet", *program]


def per_request(start, ask, out, requests):
    """`start(out)` runs the program and gives a way to end it, `ask(count)` sends that many requests."""
    totals = [counted(start, ask, f"{out}.{count}", count) for count in (FEW, FEW + requests)]
    more = Counter(totals[1])
    more.subtract(totals[0])
    return {name: cost / requests for name, cost in more.items() if cost}


def counted(start, ask, out, count):
    end = start(out)
    try:
        ask(count)
    finally:
        end()
    functions = Counter()
    for path in glob.glob(f"{out}.*"):
        with open(path, errors="replace") as file:
            functions.update(own_cost(file))
    if not functions:
        raise RuntimeError("callgrind has written nothing")
    return functions


def own_cost(lines):
    """Instructions of each function without what it calls, from callgrind's file."""
    names, costs, function, called = {}, Counter(), None, False
    for line in lines:
        if found := re.match(r"c?fn=\((\d+)\)(?: (.*))?", line):
            if found[2]:
                names[found[1]] = plain(found[2])
            if line.startswith("fn="):
                function = names[found[1]]
        elif line.startswith("calls="):
            called = True
        elif re.match(r"[\d+*-]", line):
            if not called:
                costs[function] += int(line.split()[-1])
            called = False
    return costs


def plain(name):
    """Without what changes from build to build: hashes, and callgrind's marks of recursion."""
    return re.sub(r"(::h[0-9a-f]{16}|'\d+)+$", "", name.strip())


class Client:
    """One connection, one request at a time, always the same. `old`: of HTTP/1.0."""

    def __init__(self, port, url, fields, old=False):
        self.port, self.url, self.fields, self.old = port, url, fields, old

    def ask(self, count):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        if self.old:
            connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"
        for _ in range(count):
            connection.request("GET", self.url, headers=self.fields)
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise RuntimeError(f"answered {response.status}: {dict(response.headers)}")
            if response.will_close:
                raise RuntimeError(f"one connection is meant to do: {dict(response.headers)}")
        connection.close()


def read(path):
    """The committed counts: of each case the sum, and its functions."""
    cases, case = {}, None
    if not os.path.exists(path):
        return cases
    with open(path) as file:
        for line in file:
            if line.startswith("#") or not line.strip():
                continue
            number, name = line.split(None, 1)
            if line.startswith(" "):
                cases[case][1][name.strip()] = float(number)
            else:
                case = name.strip()
                cases[case] = (float(number), {})
    return cases


def write(path, cases, top, remark):
    with open(path, "w") as file:
        file.write(f"# Instructions a request, and the functions that take most of them. {remark}\n"
                   "# Written by bench/instructions --write; bench/instructions compares with it.\n")
        for case, functions in cases.items():
            file.write(f"\n{sum(functions.values()):.0f} {case}\n")
            for name, cost in sorted(functions.items(), key=lambda item: -item[1])[:top]:
                file.write(f"  {cost:.0f} {name}\n")
