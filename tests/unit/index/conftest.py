"""Indexes that these tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pqstore
from tests.unit.index.contents import GOOD, N, payload, vectors


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory, small_pq: pqstore.PQ) -> pqstore.Index:
    """Originals, payloads and a column; tests leave it as it is."""
    path = tmp_path_factory.mktemp("filled") / "index"
    made = pqstore.Index.create(path, small_pq, originals="float32", fields=["n"])
    made.add(vectors(), payloads=[payload(n) for n in range(N)])
    made.calibrate(vectors()[:40], recall=0.9, k=5)
    return made


@pytest.fixture
def empty(tmp_path: Path, small_pq: pqstore.PQ) -> pqstore.Index:
    """Keeps originals of float16, and holds nothing yet."""
    return pqstore.Index.create(tmp_path / "index", small_pq, originals="float16")


@pytest.fixture
def sift_index(tmp_path: Path, sift_pq: pqstore.PQ, base: np.ndarray):
    """All of `base`, under automatic ids."""
    with pqstore.Index.create(tmp_path / "index", sift_pq) as index:
        index.add(base)
        yield index


@pytest.fixture
def index(tmp_path: Path, small_pq: pqstore.PQ):
    """Five vectors, which every test leaves there."""
    with pqstore.Index.create(tmp_path / "index", small_pq) as index:
        index.add(GOOD, ids=[10, 11, 12, 13, 14])
        yield index
        assert list(index) == [10, 11, 12, 13, 14], "a refused call changes nothing"
        assert index.verify(deep=True) == []


@pytest.fixture
def named(tmp_path: Path, small_pq: pqstore.PQ):
    """One vector under an id of type str, which every test leaves there."""
    with pqstore.Index.create(tmp_path / "named", small_pq, id_type="str") as index:
        index.add(GOOD[:1], ids=["a"])
        yield index
        assert list(index) == ["a"], "a refused call changes nothing"
