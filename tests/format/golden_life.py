"""Golden files of indexes that began without codes: exact still, trained, without some vectors, with an end.

`python -m tests.format.golden_life NAME` writes one anew.
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np

import pqstore
from tests.format.golden import DIRECTORY

D, N = 8, 700
END = datetime(2030, 1, 1, tzinfo=timezone.utc)


def vectors() -> np.ndarray:
    """Whole numbers, different for each row, without randomness."""
    rows = np.arange(N)[:, None]
    return ((rows * (2 * np.arange(D) + 3)) % 101 - 50).astype(np.float32)


def gone() -> np.ndarray:
    """Ids that were removed."""
    return np.arange(3, N, 11)


def write(path: Path, *, trained: bool, vectorless: bool) -> None:
    wish = pqstore.PQ(M=4, Ks=16, verbose=False)
    with pqstore.Index.create(path, wish, dim=D, fields=["n"], train="manual", originals="float16") as index:
        index.add(vectors()[:500], payloads=[{"n": n % 7, "text": f"row {n}"} for n in range(500)])
        index.add(vectors()[500:])
        index.remove(gone())
        index.save_set("first", range(5))
        if trained:
            index.train(threads=1)
        if vectorless:
            index.add(None, range(1000, 1020), payloads=[{"n": 9} if n % 2 else None for n in range(20)])
            index.update_vector([1, 2], [None, None])


def write_expiring(path: Path) -> None:
    """Every third vector ends, one a second."""
    ends = [{"until": END + timedelta(seconds=n)} if n % 3 == 0 else None for n in range(N)]
    with pqstore.Index.create(path, dim=D, train="manual", expiry="until", clock=lambda: 0.0) as index:
        index.add(vectors(), payloads=ends)
        index.remove(gone())


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        for name in sys.argv[1:] or ("exact", "trained", "vectorless", "expiring"):
            path = Path(scratch) / f"{name}.pqs"
            if name == "expiring":
                write_expiring(path)
            else:
                write(path, trained=name != "exact", vectorless=name == "vectorless")
            with tarfile.open(DIRECTORY / f"format-1-{name}.tar.xz", "w:xz") as archive:
                for entry in sorted(path.rglob("*")):
                    if entry.name == "data.mdb" or entry.parent.name == "originals":
                        archive.add(entry, entry.relative_to(scratch))


if __name__ == "__main__":
    main()
