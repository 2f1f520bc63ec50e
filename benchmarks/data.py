"""The real vectors that the benchmarks measure on: a directory named by PQSTORE_BENCH_DATA, not shipped."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pqstore.index.recall.share import recall_at

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Dataset:
    """Vectors of one kind; `neighbors` holds the exact nearest base rows of each query."""

    name: str
    base: np.ndarray
    train: np.ndarray
    queries: np.ndarray
    neighbors: np.ndarray


def directory() -> Path:
    """Where the data lie; ends the program with a clear word when they are missing."""
    path = os.environ.get("PQSTORE_BENCH_DATA", "")
    if not Path(path).is_dir() or not path:
        sys.exit(
            f"no benchmark data at {path!r}: set PQSTORE_BENCH_DATA to a directory that holds sift/ and minilm/,"
            " each with base.npy, train.npy, queries.npy and neighbors.npy"
        )
    return Path(path)


def load(name: str, rows: int | None = None) -> Dataset:
    """The set `name`; with `rows`, its base repeated with jitter up to that many (and no neighbours)."""
    path = directory() / name
    if not path.is_dir():
        sys.exit(f"no {name} data at {path}: see PQSTORE_BENCH_DATA")
    base, train, queries, neighbors = (np.load(path / f"{n}.npy") for n in ("base", "train", "queries", "neighbors"))
    if rows is not None and rows != len(base):
        base, neighbors = repeat_with_jitter(base, rows), np.empty((len(queries), 0), np.int32)
    return Dataset(name, base, train, queries, neighbors)


def repeat_with_jitter(base: np.ndarray, rows: int, seed: int = 0) -> np.ndarray:
    """`rows` vectors: the base again and again, each copy but the first with a little noise."""
    if rows <= len(base):
        return base[:rows]
    rng = np.random.default_rng(seed)
    repeated = np.empty((rows, base.shape[1]), dtype=base.dtype)
    for start in range(0, rows, len(base)):
        part = base[: rows - start]
        if start and base.dtype == np.uint8:
            noise = rng.integers(-3, 4, part.shape, dtype=np.int16)
            part = np.clip(part + noise, 0, 255).astype(np.uint8)
        elif start:
            noise = rng.standard_normal(part.shape, dtype=np.float32) * 0.01
            part = (part.astype(np.float32) + noise).astype(base.dtype)
        repeated[start : start + len(part)] = part
    return repeated


def recall(found: np.ndarray, truth: np.ndarray, k: int) -> float:
    """Mean share of the true k nearest among the first k found."""
    return recall_at(k, found, truth)


def machine() -> str:
    """One line about the machine, to stand beside every figure."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "unknown processor",
    )
    return f"{model}, {len(os.sched_getaffinity(0))} cores"
