"""What a build that can be resumed costs: `pqstore build` beside one bulk build in Python, and its peak memory.

    python -m benchmarks.cli.build [ROWS]

Training is left out of both: what is timed is reading, encoding and storing, from the same .npy file. Turns are
interleaved; ratios are medians.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

import pqstore
from benchmarks.data import ROOT, load, machine

TURNS = 3


def bulk(vectors: str, quantizer: pqstore.PQ, target: Path) -> float:
    """Seconds of one bulk build."""
    from pqstore.interop.corpus import open_corpus

    started = time.perf_counter()
    with pqstore.Index.create(target, quantizer, bulk=True) as index:
        index.add(open_corpus(vectors).blocks(8192))
    return time.perf_counter() - started


def resumable(vectors: str, train: str, target: Path) -> tuple[float, float]:
    """Seconds that `pqstore build` says it took to add, and its peak memory in MB."""
    line = f"build {vectors} {target} --M 16 --iter 3 --train {train}"
    code = (
        "import resource, sys; from pqstore.cli import main; status = main(sys.argv[1:]); "
        "print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(status)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *line.split()]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(re.search(r"vectors in ([\d.]+) s", done.stdout)[1]), int(done.stdout.split()[-1]) / 1024


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    data = load("sift", rows)
    print(f"{machine()}, load {os.getloadavg()[0]:.1f}; {rows:,} x {data.base.shape[1]} {data.base.dtype}, M 16")
    ratios, seconds, peaks = [], [], []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        vectors, train = str(directory / "vectors.npy"), str(directory / "train.npy")
        np.save(vectors, data.base)
        np.save(train, data.train[:65_536])
        quantizer = pqstore.PQ(M=16, verbose=False).fit(data.train[:65_536], iter=3)
        for turn in range(TURNS):
            one = bulk(vectors, quantizer, directory / f"bulk{turn}")
            other, peak = resumable(vectors, train, directory / f"resumable{turn}")
            ratios.append(other / one)
            seconds.append(other)
            peaks.append(peak)
        small = str(directory / "small.npy")
        np.save(small, data.base[: rows // 8])
        _, small_peak = resumable(small, train, directory / "small")
    print(f"resumable build: {median(seconds):.1f} s, {rows / median(seconds):,.0f} rows/s")
    print(f"over one bulk build: {median(ratios):.2f} x the time (each turn: {', '.join(f'{r:.2f}' for r in ratios)})")
    print(f"peak memory: {max(peaks):.0f} MB; of an eighth of the rows: {small_peak:.0f} MB")


if __name__ == "__main__":
    main()
