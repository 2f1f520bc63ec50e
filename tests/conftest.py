"""Fixtures that several test modules share: the example data and a quantizer trained on it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pqstore

DATA = Path(__file__).parents[1] / "examples" / "data"
MEMORY = Path("/dev/shm")


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where there is one: for faults in which the disk has no part."""
    if not (MEMORY.is_dir() and os.access(MEMORY, os.W_OK)):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="pqstore-", dir=MEMORY) as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def base() -> np.ndarray:
    """SIFT descriptors, uint8 (10000, 128)."""
    return np.load(DATA / "base.npy")


@pytest.fixture(scope="session")
def queries() -> np.ndarray:
    """Queries for `base`, uint8 (200, 128)."""
    return np.load(DATA / "queries.npy")


@pytest.fixture(scope="session")
def truth() -> np.ndarray:
    """The 100 exact nearest rows of `base` for each query, int32 (200, 100)."""
    return np.load(DATA / "neighbors.npy")


@pytest.fixture(scope="session")
def sift_pq() -> pqstore.PQ:
    """A PQ with 16 one-byte codes for `base`."""
    return pqstore.PQ(M=16, verbose=False).fit(np.load(DATA / "train.npy"), iter=5)


@pytest.fixture(scope="session")
def small_pq() -> pqstore.PQ:
    """A quick PQ: D=8, M=4, 32 codewords."""
    vectors = np.random.default_rng(5).standard_normal((300, 8)).astype(np.float32)
    return pqstore.PQ(M=4, Ks=32, verbose=False).fit(vectors, iter=3)
