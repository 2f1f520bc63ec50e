"""The nearest of candidates that somebody else has found, by their originals: the second half of a re-ranked search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pqstore.errors import DimensionError
from pqstore.index.arguments.counts import as_count, check_results
from pqstore.index.arguments.ids import as_id_batch
from pqstore.index.reading import Reading
from pqstore.index.search.rerank import Reranker
from pqstore.index.search.results import SearchResult
from pqstore.index.selection.searchable import lack_vectors
from pqstore.quantizer import as_queries

__all__ = ["nearest_of"]


def nearest_of(reading: Reading, queries: Any, candidates: Sequence[Any], k: Any) -> SearchResult:
    """The k nearest of each query's candidates by their originals, padded; ids that are not there are passed over.

    Args:
        queries: Array-like (n, D).
        candidates: The ids of each query's candidates, each once: n sequences.

    Raises:
        ValueError: the index stores no originals. DimensionError: not as many queries as sequences.
    """
    count = as_count(k, "k")
    batch, _ = as_queries(queries, reading.space.D)
    if reading.space.originals is None:
        raise ValueError("candidates are scored by their originals, which this index does not store")
    if len(candidates) != len(batch):
        raise DimensionError(f"{len(batch)} queries need {len(batch)} lists of candidates, got {len(candidates)}")
    ids = [as_id_batch(of_one, reading.id_type) for of_one in candidates]
    most = max(map(len, ids), default=0)
    check_results(len(batch), max(most, count), "candidates")
    rows = np.full((len(batch), most), -1, dtype=np.int64)
    found = reading.snapshot.rows_of(np.concatenate(ids)) if ids else np.empty(0, dtype=np.int64)
    found[found >= 0] = np.where(lack_vectors(reading, found[found >= 0]), -1, found[found >= 0])
    ends = np.cumsum([len(of_one) for of_one in ids])
    for q, (of_one, end) in enumerate(zip(ids, ends.tolist(), strict=True)):
        rows[q, : len(of_one)] = found[end - len(of_one) : end]
    distances, best = Reranker(reading, batch).best(rows, count)
    return SearchResult(reading.snapshot.ids_of(best), distances)
