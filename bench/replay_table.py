"""Reads what callgrind wrote for bench/replay and prints it as tables: instructions per transaction, by part of pg_dog.

What counts as pg_dog's: everything that `Core::step` executes, less everything inside the door that plays the machine. So the memory functions of
the C library that the engine calls are pg_dog's, and the comparing of sent bytes is not.

    replay_table.py [--against DIRECTORY] [--limit RATIO] [--top N] DIRECTORY

A directory holds `<script>-<cores>-<clients>-<servers>-<fair_us>.callgrind` and, beside each, `.said`: the transactions counted, the turns they took,
and the servers that changed cores meanwhile.
"""

import argparse
import collections
import pathlib
import re
import sys

OURS = re.compile(r"^<?replay::")
DOOR = re.compile(r"^<replay::\w+ as pg_dog::\w+::\w+>::")
STEP = re.compile(r"^pg_dog::engine::core::Core<.*>::step$")
PARTS = ["engine", "session", "pool", "io"]
# Compiled into the functions of `session` that call it, and counted there where it is not.
SAME = {"wire": "session"}
PART = re.compile(r"^<?pg_dog::(\w+)::")
ORDER = ["simple", "extended", "bound"]


class Run:
    """One callgrind file: instructions by function, and by pair of caller and called."""

    def __init__(self, path):
        self.own = collections.Counter()
        self.calls = collections.Counter()
        self.names = {}
        said = path.with_suffix(".said").read_text().split()
        self.transactions, self.turns, self.lent = map(int, said)
        here = called = None
        after_calls = False
        for line in path.read_text().splitlines():
            if line.startswith("fn="):
                here = self.name(line[3:])
            elif line.startswith("cfn="):
                called = self.name(line[4:])
            elif line.startswith("calls="):
                after_calls = True
            elif line[:1] in "0123456789+-*" and line:
                cost = int(line.split()[1])
                if after_calls:
                    self.calls[here, called] += cost
                else:
                    self.own[here] += cost
                after_calls = False

    def name(self, words):
        """`(12) name` the first time, `(12)` afterwards."""
        number, _, name = words.partition(" ")
        if name:
            # A function that recurs, or is compiled more than once, has a number behind its name.
            self.names[number] = re.sub(r"'\d+$", "", name)
        return self.names[number]

    def per(self, count):
        return count / self.transactions

    def all(self):
        return self.per(sum(self.own.values()))

    def pg_dog(self):
        """Per transaction; see the head."""
        calls = [(caller, called, cost) for (caller, called), cost in self.calls.items()]
        step = sum(cost for caller, called, cost in calls if STEP.match(called) and OURS.match(caller))
        door = sum(cost for caller, called, cost in calls if DOOR.match(called) and not OURS.match(caller))
        return self.per(step - door)

    def parts(self):
        """Per transaction, by folder; the last is what all of them call in libraries."""
        sums = collections.Counter()
        for name, cost in self.own.items():
            folder = PART.match(name)
            if folder:
                sums[SAME.get(folder.group(1), folder.group(1))] += cost
        found = {part: self.per(sums.pop(part, 0)) for part in PARTS}
        found["other"] = self.pg_dog() - sum(found.values())
        return found


def read(directory):
    """All runs, by (script, cores, clients, servers, fair_us), in the order of the table."""
    runs = {}
    for path in pathlib.Path(directory).glob("*.callgrind"):
        script, *numbers = path.stem.split("-")
        runs[(script, *map(int, numbers))] = Run(path)
    return dict(sorted(runs.items(), key=lambda one: (one[0][1], one[0][2], -one[0][4], ORDER.index(one[0][0]))))


def table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("|" + "|".join(["---"] + ["---:"] * (len(head) - 1)) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def label(key):
    script, cores, clients, servers, fair_us = key
    return f"{script}, {cores} core{'s' if cores > 1 else ''}, {clients} clients on {servers} servers{', lending' if fair_us < 3000 else ''}"


def whole(number):
    return f"{number:.0f}"


def print_one(runs):
    head = ["per transaction", "turns", "servers lent", "all instructions", "**pg_dog's**", "engine", "session, wire", "pool", "io", "libraries"]
    rows = []
    for key, run in runs.items():
        parts = run.parts()
        numbers = [f"{run.per(run.turns):.2f}", f"{run.per(run.lent):.2f}", whole(run.all()), f"**{run.pg_dog():.1f}**", *map(whole, parts.values())]
        rows.append([label(key), *numbers])
    table(head, rows)


def print_two(runs, before, limit):
    """True when nothing became more expensive than `limit` allows."""
    rows, fine = [], True
    for key, run in runs.items():
        old, new = before[key].pg_dog(), run.pg_dog()
        good = new <= old * limit
        fine &= good
        rows.append([label(key), f"{old:.1f}", f"{new:.1f}", f"{new / old:.4f}" if good else f"**{new / old:.4f}**"])
    table(["script", "before", "now", "ratio"], rows)
    if not fine:
        print(f"More instructions per transaction than {limit} times those of before.", file=sys.stderr)
    return fine


def print_top(runs, count):
    for key, run in runs.items():
        print(f"{label(key)}:\n")
        names = [(cost, name) for name, cost in run.own.items() if not OURS.match(name)]
        names.sort(key=lambda one: (-one[0], one[1]))
        table(["function", "own instructions per transaction"], [[f"`{name}`", f"{run.per(cost):.1f}"] for cost, name in names[:count]])


def main():
    parser = argparse.ArgumentParser(description="Prints what bench/replay has counted.")
    parser.add_argument("--against")
    parser.add_argument("--limit", type=float, default=1.02)
    parser.add_argument("--top", type=int, default=0)
    parser.add_argument("directory")
    wanted = parser.parse_args()
    runs = read(wanted.directory)
    if not runs:
        sys.exit("nothing was counted")
    print_one(runs)
    print_top(runs, wanted.top) if wanted.top else None
    if wanted.against and not print_two(runs, read(wanted.against), wanted.limit):
        sys.exit(1)


if __name__ == "__main__":
    main()
