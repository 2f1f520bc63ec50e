"""A collection searched by the workers of a data set, batch by batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from pqstore.index import Filter
from pqstore.shards.collection import Collection
from pqstore.shards.fetching import fetch
from pqstore.shards.ray.library import ray_library

__all__ = ["SearchBatch"]


class SearchBatch:
    """Queries of a data set, batch by batch: for ``ds.map_batches(SearchBatch, batch_size=1024, concurrency=2,
    fn_constructor_kwargs={"collection": path, "k": 10})``.

    Each worker opens the whole collection; those of one node share its pages in memory. A batch comes back with two
    columns more: "ids" and "distances", k of each a query.
    """

    def __init__(
        self,
        collection: Any,
        k: int = 10,
        *,
        column: str = "vector",
        local: Any = None,
        rerank: int | None = None,
        where: Filter | None = None,
        nprobe: int | str | None = None,
        threads: int | None = None,
    ) -> None:
        """Open the collection in this worker.

        Args:
            collection: Its directory.
            k, rerank, where, nprobe: As for `Collection.search`.
            column: The column of queries.
            local: A directory on a local disk, to which the collection is copied first; None: it lies on one.
            threads: Threads to scan with; None: as many as Ray has given this worker CPUs.
        """
        if local is not None:
            fetch(collection, local)
        self._collection = Collection.open(collection if local is None else local, readonly=True)
        self._column, self._k, self._threads = column, k, _assigned_threads() if threads is None else threads
        self._settings: dict[str, Any] = {"rerank": rerank, "where": where, "nprobe": nprobe}

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Columns (n, ...) -> the same columns and those that were found."""
        queries = batch[self._column]
        if isinstance(queries, np.ndarray) and queries.dtype == object:
            queries = np.stack([np.asarray(query) for query in queries])
        ids, distances = self._collection.search(queries, self._k, self._threads, **self._settings)
        return {**batch, "ids": ids if ids.dtype != object else _as_lists(ids), "distances": distances}


def _as_lists(ids: Any) -> Any:
    """Strings (n, k) as a column of n lists."""
    column = np.empty(len(ids), dtype=object)
    for at, row in enumerate(ids.tolist()):
        column[at] = [id for id in row if id is not None]
    return column


def _assigned_threads() -> int:
    """As many threads as Ray has given this worker CPUs, one at least: others work beside it."""
    ray = ray_library()
    if not ray.is_initialized():
        return 1
    return max(1, int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1)))
