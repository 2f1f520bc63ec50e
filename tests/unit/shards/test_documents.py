"""Documents: whole, or refused by name; nothing that they say is trusted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pqstore import shards
from pqstore.errors import DocumentError, FormatVersionError
from pqstore.shards.documents import canonical, digest, read_document, write_document
from pqstore.shards.manifest import read_collection, read_manifest
from pqstore.shards.place import Place
from pqstore.shards.recipe import read_recipe
from pqstore.storage.format.fields import whole
from tests.effort import tries


def forged(path: Path, change) -> None:
    """Write a document anew with another body, and a sum that holds."""
    contents = json.loads(path.read_text())
    del contents["sum"]
    change(contents)
    path.write_text(json.dumps({**contents, "sum": digest(canonical(contents))}))


READERS = {
    "plan.json": lambda place, _: shards.Plan.load(place.plan),
    "recipe.json": lambda place, _: read_recipe(place),
    "collection.json": lambda place, _: read_collection(place),
    "shard": lambda place, plan: read_manifest(place, 0, plan),
}


def path_of(place: Path, name: str, plan: str) -> Path:
    return place / (f"shard-00000-{plan}.json" if name == "shard" else name)


@pytest.mark.parametrize("name", READERS)
def test_flipped_and_cut_bytes_are_named(name: str, collection) -> None:
    path = path_of(collection.place, name, collection.plan.hash)
    sound = path.read_bytes()
    rng = np.random.default_rng(3)
    for _ in range(tries(60, 2000)):
        at = int(rng.integers(len(sound)))
        damaged = bytearray(sound)
        damaged[at] ^= int(rng.integers(1, 256))
        if json_of(bytes(damaged)) == json_of(sound):
            continue  # a space for a line end
        path.write_bytes(damaged if rng.random() < 0.8 else sound[:at])
        with pytest.raises((DocumentError, FormatVersionError), match=path.name.replace(".", r"\.")):
            READERS[name](Place(collection.place), collection.plan.hash)


def json_of(raw: bytes) -> object:
    try:
        return json.loads(raw)
    except ValueError:
        return raw


# Not every other value is wrong: some say something else, and are compared where they are used.
MEANT = {
    "root": ["../y"],
    "member": [None, "../y"],
    "id_column": [None, "../y"],
    "metric": [None],
    "originals": [None],
    "partitions": [None],
    "skip_nulls": [True],
    "fields": [[], ["a", "a"]],
    "payload_columns": [[], ["a", "a"]],
}


@pytest.mark.parametrize("name", READERS)
def test_every_value_is_checked_although_the_sum_holds(name: str, collection) -> None:
    path = path_of(collection.place, name, collection.plan.hash)
    sound = path.read_text()
    for key in json.loads(sound)["body"]:
        for value in (None, -1, 1 << 70, 1.5, True, "", "x\0", "../y", [], [[]], {}, [-1], ["a", "a"]):
            kept = json.loads(sound)["body"][key]
            if value == kept or any(value == other for other in MEANT.get(key, ())):
                continue
            path.write_text(sound)
            forged(path, lambda contents, key=key, value=value: contents["body"].update({key: value}))
            with pytest.raises(DocumentError):
                READERS[name](Place(collection.place), collection.plan.hash)
        path.write_text(sound)
        forged(path, lambda contents, key=key: contents["body"].pop(key))
        with pytest.raises(DocumentError, match="a map of"):
            READERS[name](Place(collection.place), collection.plan.hash)


def test_plans_that_contradict_themselves_are_refused(collection) -> None:
    place = Place(collection.place)
    sound = place.plan.read_text()

    def refused(change, match: str) -> None:
        place.plan.write_text(sound)
        forged(place.plan, change)
        with pytest.raises(DocumentError, match=match):
            shards.Plan.load(place.plan)

    def piece(at: int, value: int):
        return lambda contents: contents["body"]["shards"][1][2][0].__setitem__(at, value)

    refused(piece(0, 5), "pieces in the order of the files")
    refused(piece(1, 0), "pieces in the order of the files")
    refused(piece(2, 1), "without a gap")
    refused(piece(3, 10**9), "rows")
    refused(lambda contents: contents["body"]["shards"].pop(), "every row of every file")
    refused(lambda contents: contents["body"]["shards"][2].__setitem__(0, 3), "first number")
    refused(lambda contents: contents["body"]["files"][0].__setitem__(0, "../../etc/passwd"), "within the root")
    refused(lambda contents: contents["body"].update(id_type="str"), "id_type")


def test_other_documents_and_versions_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_document(path, "test", whole(0, 9), 5)
    assert read_document(path, "test", whole(0, 9)) == 5
    with pytest.raises(DocumentError, match="a other of pqstore expected"):
        read_document(path, "other", whole(0, 9))
    forged(path, lambda contents: contents.update(version=2))
    with pytest.raises(FormatVersionError, match="upgrade pqstore"):
        read_document(path, "test", whole(0, 9))
    for raw in (b"", b"[]", b"5", b"[" * 100_000, b'{"pqstore": "test", "pqstore": "test"}', b"\xff", b"NaN", b"1e5"):
        path.write_bytes(raw)
        with pytest.raises(DocumentError):
            read_document(path, "test", whole(0, 9))
