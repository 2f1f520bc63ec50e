"""What stands in the place of files and shards of a collection: refused by name, not waited for or written to."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pqstore import shards
from pqstore.errors import CorruptIndexError, DocumentError, PQStoreError
from pqstore.shards.own_files import read_own
from pqstore.shards.place import Place
from pqstore.shards.recipe import load_centroids, read_recipe, write_recipe


def _gone(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def link(path: Path, outside: Path) -> None:
    """A link to what was there, which lies elsewhere now."""
    if path.exists():
        shutil.move(path, outside / "moved")
    path.symlink_to(outside / "moved")


def pipe(path: Path, outside: Path) -> None:
    _gone(path)
    os.mkfifo(path)


def directory(path: Path, outside: Path) -> None:
    _gone(path)
    (path / "inner").mkdir(parents=True)


def _open_and_write(made) -> None:
    with shards.Collection.open(made.place) as collection:
        collection.search(made.vectors[:2])
        collection.add(made.vectors[:2], [10**6, 10**6 + 1])


def _fetch(made) -> None:
    shards.fetch(made.place, made.place.with_name("fetched"))


def _build(made) -> None:
    shutil.rmtree(Place(made.place).shard(3, made.plan.hash))
    shards.build(made.plan, made.place)


ENTRIES: dict[str, tuple[Callable[[Place, str], Path], tuple[Callable[..., None], ...]]] = {
    "collection": (lambda place, _: place.collection, (_open_and_write, _fetch)),
    "lock": (lambda place, _: place.lock, (_open_and_write,)),
    "shard": (lambda place, plan: place.shard(1, plan), (_open_and_write, _fetch)),
    "manifest": (lambda place, plan: place.manifest(1, plan), (_fetch, _build)),
    "recipe": (lambda place, _: place.recipe, (_fetch, _build)),
    "quantizer": (lambda place, _: next(place.directory.glob("quantizer-*")), (_fetch, _build)),
    "built": (lambda place, plan: place.shard(2, plan), (_build,)),
}
CASES = [(entry, work) for entry, (_, works) in ENTRIES.items() for work in works]


@pytest.mark.parametrize("instead", [link, pipe, directory], ids=lambda made: made.__name__)
@pytest.mark.parametrize(("entry", "work"), CASES, ids=lambda part: part if isinstance(part, str) else part.__name__)
def test_what_is_no_file_of_the_collection_is_refused(entry: str, work, instead, collection, tmp_path: Path) -> None:
    """A lock that was a link made an empty file where it led, a pipe was waited for, and a shard that was a link was
    written to where it lay."""
    if instead is directory and entry in ("shard", "built"):
        pytest.skip("a shard is a directory")
    outside = tmp_path / "outside"
    outside.mkdir()
    instead(ENTRIES[entry][0](Place(collection.place), collection.plan.hash), outside)
    before = {path: path.read_bytes() for path in sorted(outside.rglob("*")) if path.is_file()}
    with pytest.raises(PQStoreError) as caught:
        work(collection)
    assert isinstance(caught.value, (CorruptIndexError, DocumentError))
    assert {path: path.read_bytes() for path in sorted(outside.rglob("*")) if path.is_file()} == before


def test_files_are_not_read_beyond_what_they_may_have(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_own(path, 5) == b"12345"
    with pytest.raises(DocumentError, match="at most 4 bytes"):
        read_own(path, 4)
    with pytest.raises(FileNotFoundError, match="is not there"):
        read_own(tmp_path / "none", 4)


def test_centroids_of_another_size_are_not_read(collection) -> None:
    """Up to four gigabytes of the file were read before its size was compared."""
    place, forged = Place(collection.place), "0" * 32
    recipe = read_recipe(place)
    recipe = replace(recipe, partitions=4, centroids=forged)
    write_recipe(place, recipe)
    place.centroids(forged).write_bytes(np.zeros((5, 16), dtype="<f4").tobytes())
    with pytest.raises(DocumentError, match="at most 256 bytes"):
        load_centroids(place, recipe, 16)
