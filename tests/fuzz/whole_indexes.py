"""Small sound indexes of every make, and everything that a caller does with one that may not be sound."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pqstore
from pqstore.storage import store as store_module
from pqstore.storage.disk.crash_points import observe
from pqstore.storage.upkeep import rebuild_plan

from .runner import Steps

__all__ = ["MAKES", "Make", "build_all", "use_all"]


@dataclass(frozen=True, slots=True)
class Make:
    """How an index is made."""

    M: int
    Ks: int
    D: int
    kind: str
    metric: Any
    id_type: Any
    originals: Any
    fields: tuple[str, ...]
    partitions: int | None = None
    begins: str = "codes"
    """What the vectors are at first: "codes", "exact", or "trains": exact, and then by codes."""
    left: bool = False
    """Whether another training was interrupted, whose rows so far lie in the directory."""


MAKES = {
    "automatic": Make(4, 256, 16, "PQ", "l2", "int64", "float32", ("year", "tags"), 11),
    "4-bit": Make(3, 16, 12, "OPQ", "cosine", "str", None, ("year",)),
    "wide": Make(3, 300, 12, "PQ", "dot", "int64", "int8", (), 7),
    "strings": Make(5, 100, 15, "PQ", "l2", "str", None, ("name", "in.page")),
    "exact": Make(4, 16, 16, "PQ", "cosine", "str", "float16", ("year",), begins="exact"),
    "trained here": Make(4, 16, 16, "OPQ", "l2", "int64", "float16", ("year", "in.page"), 7, begins="trains"),
    "training": Make(4, 16, 16, "PQ", "l2", "str", "float16", ("year",), 5, begins="trains", left=True),
}
_ROWS = 700
_SEGMENT_ROWS = 256


def vectors_of(make: Make) -> Any:
    return np.random.default_rng(5).normal(size=(_ROWS, make.D)).astype(np.float32)


def ids_of(make: Make, name: str) -> Any:
    if make.id_type == "str":
        return [f"id-{at}-é" for at in range(_ROWS)]
    if name == "automatic":
        return None
    return np.random.default_rng(7).permutation(_ROWS) * 7919 - 5000


def payload(at: int) -> dict[str, Any]:
    year = None if at % 7 == 0 else 1990 + at % 40
    content: dict[str, Any] = {"year": year, "tags": ["a", "b", "cc"][: at % 4], "name": f"n{at % 30}", "w": at * 0.5}
    content["in"] = {"page": at % 9}
    return content | ({"big": "z" * 9000} if at % 301 == 0 else {})


def build_all(folder: Path) -> dict[str, Path]:
    """An index of each make: sealed segments, runs, a tail, removed rows, payloads, sets."""
    built = {}
    with _short_segments():
        for name, make in MAKES.items():
            built[name] = folder / f"{name}.pqs"
            _build(built[name], name, make)
    return built


@contextmanager
def _short_segments() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (store_module, rebuild_plan):
            patch.setattr(module, "segment_rows_for", lambda packing: _SEGMENT_ROWS)
        yield


def _build(path: Path, name: str, make: Make) -> None:
    kind: Any = getattr(pqstore, make.kind)
    vectors, ids = vectors_of(make), ids_of(make, name)
    rng = np.random.default_rng(0)
    training = rng.normal(size=(max(2 * make.Ks, 400), make.D)).astype(np.float32)
    quantizer = kind(M=make.M, Ks=make.Ks, metric=make.metric, verbose=False)
    # Codewords need not be good ones; fitting takes most of the time.
    few = {"iter": 1} if make.kind == "PQ" else {"pq_iter": 1, "rotation_iter": 1}
    quantizer.fit(training, **few)
    options: dict[str, Any] = {"id_type": make.id_type, "originals": make.originals, "fields": make.fields}
    trained = quantizer
    if make.begins != "codes":
        quantizer = kind(M=make.M, Ks=make.Ks, verbose=False)
        options |= {"dim": make.D, "train": "manual"}
    with pqstore.Index.create(path, quantizer, metric=make.metric, **options) as index:
        given: list[Any] = []
        for start in range(0, _ROWS, 250):
            part = slice(start, start + 250)
            payloads = [payload(at) for at in range(_ROWS)[part]] if make.fields else None
            given += list(index.add(vectors[part], ids=None if ids is None else ids[part], payloads=payloads))
        index.remove(given[100:130] + given[-5:])
        index.save_set("some", given[:50])
        index.save_set("others", given[200:210])
        if make.begins != "codes":
            given += list(index.add(None, _new_ids(make, 9, 4 * 10**9), payloads=[payload(at) for at in range(9)]))
        if make.begins == "trains":
            index.train(trained)
        if make.partitions:
            index.partition(make.partitions)
        if make.left:
            _leave_training(index)
        assert index.verify(deep=True) == []


def _leave_training(index: pqstore.Index) -> None:
    def interrupt(point: str) -> None:
        if point == "rows rebuilt":
            raise KeyboardInterrupt

    observe(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            index.retrain()
    finally:
        observe(None)


def use_all(path: Path, name: str, steps: Steps) -> None:
    """Everything, in the order in which callers do it; what raises a `PQStoreError` is no matter."""
    warnings.simplefilter("ignore", pqstore.UnreadablePayloadWarning)  # what was done to it, it says
    make = MAKES[name]
    vectors, ids = vectors_of(make), ids_of(make, name)
    some: Any = list(range(0, 600, 60)) if ids is None else [ids[at] for at in range(0, 600, 60)]
    opened: list[pqstore.Index] = []
    if steps("open", lambda: opened.append(pqstore.Index.open(path))):
        index = opened[0]
        with _short_segments():  # what a training has left would be of another size
            for what, work in (_reads(index, make, vectors, some) | _writes(index, make, vectors, some, path)).items():
                steps(what, work)
        steps("repair while open", lambda: pqstore.Index.repair(path, path.with_name("salvaged.pqs")))
        steps("close", index.close)
    steps("repair", lambda: pqstore.Index.repair(path, path.with_name("repaired.pqs")))
    for copy in ("backup.pqs", "salvaged.pqs", "repaired.pqs"):
        shutil.rmtree(path.with_name(copy), ignore_errors=True)


def _reads(index: pqstore.Index, make: Make, vectors: Any, some: Any) -> dict[str, Callable[[], object]]:
    query = vectors[:3]
    reads: dict[str, Callable[[], object]] = {
        "count": lambda: (len(index), repr(index)),
        "search": lambda: index.search(query[0], k=5, threads=1),
        "search many": lambda: index.search(query, k=20, threads=2),
        "range": lambda: index.range_search(query[0], 3.0, limit=50, threads=1),
        "get": lambda: index.get(some, missing="ignore"),
        "payloads": lambda: index.search(query[0], k=5, include=("payload", "vector"), threads=1).payloads,
        "scroll": lambda: index.scroll(limit=300),
        "contains": lambda: [identifier in index for identifier in some],
        "iterate": lambda: list(index),
        "codes": lambda: index.codes(some[:2]),
        "reconstruct": lambda: index.reconstruct(some[:2]),
        "iterate codes": lambda: list(index.iter_codes()),
        "sets": lambda: [len(index.saved_set(name)) for name in index.sets],
        "allow": lambda: index.search(query[0], k=5, allow="some", threads=1),
        "stats": index.stats,
    }
    if make.partitions:
        reads["lists"] = lambda: index.search(query, k=20, nprobe=_if_lists(index, 5), threads=2)
        reads["all lists"] = lambda: index.search(query[0], k=5, scan=_if_lists(index, 10**9), explain=True)
    if make.fields:
        reads["where"] = lambda: index.search(query[0], k=5, where={"year": {"$gte": 2020}}, threads=1)
        reads["where in"] = lambda: index.count({"$or": [{"year": 1999}, {"name": {"$in": ["n5", "n7"]}}]})
        reads["where not indexed"] = lambda: index.count({"w": {"$lt": 100}})
        reads["where text"] = lambda: index.count({"$or": [{"name": {"$text": "n5"}}, {"name": {"$itext": "N7"}}]})
        reads["where empty"] = lambda: index.count({"tags": {"$empty": True}})
        reads["values"] = lambda: [index.field_values(field, limit=7) for field in ("year", "name", "tags", "w")]
        reads["values where"] = lambda: index.field_values("name", {"year": {"$lt": 2000}}, prefix="n1", after="n10")
        # Kind by kind: a payload that lies may make them several, which together have no range.
        reads["reach"] = lambda: [
            index.field_range(field, kind=kind) for field in ("year", "name") for kind in ("number", "str")
        ]
        reads["kinds"] = index.field_kinds
        reads["groups"] = lambda: index.search(query, k=4, group_by="name", per_group=2, threads=1)
        reads["diversity"] = lambda: index.search(query, k=4, mmr=0.4, candidates=30, threads=1)
        reads["where path"] = lambda: (index.count({"in.page": {"$gte": 4}}), index.field_values("in.page"))
        reads["where contains"] = lambda: index.count({"tags": {"$contains": "a"}})
    if make.originals:
        reads["rerank"] = lambda: index.search(query, k=5, rerank=60, threads=1)
    return reads


def _writes(index: pqstore.Index, make: Make, vectors: Any, some: Any, path: Path) -> dict[str, Callable[[], object]]:
    new, more = _new_ids(make, 40, 10**9), _new_ids(make, 600, 2 * 10**9)

    def with_payloads(count: int) -> Any:
        return [{"year": 5, "w": 2.0}] * count if make.fields else None

    writes: dict[str, Callable[[], object]] = {
        "verify": index.verify,
        "verify deep": lambda: index.verify(deep=True),
        **({"retrain": index.retrain} if make.left else {}),  # while not too much has changed to go on
        "backup": lambda: index.backup(path.with_name("backup.pqs")),
        "add": lambda: index.add(vectors[:40], ids=new, payloads=with_payloads(40)),
        "upsert": lambda: index.upsert(vectors[:3], ids=some[:3]),
        "remove": lambda: index.remove(some[3:6], missing="ignore"),
        "save set": lambda: index.save_set("some", some[6:9]),
        "forget set": lambda: index.save_set("others", []),
        "field": lambda: index.create_field_index("w"),
        "add many": lambda: index.add(vectors[:600], ids=more, payloads=with_payloads(600)),
        "compact": index.compact,
        **({} if make.begins == "codes" else {"train": index.train, "retrain": index.retrain}),
        "search after": lambda: index.search(vectors[:3], k=5, threads=1),
        "verify after": lambda: index.verify(deep=True),
    }
    if make.partitions:
        writes["partition"] = lambda: index.partition(make.partitions)
        writes["lists after"] = lambda: index.search(vectors[:3], k=5, nprobe=_if_lists(index, 2), threads=1)
    if make.fields:
        writes["add without vectors"] = lambda: index.add(None, _new_ids(make, 5, 3 * 10**9))
        writes["update vectors"] = lambda: index.update_vector(some[:3], [None, vectors[0], None])
        writes["search beside them"] = lambda: index.search(vectors[:3], k=5, threads=1)
        writes["update by filter"] = lambda: index.update_payload(payloads={"w": 1}, where={"year": {"$gt": 2020}})
        writes["update payload"] = lambda: index.update_payload(some[:1], [{"year": 7}])
    if make.id_type == "int64":
        writes["add by itself"] = lambda: index.add(vectors[:2], payloads=with_payloads(2))
    return writes


def _if_lists(index: pqstore.Index, count: int) -> int | None:
    """How much of the lists to read, if there are any: what was done to the index may have taken them away."""
    return None if index.stats().lists is None else count


def _new_ids(make: Make, count: int, first: int) -> Any:
    numbers = range(first, first + count)
    return [f"new-{number}" for number in numbers] if make.id_type == "str" else list(numbers)
