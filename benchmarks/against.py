"""This checkout beside another one: what searches, writes, opening and starting cost in each, call by call in turns.

    python -m benchmarks.against OTHER_CHECKOUT [ROUNDS [WORD]]

Each checkout needs its own .venv with the package in it. One process works for each; they are asked by turns, on one
thread, so that whatever slows the machine slows both. Printed are medians over rounds of the ratio this / other, by
CPU time of the process and by wall clock: above 1 this one is slower.
With WORD only the lines that have it in their name.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.data import ROOT, directory, machine
from benchmarks.disk import disk_now

ROUNDS = 15
# As installed, files are compiled once: a process that must not keep that compiles all of them at each start.
INSTALLED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
STARTS = {"import": "import numpy, pqstore", "import of all names": "import numpy; from pqstore import *"}
CHILD = """
import json, sys, time
from pathlib import Path
import numpy as np
import pqstore

where, data = Path(sys.argv[1]), Path(sys.argv[2])
rng = np.random.default_rng(0)
base, queries = np.load(data / "sift" / "base.npy")[:200_000], np.load(data / "sift" / "queries.npy")[:200]
base, queries = base.astype(np.float32), queries.astype(np.float32)
quantizer = pqstore.PQ(M=16, verbose=False).fit(base[:10_000], iter=5)
codes = quantizer.encode(base)
index = pqstore.Index.create(where / "index.pqs", quantizer)
index.add_codes(codes, ids=rng.permutation(len(codes)))
small = pqstore.Index.create(where / "small.pqs", quantizer)
small.add(base[:1000])
large = where / "large.pqs"
with pqstore.Index.create(large, quantizer) as made:
    made.add_codes(np.tile(codes, (5, 1)))
grown = pqstore.Index.create(where / "grown.pqs", quantizer)
grown.add(base[:5000])
builds = 0

def build():
    global builds
    builds += 1
    with pqstore.Index.create(where / f"built-{builds}.pqs", quantizer) as made:
        made.add(base[:50_000])

def add_of_one():
    for row in base[:40]:
        grown.add(row[None])

def remove_of_one():
    for one in grown.add(base[:40]):
        grown.remove(int(one))

def open_and_write(write):
    with pqstore.Index.open(large) as opened:
        opened.search(queries[0], k=1, threads=1)
        if write:
            opened.add(base[:1])

WORK = {
    "search of 200,000 rows, one query (x 40)": lambda: [index.search(q, k=10, threads=1) for q in queries[:40]],
    "search of 1,000 rows, one query (x 200)": lambda: [small.search(q, k=10, threads=1) for q in queries],
    "batch of 200": lambda: index.search(queries, k=10, threads=1),
    "get of one (x 40)": lambda: [index.get(i) for i in range(40)] if hasattr(index, "get") else None,
    "add of one (x 40)": add_of_one,
    "add of 40, removed one by one": remove_of_one,
    "build of 50,000": build,
    "open 1 M rows, search": lambda: open_and_write(False),
    "open 1 M rows, search, first write": lambda: open_and_write(True),
}
print(json.dumps(list(WORK)), flush=True)
for line in sys.stdin:
    call = WORK[line.strip()]
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]), flush=True)
"""
START = """
import resource, subprocess, sys, time
began = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print([time.perf_counter() - began, used.ru_utime + used.ru_stime])
"""
Seconds = tuple[float, float]
"""Wall clock and CPU."""


class Checkout:
    """One checkout with a process that works in it."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.python = str(root / ".venv" / "bin" / "python")
        self.root = root
        scratch.mkdir()
        command = [self.python, "-c", CHILD, str(scratch), str(directory().resolve())]
        self.process = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._asks, self._answers = self.process.stdin, self.process.stdout
        self.work: list[str] = self._answer()

    def _answer(self) -> list:
        line = self._answers.readline()
        if not line:
            sys.exit(f"the process in {self.root} died")
        return json.loads(line)

    def ask(self, name: str) -> Seconds:
        if name in STARTS or name == "pqstore --help":
            what = ["-m", "pqstore", "--help"] if name not in STARTS else ["-c", STARTS[name]]
            done = subprocess.run(
                [self.python, "-c", START, self.python, *what],
                cwd=self.root,
                env=INSTALLED,
                capture_output=True,
                text=True,
                check=True,
            )
            wall, cpu = done.stdout.strip("[]\n").split(", ")
            return float(wall), float(cpu)
        self._asks.write(name + "\n")
        self._asks.flush()
        wall, cpu = self._answer()
        return wall, cpu


def main() -> None:
    other_root = Path(sys.argv[1]).resolve()
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS
    word = sys.argv[3] if len(sys.argv) > 3 else ""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch:
        print(machine(), disk_now(Path(scratch)))
        this, other = (Checkout(root, Path(scratch) / name) for name, root in (("this", ROOT), ("other", other_root)))
        print(f"{'this / other, ' + str(rounds) + ' rounds':44} {'CPU':>6} {'wall':>6}   {'this, CPU, wall':>20}")
        for name in (name for name in [*this.work, *STARTS, "pqstore --help"] if word in name):
            this.ask(name), other.ask(name)
            pairs = []
            for turn in range(rounds):
                first, second = (this, other) if turn % 2 else (other, this)
                answers = {first: first.ask(name), second: second.ask(name)}
                pairs.append((answers[this], answers[other]))
            wall, cpu = (median(mine[i] / theirs[i] for mine, theirs in pairs) for i in (0, 1))
            own = [1e3 * median(mine[i] for mine, _ in pairs) for i in (1, 0)]
            print(f"{name:44} {cpu:6.2f} {wall:6.2f}   {own[0]:8.1f} {own[1]:8.1f} ms", flush=True)


if __name__ == "__main__":
    main()
