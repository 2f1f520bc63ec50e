"""What a call costs whatever the size of the index: a search of 64 rows around its scan, and an add and a remove of one
around their commit.

    python -m benchmarks.search.fixed_cost [DIRECTORY ON THE DISK TO MEASURE]

The first figure of a search is that of `Index.search`, the second that of the compiled scan in it; the fixed cost is
the difference. A bare commit changes as many records of LMDB as an add does, with its two syncs. In memory, where no
sync waits, what an add takes more than that is its own work, beside its commit.
"""

from __future__ import annotations

import sys
import tempfile
import timeit
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter, thread_time

import lmdb
import numpy as np

import pqstore
from benchmarks.data import machine
from benchmarks.disk import disk_now

D, M, ROWS = 128, 16, 64
ROUNDS = 300
MEMORY = Path("/dev/shm")


def least(*calls: Callable[[], object], count: int = 1000) -> list[float]:
    """Microseconds of each call, taken in turns."""
    rounds = [[timeit.timeit(call, number=count) / count * 1e6 for call in calls] for _ in range(21)]
    return [min(column) for column in zip(*rounds, strict=True)]


def python_calls(call: Callable[[], object]) -> int:
    """Functions that a call enters, of Python and of C."""
    count = 0

    def entered(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(entered)
    try:
        call()
    finally:
        sys.setprofile(None)
    return count - 1  # setprofile itself


def searches(index: pqstore.Index, queries: np.ndarray) -> None:
    print(f"\n{f'search of {ROWS} rows, k 10, us':40} {'call':>7} {'native':>7} {'around':>7}")
    with index._read() as reading:
        searcher, prepared = reading.coded.searcher, reading.all_prepared()
        for name, batch in (("one query", queries[0]), ("32 queries", queries[:32])):
            each = batch.reshape(-1, D)
            places = np.empty((len(each), 10), np.float32), np.empty((len(each), 10), np.int64)
            whole, native = least(
                lambda batch=batch: index.search(batch, 10, 1),
                lambda each=each, places=places: searcher._native.search(each, prepared, 1, *places),  # type: ignore[attr-defined]
            )
            print(f"{name:40} {whole:7.2f} {native:7.2f} {whole - native:7.2f}")


def changes(quantizer: pqstore.PQ, vectors: np.ndarray, scratch: Path) -> None:
    index = pqstore.Index.create(scratch / "grown.pqs", quantizer)
    index.add(vectors)
    environment = lmdb.open(str(scratch / "bare"), map_size=1 << 26)

    def bare(turn: int) -> None:
        with environment.begin(write=True) as txn:
            for key in (b"codes", b"ids", b"state"):
                txn.put(key, turn.to_bytes(200, "little"))

    added: list[int] = []
    work: dict[str, Callable[[int], object]] = {
        "bare commit": bare,
        "add of one": lambda turn: added.extend(index.add(vectors[turn : turn + 1]).tolist()),
        "remove of one": lambda _: index.remove(added.pop()),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in work}
    for turn in range(ROUNDS):
        for name, call in work.items():
            wall, cpu = perf_counter(), thread_time()
            call(turn)
            times[name].append((perf_counter() - wall, thread_time() - cpu))
    calls = {"add of one": python_calls(lambda: work["add of one"](0)), "bare commit": python_calls(lambda: bare(0))}
    calls["remove of one"] = python_calls(lambda: work["remove of one"](0))
    print(f"\n{'us, median':40} {'wall':>7} {'CPU':>7} {'calls':>7} {'over a bare commit':>20}")
    base = median(wall for wall, _ in times["bare commit"])
    for name, pairs in times.items():
        wall, cpu = (median(pair[i] for pair in pairs) for i in (0, 1))
        print(f"{name:40} {wall * 1e6:7.0f} {cpu * 1e6:7.0f} {calls[name]:7} {wall / base:20.2f}")
    environment.close()
    index.close()


def main() -> None:
    where = sys.argv[1] if len(sys.argv) > 1 else "."
    vectors = np.random.default_rng(0).random((5000, D), dtype=np.float32)
    quantizer = pqstore.PQ(M=M, verbose=False).fit(vectors[:2000], iter=3)
    with tempfile.TemporaryDirectory(dir=where) as name:
        scratch = Path(name)
        print(machine(), disk_now(scratch))
        with pqstore.Index.create(scratch / "small.pqs", quantizer) as small:
            small.add(vectors[:ROWS])
            searches(small, vectors)
        changes(quantizer, vectors, scratch)
    if MEMORY.is_dir():
        with tempfile.TemporaryDirectory(dir=MEMORY) as name:
            print(f"\nin {MEMORY}")
            changes(quantizer, vectors, Path(name))


if __name__ == "__main__":
    main()
