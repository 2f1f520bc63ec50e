"""Lists that were asked for when the index was made."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pqstore
from pqstore.index.lists import wish
from tests.unit.index.listed import assert_all_lists_are_flat, small_segments

D = 32


def vectors(n: int) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((n, D)).astype(np.float32)


@pytest.fixture
def pq() -> pqstore.PQ:
    return pqstore.PQ(M=32, Ks=32, verbose=False).fit(vectors(200), iter=2)


@pytest.mark.parametrize(("partitions", "enough"), [(4, 256), ("auto", 300)])
def test_lists_come_with_the_vectors(
    tmp_path: Path, pq: pqstore.PQ, partitions: Any, enough: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wish, "AUTOMATIC_FROM", 300)
    with small_segments(), pqstore.Index.create(tmp_path / "index", pq, partitions=partitions) as index:
        index.add(vectors(enough - 1))
        assert index.stats().lists is None
        index.close()
        index = pqstore.Index.open(tmp_path / "index")  # noqa: PLW2901
        index.add(vectors(1))
        lists = index.stats().lists
        assert lists is not None
        assert lists.partitions == (4 if partitions == 4 else 37)
        index.add_codes(index.codes(list(index)))
        assert index.stats().lists.listed_rows > lists.listed_rows
        assert index.stats().lists.partitions == lists.partitions
        assert assert_all_lists_are_flat(index, vectors(3), 10)
        index.partition(None)
        index.add(vectors(10))
        assert index.verify(deep=True) == []
        index.close()


def test_a_build_has_its_lists_when_it_appears(tmp_path: Path, pq: pqstore.PQ) -> None:
    with small_segments(), pqstore.Index.create(tmp_path / "index", pq, bulk=True, partitions=4) as index:
        index.add(vectors(500))
        index.add(vectors(501))
        assert index.stats().lists is None
    with pqstore.Index.open(tmp_path / "index") as index:
        assert index.stats().lists.trained_rows == 1001
        assert index.stats().lists.runs == 1
        assert index.verify(deep=True) == []


def test_what_fails_is_told_and_tried_again(
    tmp_path: Path, pq: pqstore.PQ, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise pqstore.StorageFullError("no room")

    with pqstore.Index.create(tmp_path / "index", pq, partitions=2) as index:
        with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, logger="pqstore"):
            patch.setattr(wish, "partition", fail)
            assert len(index.add(vectors(300))) == 300
        assert "its lists could not be made (no room)" in caplog.text
        assert index.stats().lists is None
        index.add(vectors(1))
        assert index.stats().lists.partitions == 2


@pytest.mark.parametrize("partitions", [0, -1, 65_537, 1.5, True, "some"])
def test_bad_wishes(tmp_path: Path, pq: pqstore.PQ, partitions: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="partitions must be"):
        pqstore.Index.create(tmp_path / "index", pq, partitions=partitions)
    assert not (tmp_path / "index").exists()
