"""The storage's figures: adds, removals, lookups, opening, disk, churn, each with what the disk gave in the same run.

    python -m benchmarks.storage.reads_and_writes [--rows 1000000] [--lookup-rows 10000000] [--open-rows 50000000]
        [--churn-rows 1000000] [--only add,bulk,...] [--directory DIR]

Codes are random bytes (M = 16): the storage does not look into them. Ratios are of interleaved medians.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from benchmarks.disk import disk_now
from pqstore.storage import RowPacking, Store

M = 16


class Blocks:
    """Packed codes of M bytes a row, as `pqstore.kernels.code_layout` packs them for even M and 256 codewords."""

    def packed_size(self, rows: int) -> int:
        return -(-rows // 32) * 32 * M

    def pack(self, codes: np.ndarray) -> np.ndarray:
        blocks = -(-len(codes) // 32)
        padded = codes
        if len(codes) % 32:
            padded = np.zeros((blocks * 32, M), dtype=np.uint8)
            padded[: len(codes)] = codes
        return np.ascontiguousarray(padded.reshape(blocks, 2, 16, M // 2, 2).transpose(0, 3, 1, 4, 2)).reshape(-1)

    def unpack(self, packed: np.ndarray, rows: int) -> np.ndarray:
        blocks = packed[: self.packed_size(rows)].reshape(-1, M // 2, 2, 2, 16)
        return np.ascontiguousarray(blocks.transpose(0, 2, 4, 1, 3)).reshape(-1, M)[:rows]

    def extend(self, packed: np.ndarray, rows: int, codes: np.ndarray) -> np.ndarray:
        whole = rows // 32 * 32
        rest = self.unpack(packed[self.packed_size(whole) :], rows - whole)
        return np.concatenate((packed[: self.packed_size(whole)], self.pack(np.concatenate((rest, codes)))))

    def gather(self, packed: np.ndarray, positions: np.ndarray) -> np.ndarray:
        m = np.arange(M)
        block, half, lane = positions // 32, positions // 16 % 2, positions % 16
        at = (block * 32 * M + half * 32 + lane)[:, None] + (m // 2 * 64 + m % 2 * 16)[None, :]
        return packed[at]


PACKING: RowPacking = Blocks()


def show(what: str, value: str, bar: str) -> None:
    print(f"  {what:<62} {value:>28}   bar | aim: {bar}", flush=True)


def random_ids(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.integers(-(2**63), 2**63 - 1, count)


def random_codes(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.frombuffer(rng.bytes(count * M), dtype=np.uint8).reshape(count, M)


@contextmanager
def index(directory: Path, **options: Any) -> Iterator[Store]:
    path = directory / f"{time.monotonic_ns()}.pqs"
    store = Store.create(path, {}, {}, PACKING, **options)
    try:
        yield store
    finally:
        store.close()
        if path.exists():  # not when it was built with bulk=True and never published
            shutil.rmtree(path)


def fill(
    store: Store, rng: np.random.Generator, rows: int, ids: np.ndarray | None = None, block: int = 1_000_000
) -> None:
    codes = random_codes(rng, min(rows, block))
    for start in range(0, rows, block):
        count = min(block, rows - start)
        with store.write() as txn:
            txn.append(codes[:count], None if ids is None else ids[start : start + count])


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def bare_environment(directory: Path) -> Any:
    """An LMDB of the same kind without us, to compare commits with."""
    return lmdb.open(str(directory / f"bare-{time.monotonic_ns()}"), map_size=1 << 34, max_dbs=1, lib_version=0)


def adds(directory: Path, rows: int) -> None:
    """Durable adds of 1 and of 100 rows beside bare commits of LMDB of the same bytes."""
    rng = np.random.default_rng(1)
    bare = bare_environment(directory)
    database = bare.open_db(b"values")
    with index(directory) as store:
        fill(store, rng, rows, random_ids(rng, rows))
        for count, repeats in ((1, 1500), (100, 300)):
            ours: list[float] = []
            looked_up: list[float] = []
            theirs: list[float] = []
            codes = random_codes(rng, count)
            for at in range(repeats):
                ids = random_ids(rng, count)

                def add(ids: np.ndarray = ids, codes: np.ndarray = codes) -> None:
                    with store.write() as txn:
                        txn.append(codes, ids)

                def add_unique(ids: np.ndarray = ids, codes: np.ndarray = codes) -> None:
                    with store.write() as txn:
                        assert txn.rows_of(ids + 1).max() == -1
                        txn.append(codes, ids + 1)

                # The records that an add writes: a chunk of codes and one of ids, half full in the mean, and the state.
                value = bytes(512 * (M + 8) + 400)

                def commit(value: bytes = value, at: int = at) -> None:
                    with bare.begin(write=True) as txn:
                        txn.put(b"%d" % (at % 16), value, db=database)

                ours.append(seconds(add))
                theirs.append(seconds(commit))
                looked_up.append(seconds(add_unique))
            median, other = float(np.median(ours)), float(np.median(theirs))
            unique = float(np.median(looked_up))
            show(f"durable add of {count}, p50 (with ids looked up)", f"{1e3 * median:.2f} ms ({1e3 * unique:.2f})", "")
            show(
                f"... over a bare commit ({1e3 * other:.2f} ms)",
                f"{median / other:.2f} x ({unique / other:.2f})",
                "2 | 1.3 x",
            )
            show(
                f"... rows a second, index of {rows:,} rows",
                f"{count * repeats / sum(ours):,.0f} ({count * repeats / sum(looked_up):,.0f})",
                "500 | 1,500" if count == 1 else "20,000 | 80,000",
            )
    bare.close()


def bulk(directory: Path, rows: int) -> None:
    """Codes already encoded, random int64 ids, one transaction, durable."""
    rng = np.random.default_rng(2)
    for name, ids in (("random int64 ids", random_ids(rng, rows)), ("automatic ids", None)):
        codes = random_codes(rng, rows)
        with index(directory) as store:

            def add(ids: np.ndarray | None = ids, codes: np.ndarray = codes, store: Store = store) -> None:
                with store.write() as txn:
                    txn.append(codes, ids)

            rate = rows / seconds(add)
            show(f"bulk add of {rows:,} rows, {name}", f"{rate / 1e6:.2f} M rows/s", "1 | 3 M rows/s")


def space(directory: Path, rows: int) -> None:
    """Disk after compact()."""
    rng = np.random.default_rng(3)
    strings = [f"{number:020d}" for number in rng.permutation(rows).tolist()]
    kinds: tuple[tuple[str, Any, Any, str], ...] = (
        ("automatic ids", None, "int64", "1.5 | 0.5"),
        ("random int64 ids", random_ids(rng, rows), "int64", "21 | 14"),
        ("20-character strings", strings, "str", "50 | 40"),
    )
    for name, ids, id_type, bar in kinds:
        with index(directory, id_type=id_type) as store:
            fill(store, rng, rows, ids, 200_000)
            took = seconds(store.compact)
            extra = store.stats().file_bytes / rows - M
            show(f"disk of {rows:,} rows after compact() ({took:.1f} s), {name}", f"M + {extra:.2f} bytes", bar)


def growth(directory: Path, rows: int) -> None:
    """Disk while growing row by row, over the compacted size. Commits are not synced: it changes no size."""
    rng = np.random.default_rng(4)
    with index(directory, bulk=True) as store:
        codes, ids = random_codes(rng, 1), random_ids(rng, rows)
        sizes: list[tuple[int, int]] = []
        started = time.perf_counter()
        for at in range(rows):
            with store.write() as txn:
                txn.append(codes, ids[at : at + 1])
            if at + 1 in (rows // 10, rows // 4, rows // 2, rows):
                sizes.append((at + 1, store.stats().file_bytes))
        took = time.perf_counter() - started
        store.compact()
        compacted = store.stats().file_bytes
    for count, size in sizes:
        show(
            f"disk after growing one by one to {count:,} rows, over compacted",
            f"{size / (compacted * count / rows):.2f} x",
            "1.8 | 1.3 x",
        )
    show("... a commit without syncs", f"{1e6 * took / rows:.0f} us", "")


def lookups(directory: Path, rows: int) -> None:
    """Removals and lookups in a large index of random ids."""
    rng = np.random.default_rng(5)
    ids = random_ids(rng, rows)
    with index(directory) as store:
        fill(store, rng, rows, ids)
        asked = rng.choice(ids, min(rows, 1_000_000), replace=False)
        with store.read() as snapshot:
            snapshot.rows_of(asked)
            times = [seconds(lambda: snapshot.rows_of(asked)) for _ in range(5)]
            single = [seconds(lambda at=at: snapshot.rows_of(asked[at : at + 1])) for at in range(2000)]  # type: ignore[misc]
        rate = len(asked) / float(np.median(times))
        show(f"id lookups, batch of {len(asked):,}, {rows:,} rows", f"{rate / 1e6:.2f} M/s", "1 | 3 M/s")
        show("... one at a time", f"{1e6 * float(np.median(single)):.1f} us", "")

        def remove(gone: np.ndarray) -> None:
            with store.write() as txn:
                txn.kill(txn.rows_of(gone))

        # What a removal writes: the tombstones of a segment, its entry, and the state.
        bare = bare_environment(directory)
        database = bare.open_db(b"values")
        value = bytes(store.identity.segment_rows // 8 + 500)

        def commit(at: int) -> None:
            with bare.begin(write=True) as txn:
                txn.put(b"%d" % (at % 150), value, db=database)

        ones: list[float] = []
        commits: list[float] = []
        for at in range(400):
            ones.append(seconds(lambda at=at: remove(asked[at : at + 1])))  # type: ignore[misc]
            commits.append(seconds(lambda at=at: commit(at)))  # type: ignore[misc]
        bare.close()
        one, other = float(np.median(ones)), float(np.median(commits))
        many = [seconds(lambda at=at: remove(asked[at : at + 10_000])) for at in range(10_000, 60_000, 10_000)]  # type: ignore[misc]
        show(f"remove 1 of {rows:,}, p50", f"{1e3 * one:.2f} ms", "2 | 1 ms")
        show(f"... over a bare commit ({1e3 * other:.2f} ms)", f"{one / other:.2f} x", "")
        show(f"remove 10,000 random of {rows:,}, median", f"{float(np.median(many)):.3f} s", "0.3 | 0.1 s")


def opening(directory: Path, rows: int) -> None:
    """Our own time to open."""
    rng = np.random.default_rng(6)
    for count in (rows // 50, rows // 5, rows):
        path = directory / "open.pqs"
        store = Store.create(path, {}, {}, PACKING, bulk=True)
        block = min(count, 500_000)
        codes = random_codes(rng, block)
        started = time.perf_counter()
        for start in range(0, count, block):
            with store.write() as txn:
                txn.append(codes[: min(block, count - start)], random_ids(rng, min(block, count - start)))
        store.publish()
        took = time.perf_counter() - started
        store.close()
        times = [seconds(lambda path=path: Store.open(path, lambda _: PACKING).close()) for _ in range(25)]
        show(f"open of {count:,} rows, random ids", f"{1e3 * float(np.median(times)):.2f} ms", "10 | 3 ms")
        show(f"... built from random codes in {took:.0f} s", f"{count / took / 1e6:.2f} M rows/s", "")
        shutil.rmtree(path)


def churn(directory: Path, rows: int) -> None:
    """Replace 10 % of the rows 50 times."""
    rng = np.random.default_rng(7)
    ids = random_ids(rng, rows)
    with index(directory) as store:
        fill(store, rng, rows, ids)
        store.compact()
        size = store.stats().file_bytes
        codes = random_codes(rng, rows // 10)
        largest = 0
        started = time.perf_counter()
        for _ in range(50):
            part = rng.choice(ids, rows // 10, replace=False)
            with store.write() as txn:
                txn.kill(txn.rows_of(part))
                txn.append(codes, part)
            largest = max(largest, store.stats().file_bytes)
        took = (time.perf_counter() - started) / 50
        stats = store.stats()
        show(
            f"churn: 50 x replace 10 % of {rows:,} ({took:.2f} s each), largest file",
            f"{largest / size:.2f} x",
            "2 | 1.4 x",
        )
        scanned = (stats.live_rows + stats.dead_rows) / stats.live_rows
        show(
            f"... rows that a search passes over, dead ones too ({stats.id_runs} id runs)",
            f"{scanned:.2f} x",
            "1.3 | 1.1 x",
        )


FIGURES: dict[str, tuple[Callable[[Path, int], None], str]] = {
    "add": (adds, "rows"),
    "bulk": (bulk, "rows"),
    "space": (space, "rows"),
    "growth": (growth, "rows"),
    "lookup": (lookups, "lookup_rows"),
    "open": (opening, "open_rows"),
    "churn": (churn, "churn_rows"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--lookup-rows", type=int, default=10_000_000)
    parser.add_argument("--open-rows", type=int, default=50_000_000)
    parser.add_argument("--churn-rows", type=int, default=1_000_000)
    parser.add_argument("--only", default=",".join(FIGURES))
    parser.add_argument("--directory", type=Path, default=None, help="on the disk to be measured")
    arguments = parser.parse_args()
    print(
        f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, NumPy {np.__version__}, py-lmdb {lmdb.__version__}"
    )
    for name in arguments.only.split(","):
        work, size = FIGURES[name]
        with tempfile.TemporaryDirectory(dir=arguments.directory or Path.cwd()) as directory:
            print(name)
            print(f"  {disk_now(Path(directory))}")
            work(Path(directory), getattr(arguments, size))


if __name__ == "__main__":
    main()
