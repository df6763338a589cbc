#!/usr/bin/env python3
"""Works the golden placements out again, from the rule of src/ring/points.rs and other implementations of the hashes.

Needs `pip install xxhash mmh3`. Exits 1 and prints the lines that differ, if any do."""
import bisect, pathlib, re, sys
import mmh3, xxhash

text = pathlib.Path(__file__).with_name("placements.txt").read_text()
points = int(re.search(r"^# points (\d+)$", text, re.M)[1])
members = [m.split("=") for m in re.search(r"^# members (.*)$", text, re.M)[1].split()]
hashes = [xxhash.xxh3_64_intdigest, lambda b: mmh3.hash64(b, 0, True, signed=False)[0]]


def ring(place):
    return sorted((place(f"{id}#{i}".encode()), id.encode()) for id, w in members for i in range(points * int(w)))


def first_two(ring, position):
    start = bisect.bisect_left(ring, (position, b""))
    order = dict.fromkeys(id.decode() for _, id in ring[start:] + ring[:start])
    return list(order)[:2]


lines = [line for line in text.splitlines() if not line.startswith("#")]
rings = [ring(place) for place in hashes]
wrong = 0
for line in lines:
    url = line.split(" ")[0]
    expected = " ".join([url] + [id for r, place in zip(rings, hashes) for id in first_two(r, place(url.encode()))])
    if line != expected:
        wrong += 1
        print(f"recorded {line}\nby rule  {expected}")
print(f"{len(lines) - wrong} of {len(lines)} lines are as the rule says")
sys.exit(wrong > 0 or not lines)
