"""Fixtures that several test modules share: the example data and a quantizer trained on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pqstore

DATA = Path(__file__).parents[1] / "examples" / "data"


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
