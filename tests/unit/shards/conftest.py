"""A small collection, an index of the same vectors, and what it takes to make more."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import pqstore
from pqstore import shards

ROWS, D = 2000, 16


class Made(NamedTuple):
    plan: shards.Plan
    place: Path
    vectors: np.ndarray
    one: pqstore.Index


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """A plan of four shards, and a directory with quantizer and recipe; no shard is built yet."""
    directory = tmp_path_factory.mktemp("trained")
    vectors = np.random.default_rng(4).integers(0, 5, (ROWS, D)).astype(np.float32)
    np.save(directory / "vectors.npy", vectors)
    plan = shards.plan(directory / "vectors.npy", ROWS // 4)
    quantizer = pqstore.PQ(M=4, Ks=32, verbose=False)
    recipe = shards.train(plan, quantizer, directory / "begun", originals="float16")
    stored = pqstore.PQ.load(directory / "begun" / f"quantizer-{recipe.quantizer}.npz")
    with pqstore.Index.create(directory / "one", stored, originals="float16") as one:
        one.add(vectors)
        yield Made(plan, directory / "begun", vectors, one)


@pytest.fixture(scope="session")
def committed(trained: Made, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The collection; tests leave it as it is."""
    place = tmp_path_factory.mktemp("committed") / "collection"
    shutil.copytree(trained.place, place)
    shards.build(trained.plan, place, threads=1)
    shards.commit(trained.plan, place)
    return trained._replace(place=place)


@pytest.fixture
def begun(trained: Made, tmp_path: Path) -> Made:
    """A copy of `trained`."""
    shutil.copytree(trained.place, tmp_path / "begun")
    return trained._replace(place=tmp_path / "begun")


@pytest.fixture
def collection(committed: Made, tmp_path: Path) -> Made:
    """A copy of `committed`."""
    shutil.copytree(committed.place, tmp_path / "collection")
    return committed._replace(place=tmp_path / "collection")


@pytest.fixture
def same(trained: Made) -> Callable[..., None]:
    """Whether something that is searched answers as the one index."""

    def check(asked, **arguments) -> None:
        queries = trained.vectors[:: ROWS // 8] + 0.25
        many, one = asked.search(queries, **arguments), trained.one.search(queries, **arguments)
        assert np.array_equal(many.ids, one.ids)
        assert np.array_equal(many.distances.view(np.uint32), one.distances.view(np.uint32))

    return check
