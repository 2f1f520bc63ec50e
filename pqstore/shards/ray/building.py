"""Shards built as tasks of a Ray cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pqstore.progress import Progress, ProgressStep, no_progress
from pqstore.quantizer import Quantizer
from pqstore.shards.building import build_shard, missing_shards
from pqstore.shards.committing import commit
from pqstore.shards.manifest import CollectionManifest
from pqstore.shards.place import Place
from pqstore.shards.planning import plan as make_plan
from pqstore.shards.ray.library import REFUSALS, ray_library
from pqstore.shards.shard_plan import Plan
from pqstore.shards.training import train

__all__ = ["build"]


def build(
    source: Any,
    destination: Any,
    quantizer: Quantizer | None = None,
    *,
    rows_per_shard: int = 1_000_000,
    corpus: Any = None,
    num_cpus: float = 1,
    max_retries: int = 3,
    scratch: Any = None,
    progress: Progress | None = None,
    **settings: Any,
) -> CollectionManifest:
    """Build all shards of a plan that are not built yet, as tasks on a Ray cluster, then commit the collection.

    Killed anywhere, driver, workers or nodes, a further call builds what is missing: no shard is encoded twice, but
    those that were being built.

    Args:
        source: A `Plan`; what `pqstore.shards.plan` takes; or a Ray `Dataset`, which is written to `corpus` first.
        destination: The directory of the collection, which every node sees.
        quantizer: As for `pqstore.shards.train`, which the driver does; left out where it is trained already.
        rows_per_shard: As for `plan`.
        corpus: Where a `Dataset` is written to, as Parquet: a directory that every node sees.
        num_cpus: Of each task, which encodes with as many threads.
        max_retries: How often Ray begins a task again whose worker died.
        scratch: A directory on a local disk of each node; None: where that has temporary files.
        progress: Called with a `ProgressStep` of stage "shards" for each that is built.
        settings: Passed on to `train`: originals, fields, partitions, sample_rows, seed, threads.

    Returns:
        The manifest of the collection.

    Raises:
        MissingDependencyError: Ray is not installed.
        As `plan`, `train`, `build_shard` and `commit`.
    """
    ray = ray_library()
    plan = _plan_of(source, corpus, rows_per_shard)
    if quantizer is not None or not Place(destination).recipe.exists():
        train(plan, quantizer, destination, **settings)
    told = progress or no_progress
    numbers = missing_shards(plan, destination)
    done, total = len(plan.shards) - len(numbers), len(plan.shards)
    task = ray.remote(num_cpus=num_cpus, max_retries=max_retries, scheduling_strategy="SPREAD")(_build_one)
    shared, threads = ray.put(plan), max(1, int(num_cpus))
    place, within = str(Place(destination).directory), None if scratch is None else str(scratch)
    waiting = [task.remote(shared, number, place, within, threads) for number in numbers]
    try:
        while waiting:
            ready, waiting = ray.wait(waiting, num_returns=1)
            for failure in ray.get(ready):
                if failure is not None:
                    raise failure
            done += len(ready)
            told(ProgressStep("shards", done, total))
    finally:
        for unfinished in waiting:
            ray.cancel(unfinished, force=True)
    return commit(plan, destination)


def _build_one(plan: Plan, number: int, destination: str, scratch: str | None, threads: int) -> Exception | None:
    """In a task: build a shard. What refuses it is returned, since a task that raises is no different the next time."""
    try:
        build_shard(plan, number, destination, scratch=scratch, threads=threads)
    except REFUSALS as error:
        return error
    return None


def _plan_of(source: Any, corpus: Any, rows_per_shard: int) -> Plan:
    if isinstance(source, Plan):
        return source
    if hasattr(source, "write_parquet"):
        if corpus is None:
            raise ValueError("a Dataset is written to files first: say with corpus= to which directory")
        if not Path(corpus).exists():
            source.write_parquet(str(corpus))
        return make_plan(corpus, rows_per_shard)
    return make_plan(source, rows_per_shard)
