"""A corpus in a .npy file, planned and trained, that the benchmarks of shards begin with."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

import pqstore
from benchmarks.data import load
from pqstore import shards

M = 16


def begun(directory: Path, rows: int, count: int) -> tuple[shards.Plan, Path, np.ndarray]:
    """A plan of `count` shards over `rows` rows of `sift`, the directory with its quantizer, and queries."""
    data = load("sift", rows)
    np.save(directory / "vectors.npy", data.base)
    plan = shards.plan(directory / "vectors.npy", -(-rows // count))
    quantizer = pqstore.PQ(M, verbose=False).fit(data.train[:65_536], iter=8)
    shards.train(plan, quantizer, directory / "begun")
    return plan, directory / "begun", data.queries.astype(np.float32)


def copy_of(place: Path, name: str) -> Path:
    """A directory that begins as `place` does."""
    target = place.with_name(name)
    shutil.copytree(place, target)
    return target
