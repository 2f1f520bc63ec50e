"""What searches give back."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["ListPlan", "RangeResult", "Record", "SearchHits", "SearchPlan", "SearchResult"]


class SearchResult(NamedTuple):
    """Nearest first; unpacks as ``ids, distances = index.search(...)``.

    One query of shape (D,) gives arrays of shape (k,), queries of shape (n, D) give (n, k). Where fewer than k rows are
    live, or allowed, the rest is id -1 (or None, with str ids) and distance +inf (-inf for "dot" and "cosine").
    """

    ids: npt.NDArray[Any]
    """int64, or dtype object holding str."""
    distances: npt.NDArray[np.float32]
    """Squared distances for "l2"; inner products for "dot" and "cosine"."""

    def to_dicts(self) -> list[Any]:
        """The hits as dicts, nearest first, without padding, for JSON and templates.

        Each has "id" (int or str) and "distance" (float), and "payload" and "vector" where they were included.

        Returns:
            A list of dicts for one query; a list of such lists for several.
        """
        payloads, vectors = getattr(self, "payloads", None), getattr(self, "vectors", None)
        if self.ids.ndim == 1:
            return _dicts(self.ids, self.distances, payloads, vectors)
        return [
            _dicts(
                self.ids[row],
                self.distances[row],
                None if payloads is None else payloads[row],
                None if vectors is None else vectors[row],
            )
            for row in range(len(self.ids))
        ]

    def to_arrow(self) -> Any:
        """The hits as a `pyarrow.Table`, without padding: columns "id" and "distance", "query" for several queries,
        "vector" where it was included, and one for each key of the payloads. Values of a key that are of several kinds,
        or maps, are JSON; a key that is called as another column becomes "payload.<key>".

        Raises:
            MissingDependencyError: pyarrow is not installed.
        """
        return _tables().as_arrow(self)

    def to_pandas(self) -> Any:
        """The hits as a `pandas.DataFrame`; columns as of `to_arrow`."""
        return _tables().as_pandas(self)

    def to_polars(self) -> Any:
        """The hits as a `polars.DataFrame`; columns as of `to_arrow`."""
        return _tables().as_polars(self)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """For what takes Arrow's stream, as ``pyarrow.RecordBatchReader.from_stream(hits)``."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def _repr_html_(self) -> str:
        """A table, in notebooks."""
        shown: str = _tables().as_html(self)
        return shown


def _tables() -> Any:
    """What makes tables: few programs ask for them."""
    return importlib.import_module("pqstore.index.search.tables")


class SearchHits(SearchResult):
    """A `SearchResult` with what was asked for by ``include=`` and ``explain=``; it unpacks in the same way."""

    # Any: who asked for them need not ask again whether they are there
    payloads: list[Any] | Any = None
    """With include "payload": one dict or None a hit, in lists shaped as `ids`."""
    vectors: npt.NDArray[np.float32] | Any = None
    """With include "vector": (k, D) or (n, k, D); the original where it is stored, else as the code describes it. NaN
    where there is no hit."""
    plan: SearchPlan | Any = None
    """With explain=True."""


class RangeResult(NamedTuple):
    """Everything within a radius, nearest first; unpacks as ``ids, distances = index.range_search(...)``.

    One query of shape (D,) gives two arrays of some length; queries of shape (n, D) give two lists of n arrays.
    """

    ids: Any
    distances: Any


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """How a search went about its filter."""

    method: str
    """ "scan": the codes of all rows; "masked scan": those of chunks with an allowed row; "gather": only the codes of
    allowed rows; "lists": those of the nearest lists, which may miss some of the nearest rows; "empty": nothing was
    allowed."""
    stored_rows: int
    allowed_rows: int
    chunks_read: int
    chunks_skipped: int
    """Segments, and chunks of the tail, without an allowed row: not read."""
    indexed_fields: tuple[str, ...]
    """Fields of the filter that were answered by their index."""
    scanned_fields: tuple[str, ...]
    """Fields of the filter for which payloads were read one by one; `create_field_index` makes that quick."""
    payloads_read: int
    rerank: int | None
    """Candidates a query that were scored by their originals."""
    remarks: tuple[str, ...] = ()
    """What of the filter cannot find anything: comparisons with values of a kind that the field never has (of which
    `FilterKindWarning` warns too), fields that no payload ever had, and payloads that could not be read."""
    lists: ListPlan | None = None
    """What was read of the lists, where they were searched."""
    phase: str = "codes"
    """ "exact": what is called codes here are the vectors themselves; "codes". See `Index.phase`."""


@dataclass(frozen=True, slots=True)
class ListPlan:
    """What a search has read of the inverted lists, a query in the mean."""

    partitions: int
    runs: int
    lists_read: float
    rows_read: float
    """Rows of these lists, dead ones too."""
    pieces_read: float
    """A list of a run, within a chunk."""
    flat_rows: int
    """Rows that are in no list yet, and were read beside them."""
    budget: int | None
    """Rows after which no further list is read; None: there was none."""


@dataclass(frozen=True, slots=True)
class Record:
    """A vector of the index, as `Index.get` gives it."""

    id: Any
    payload: dict[str, Any] | None
    vector: npt.NDArray[np.float32] | None
    """float32 (D,): the original where the index stores them, as precisely as it does; else decoded from the code."""
    is_original: bool
    """Whether `vector` is an original."""


def _dicts(
    ids: npt.NDArray[Any], distances: npt.NDArray[np.float32], payloads: list[Any] | None, vectors: Any
) -> list[dict[str, Any]]:
    """The hits of one query: arrays (k,), payloads in a list, vectors (k, D)."""
    # -1 may be an id; padding is also infinitely far.
    is_padding = [id is None for id in ids.tolist()] if ids.dtype == object else (ids == -1) & np.isinf(distances)
    hits = []
    for place in np.flatnonzero(~np.asarray(is_padding, dtype=bool)).tolist():
        hit: dict[str, Any] = {"id": ids[place], "distance": float(distances[place])}
        if ids.dtype != object:
            hit["id"] = int(ids[place])
        if payloads is not None:
            hit["payload"] = payloads[place]
        if vectors is not None:
            hit["vector"] = vectors[place]
        hits.append(hit)
    return hits
