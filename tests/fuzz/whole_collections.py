"""Small sound collections of shards, and everything that a caller does with one that may not be sound."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

import pqstore
from pqstore import shards
from pqstore.shards.training import sample

from .runner import Steps

__all__ = ["build_collections", "use_collection"]

_ROWS, _D = 240, 8


def vectors() -> np.ndarray:
    return np.random.default_rng(9).normal(size=(_ROWS, _D)).astype(np.float32)


def build_collections(folder: Path) -> dict[str, Path]:
    """One with lists and originals, and one without, of other vectors; each of three shards, beside its vectors."""
    built = {}
    for name, shift, partitions in (("lists", 0.0, 4), ("flat", 1.0, None)):
        np.save(folder / f"{name}.npy", vectors() + np.float32(shift))
        plan = shards.plan(folder / f"{name}.npy", _ROWS // 3)
        place = built[name] = folder / f"{name}.pqc"
        originals = None if partitions is None else "float16"
        quantizer = pqstore.PQ(M=2, Ks=16, verbose=False)
        shards.train(plan, quantizer, place, originals=originals, fields=("year",), partitions=partitions, threads=1)
        shards.build(plan, place, scratch=folder, threads=1)
        shards.commit(plan, place)
    return built


def use_collection(path: Path, steps: Steps) -> None:
    """Everything, in the order in which callers do it; what raises a `PQStoreError` is no matter."""
    opened: list[shards.Collection] = []
    if steps("open", lambda: opened.append(shards.Collection.open(path))):
        for name, work in _calls(opened[0], path.parent).items():
            steps(name, work)
        steps("close", opened[0].close)
    copy = path.with_name("copy.pqc")
    if steps("fetch", lambda: shards.fetch(path, copy)):
        steps("open the copy", lambda: shards.Collection.open(copy, readonly=True).close())
    shutil.rmtree(copy, ignore_errors=True)
    plans: list[shards.Plan] = []
    steps("plan", lambda: plans.append(shards.Plan.load(path / "plan.json")) if (path / "plan.json").exists() else None)
    for plan in plans:
        steps("save plan", lambda plan=plan: plan.save(path.with_name("saved.json")))  # type: ignore[misc]
        steps("missing", lambda plan=plan: shards.missing_shards(plan, path))  # type: ignore[misc]
        steps("sample", lambda plan=plan: _with_files(sample, plan, 100))  # type: ignore[misc]
        steps("build", lambda plan=plan: _with_files(_build, plan, path))  # type: ignore[misc]
        steps("commit", lambda plan=plan: shards.commit(plan, path))  # type: ignore[misc]


def _with_files(work: Callable[..., object], *arguments: object) -> None:
    """What needs the vectors that a plan names, which may not be there."""
    with suppress(FileNotFoundError):
        work(*arguments)


def _build(plan: shards.Plan, path: Path) -> None:
    shards.build(plan, path, scratch=path.parent, threads=1)


def _calls(collection: shards.Collection, scratch: Path) -> dict[str, Callable[[], object]]:
    nature = collection.manifest
    queries = np.ones((2, nature.D if nature.D <= 4096 else _D), dtype=np.float32)
    strings = nature.id_type == "str"
    some = [f"{at}" for at in range(0, 240, 40)] if strings else list(range(0, 240, 40))
    new = ["new", "more"] if strings else [10**9, 10**9 + 1]
    return {
        "facts": lambda: (repr(collection), len(collection)),
        "search": lambda: collection.search(queries, k=5, threads=1),
        "rerank": lambda: collection.search(queries, k=5, rerank=20, threads=1) if nature.originals else None,
        "lists": lambda: collection.search(queries, k=5, nprobe="all", include=("vector",), threads=1),
        "range": lambda: collection.range_search(queries[0], 3.0, limit=5, threads=1),
        "get": lambda: collection.get(some, missing="ignore"),
        "where": lambda: collection.count({"year": 5}),
        "scroll": lambda: collection.scroll(limit=50),
        "contains": lambda: [identifier in collection for identifier in some],
        "verify deep": lambda: collection.verify(deep=True),
        "stats": collection.stats,
        "add": lambda: collection.add(queries, new, payloads=[{"year": 5}] * 2, timeout=5),
        "upsert": lambda: collection.upsert(queries, some[:2], timeout=5),
        "remove": lambda: collection.remove(some[2:4], missing="ignore", timeout=5),
        "add shard": lambda: collection.add_shard(scratch=scratch, timeout=5),
        "rebalance": lambda: collection.rebalance(timeout=5),
        "add after": lambda: collection.add(queries, new, "replace", timeout=5),
        "verify after": lambda: collection.verify(deep=True),
    }
