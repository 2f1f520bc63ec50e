"""Shards that are open, when the manifest says others."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from pqstore import shards
from pqstore.errors import DocumentError, ForeignShardError, PQStoreError
from pqstore.shards.manifest import read_collection, write_collection
from pqstore.shards.place import Place


def test_a_collection_that_takes_the_place_of_another_is_opened_anew(collection, tmp_path) -> None:
    """Shards were known by their numbers alone: the open ones went on answering for those of the new collection."""
    np.save(tmp_path / "other.npy", collection.vectors[:900] + 100)
    plan = shards.plan(tmp_path / "other.npy", 300)
    made = shards.Collection.open(collection.place)
    shards.train(plan, made._open.latest.shards[0].quantizer, tmp_path / "other")
    shards.build(plan, tmp_path / "other")
    shards.commit(plan, tmp_path / "other")
    with made:
        assert len(made) == 2000
        shutil.copytree(tmp_path / "other", collection.place, dirs_exist_ok=True)
        assert len(made) == 900
        assert set(made.search(collection.vectors[0] + 100, k=3).ids.tolist()) < set(range(900))


def test_open_shards_are_compared_with_a_new_manifest(collection) -> None:
    place = Place(collection.place)
    with shards.Collection.open(collection.place) as made:
        write_collection(place, replace(read_collection(place), metric="dot"))
        with pytest.raises(ForeignShardError, match="its metric is l2, not dot"):
            made.search(collection.vectors[0])


def test_a_manifest_that_nobody_could_read_is_not_written(collection) -> None:
    """The number after the last one was written into a manifest, which no one opened again."""
    place = Place(collection.place)
    sound = place.collection.read_bytes()
    known = read_collection(place)
    last = known.shards[3]._replace(number=99_999, name=place.shard(99_999, known.plan).name)
    place.shard(3, known.plan).rename(place.directory / last.name)
    write_collection(place, replace(known, shards=(*known.shards[:3], last)))
    with shards.Collection.open(collection.place) as made:
        with pytest.raises(PQStoreError, match="the last is taken"):
            made.add_shard()
        assert len(made) == 2000
    with pytest.raises(DocumentError, match="would be no sound"):
        write_collection(place, replace(known, revision=(1 << 62) + 1))
    assert sound != place.collection.read_bytes()
    read_collection(place)


def test_names_and_indexes_of_shards_are_those_of_their_numbers(collection) -> None:
    place = Place(collection.place)
    known = read_collection(place)
    first, second = known.shards[:2]
    write_collection(place, replace(known, shards=(first._replace(name=second.name),)))
    with pytest.raises(DocumentError, match="shard 0 of the plan expected"):
        read_collection(place)
    write_collection(place, replace(known, shards=(first, second._replace(uuid=first.uuid))))
    with pytest.raises(DocumentError, match="another index for each"):
        read_collection(place)
