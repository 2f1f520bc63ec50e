"""Run by `test_memory_limit` in a process of its own: joins a control group, then searches an index or reads a file.

    python -m tests.crash.limited_reader (index|file) PATH GROUP RESULT

What Python, NumPy and a first search need is there before the group is joined, and is not collected later: what the
group counts is what searching adds. "file" reads every page of a mapped file in turn, as any program may: where its
process is killed, the machine's groups count pages in a way that says nothing about an index.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import numpy as np

import pqstore

M, K = 64, 20


def search(path: Path) -> dict[str, np.ndarray]:
    queries = np.random.default_rng(8).standard_normal((5, M)).astype(np.float32)
    with pqstore.Index.open(path) as index:
        found = index.search(queries, k=K, threads=1)
        assert found.ids[0, 0] in index
    return {"ids": found.ids, "distances": found.distances}


def read(path: Path) -> dict[str, np.ndarray]:
    pages = np.memmap(path, dtype=np.uint8, mode="r")
    return {"sum": np.array([pages[at : at + (1 << 20)].sum(dtype=np.int64) for at in range(0, len(pages), 1 << 20)])}


def leave_the_cache(path: Path) -> None:
    """So that the pages count for the group that reads them next."""
    for file in [path] if path.is_file() else path.rglob("data.mdb"):
        with file.open("rb") as handle:
            os.fdatasync(handle.fileno())
            os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    work = {"index": search, "file": read}[sys.argv[1]]
    path, group, result = map(Path, sys.argv[2:])
    work(path)
    gc.collect()
    gc.freeze()  # a collection would write to objects from before, and so count them
    leave_the_cache(path)
    (group / "cgroup.procs").write_text(str(os.getpid()))
    found = work(path)
    gc.unfreeze()
    with result.open("wb") as handle:
        np.savez(handle, **found)
