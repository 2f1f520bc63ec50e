"""Training: a sample from all pieces, one quantizer under the name of its content, once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore import shards
from pqstore.shards.recipe import hash_of
from pqstore.shards.training import sample


def test_the_sample_is_drawn_from_all_pieces(tmp_path: Path) -> None:
    for part in range(3):
        rows = np.arange(part * 100, part * 100 + 100, dtype=np.float32)
        np.save(tmp_path / f"{part}.npy", np.repeat(rows[:, None], 4, axis=1))
    plan = shards.plan(str(tmp_path / "*.npy"), 70)
    assert np.array_equal(sample(plan, 1000)[:, 0], np.arange(300)), "all, where there are no more"
    drawn = sample(plan, 90, seed=1)
    assert drawn.shape == (90, 4)
    assert len(np.unique(drawn[:, 0])) == 90
    assert (np.diff(drawn[:, 0]) > 0).all()
    assert np.bincount((drawn[:, 0] // 100).astype(int)).min() > 15
    assert np.array_equal(sample(plan, 90, seed=1), drawn)
    assert not np.array_equal(sample(plan, 90, seed=2), drawn)


def test_of_row_groups_a_few_are_read(tmp_path: Path, monkeypatch) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    vectors = np.repeat(np.arange(6000, dtype=np.float32)[:, None], 4, axis=1)
    parquet.write_table(arrow.table({"vector": list(vectors)}), tmp_path / "x.parquet", row_group_size=100)
    np.save(tmp_path / "x.npy", vectors)
    for name in ("x.parquet", "x.npy"):
        plan = shards.plan(tmp_path / name, 2000)
        drawn = sample(plan, 60)[:, 0]
        assert len(np.unique(drawn)) == 60
        assert (np.diff(drawn) > 0).all()
        shares = np.bincount((drawn // 2000).astype(int), minlength=3)
        assert shares.min() > 8, "each piece gives its share"
        if name == "x.parquet":
            groups = np.unique(drawn // 100)
            assert len(groups) <= sum(-(-int(share) * 8 // 100) + 1 for share in shares) < 20
        assert np.array_equal(sample(plan, 60)[:, 0], drawn)


def test_it_is_done_once(begun) -> None:
    known = next(begun.place.glob("quantizer-*.npz")).stat().st_mtime_ns
    recipe = shards.train(begun.plan, pqstore.PQ(M=4, Ks=32, verbose=False), begun.place, originals="float16")
    assert recipe.trained_on == len(begun.vectors)
    assert next(begun.place.glob("quantizer-*.npz")).stat().st_mtime_ns == known
    for settings in (
        {"originals": None},
        {"originals": "float16", "fields": ["x"]},
        {"originals": "float16", "partitions": 3},
    ):
        with pytest.raises(pqstore.PQStoreError, match="another recipe"):
            shards.train(begun.plan, pqstore.PQ(M=4, Ks=32, verbose=False), begun.place, **settings)
    other = pqstore.PQ(M=4, Ks=32, verbose=False).fit(begun.vectors, seed=9)
    with pytest.raises(pqstore.PQStoreError, match="another recipe"):
        shards.train(begun.plan, other, begun.place, originals="float16")


def test_a_trained_quantizer_is_taken_as_it_is(tmp_path: Path, begun) -> None:
    opq = pqstore.OPQ(M=4, Ks=16, metric="dot", verbose=False).fit(begun.vectors, pq_iter=2, rotation_iter=2)
    recipe = shards.train(begun.plan, opq, tmp_path / "x")
    assert (recipe.quantizer, recipe.metric, recipe.trained_on) == (hash_of(opq), "dot", 0)
    assert hash_of(opq.with_metric("l2")) == recipe.quantizer, "codes are the same under every metric"
    shards.build(begun.plan, tmp_path / "x")
    shards.commit(begun.plan, tmp_path / "x")
    with (
        shards.Collection.open(tmp_path / "x") as many,
        pqstore.Index.create(tmp_path / "one", opq, metric="dot") as one,
    ):
        one.add(begun.vectors)
        left, right = many.search(begun.vectors[:9], k=20), one.search(begun.vectors[:9], k=20)
        assert np.array_equal(left.ids, right.ids)
        assert np.array_equal(left.distances.view(np.uint32), right.distances.view(np.uint32))


def test_what_cannot_be_meant_is_refused(tmp_path: Path, begun) -> None:
    with pytest.raises(TypeError, match="a PQ or an OPQ"):
        shards.train(begun.plan, "PQ", tmp_path / "x")
    with pytest.raises(pqstore.DimensionError, match="the plan have 16"):
        shards.train(begun.plan, pqstore.PQ(M=2, Ks=4, verbose=False).fit(begun.vectors[:, :8]), tmp_path / "x")
    with pytest.raises(pqstore.TrainingError):
        shards.train(begun.plan, pqstore.PQ(M=5, verbose=False), tmp_path / "x")
    with pytest.raises(ValueError, match="originals"):
        shards.train(begun.plan, None, tmp_path / "x", originals="double")
    assert not (tmp_path / "x").exists()
