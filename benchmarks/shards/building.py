"""Shards built by one process and by two; and how much is encoded again after one of many builders is killed.

    python -m benchmarks.shards.building [--rows 8000000] [--shards 8] [--dir /var/tmp]

Prints Markdown. Needs the data of `data.py`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.data import machine
from benchmarks.shards.corpus import begun, copy_of
from pqstore import shards

ROOT = Path(__file__).parents[2]
BUILDER = """
import os, signal, sys
from pqstore import shards
from pqstore.storage.disk.crash_points import observe
place, threads, die = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
plan = shards.Plan.load(place + "/plan.json")
if die:
    observe(lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == "shard verified" else None)
shards.build(plan, place, map(int, sys.argv[4:]), threads=threads)
"""


def start(place: Path, threads: int, numbers: Sequence[int], die: bool = False) -> subprocess.Popen:
    words = [sys.executable, "-c", BUILDER, str(place), str(threads), str(int(die)), *map(str, numbers)]
    return subprocess.Popen(words, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})


def seconds(place: Path, threads: int, shares: Sequence[Sequence[int]]) -> float:
    """How long processes take that build a share each, starting them too."""
    began = time.perf_counter()
    workers = [start(place, threads, share) for share in shares]
    assert [worker.wait() for worker in workers] == [0] * len(workers)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=8_000_000)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--dir", default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir) as name:
        plan, place, _ = begun(Path(name), options.rows, options.shards)
        numbers = range(len(plan.shards))
        cases = {
            "one process, one thread": (1, [numbers]),
            "one process, two threads": (2, [numbers]),
            "two processes, one thread each": (1, [numbers[::2], numbers[1::2]]),
        }
        print(f"{machine()}; {options.rows:,} x 128 rows of sift in {len(plan.shards)} shards, M = 16\n")
        print("| who builds | seconds | rows a second | over one process, one thread |\n|---|---|---|---|")
        base = None
        for case, (threads, shares) in cases.items():
            target = copy_of(place, "built")
            taken = seconds(target, threads, shares)
            base = base or taken
            print(f"| {case} | {taken:.1f} | {options.rows / taken:,.0f} | {base / taken:.2f} x |", flush=True)
            shutil.rmtree(target)
        target = copy_of(place, "killed")
        workers = [start(target, 1, [number], die=number == 3) for number in numbers]
        killed = sum(worker.wait() == -signal.SIGKILL for worker in workers)
        missing = shards.missing_shards(plan, target)
        again = sum(plan.shards[number].rows for number in missing)
        shards.build(plan, target)
        manifest = shards.commit(plan, target)
        print(
            f"\nafter a kill of {killed} of {len(numbers)} builders: {len(missing)} shard, {again:,} rows encoded again"
            f"; {manifest.bytes / manifest.rows:.1f} bytes a vector on the disk"
        )


if __name__ == "__main__":
    main()
