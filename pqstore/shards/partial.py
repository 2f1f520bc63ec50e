"""Answers of some of the shards, which say what is missing."""

from __future__ import annotations

from pqstore.index import RangeResult, SearchHits

__all__ = ["PartialHits", "PartialRange"]


class PartialHits(SearchHits):
    """A `SearchHits` of the shards that answered."""

    missing: tuple[int, ...] = ()
    """Numbers of the shards that did not; the nearest may be theirs."""


class PartialRange(RangeResult):
    """A `RangeResult` of the shards that answered."""

    missing: tuple[int, ...] = ()
    """Numbers of the shards that did not."""
