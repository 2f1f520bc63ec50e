"""Instructions that the NEON kernels run beside the portable ones, counted in an emulator: not times.

    native/check_neon.sh && PQSTORE_BENCH_DATA=path/to/data .venv/bin/python -m benchmarks.kernels.neon_counts

The portable kernels are compiled for AArch64 too, so the compiler may use NEON in them on its own. Counts are of one
thread; what a program takes to start and to read its input is subtracted.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.cases import Case, load_case, read, relabelled
from benchmarks.data import ROOT
from pqstore.kernels import active

PROGRAM = ROOT / "build" / "neon" / "kernel_work"
QUERIES = 5


@dataclass(frozen=True, slots=True)
class Work:
    """One line of the table: arguments of `kernel_work`, its two input arrays, and how many units it works on."""

    name: str
    arguments: tuple[str, ...]
    first: npt.NDArray[np.uint8] | npt.NDArray[np.float32]
    second: npt.NDArray[np.float32]
    units: int


def scan_work(case: Case, k: int) -> Work:
    codewords, codes = relabelled(case)
    M, Ks, _ = codewords.shape
    tables = active().dtables(case.queries[:QUERIES], codewords, "l2")
    return Work(
        f"scan, {case.name}, k {k}, a row", ("scan", f"{M}", f"{Ks}", f"{k}"), codes, tables, codes.shape[0] * QUERIES
    )


def encode_work(case: Case, data_set: str, vectors: int) -> Work:
    M, Ks, Ds = case.codewords.shape
    rows = read(data_set, "base")[:vectors]
    return Work(
        f"encode, {M * Ds}-d, M {M}, a vector", ("encode", f"{M}", f"{Ks}", f"{Ds}"), rows, case.codewords, vectors
    )


def tables_work(case: Case) -> Work:
    M, Ks, Ds = case.codewords.shape
    queries = case.queries[:QUERIES]
    name = f"distance table, {M * Ds}-d, M {M}, an entry"
    return Work(name, ("tables", f"{M}", f"{Ks}", f"{Ds}"), queries, case.codewords, QUERIES * M * Ks)


class Counter:
    """Runs `kernel_work` in the emulator and counts the instructions of the work alone."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._plugin = directory / "count.so"
        source = ROOT / "native" / "test" / "count_instructions.c"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", self._plugin, source], check=True)

    def instructions(self, kernels: str, work: Work) -> tuple[int, str]:
        """What one run takes, and the sum of its results."""
        paths = []
        for name, array in (("first", work.first), ("second", work.second)):
            paths.append(self._directory / name)
            np.ascontiguousarray(array).tofile(paths[-1])
        counts = []
        for times in (1, 2):
            emulator = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", "-plugin", self._plugin]
            ran = subprocess.run(
                [*emulator, PROGRAM, kernels, str(times), *work.arguments, *paths],
                check=True,
                capture_output=True,
                text=True,
            )
            counts.append(int(ran.stderr.split()[-1]))
        return counts[1] - counts[0], ran.stdout


def main() -> None:
    if not PROGRAM.exists():
        sys.exit(f"no program at {PROGRAM}: run native/check_neon.sh first")
    sift16, sift32 = load_case("sift", 16), load_case("sift", 32)
    minilm48 = load_case("minilm", 48)
    works = [
        scan_work(sift16, 10),
        scan_work(sift16, 100),
        scan_work(sift32, 10),
        scan_work(minilm48, 10),
        scan_work(minilm48, 100),
        scan_work(load_case("sift", 32, Ks=16), 10),
        scan_work(load_case("minilm", 96, Ks=16), 10),
        encode_work(sift16, "sift", 2000),
        encode_work(minilm48, "minilm", 500),
        tables_work(sift16),
        tables_work(minilm48),
    ]
    print("| what | portable | NEON | times as few |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as directory:
        counter = Counter(Path(directory))
        for work in works:
            portable, expected = counter.instructions("portable", work)
            neon, found = counter.instructions("neon", work)
            if found != expected:
                sys.exit(f"{work.name}: the results differ")
            print(
                f"| {work.name} | {portable / work.units:.1f} | {neon / work.units:.1f} | {portable / neon:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
