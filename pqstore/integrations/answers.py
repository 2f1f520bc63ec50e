"""What an index answers, as adapters hand it on: records one after another, distances as likeness."""

from __future__ import annotations

from collections.abc import Iterator

from pqstore.index import Filter, Include, Index, Record
from pqstore.quantizer import Metric

__all__ = ["all_records", "likeness"]

_PAGE = 1000


def all_records(index: Index, where: Filter | None, include: Include) -> Iterator[Record]:
    """The records that a filter finds, or all, in the order of their ids; read page by page."""
    after = None
    while True:
        page = index.scroll(where, limit=_PAGE, after=after, include=include)
        yield from page.records
        if page.after is None:
            return
        after = page.after


def likeness(metric: Metric, distance: float) -> float:
    """What more is nearer: a cosine or an inner product as it is, a squared distance as 1 / (1 + it)."""
    return 1 / (1 + distance) if metric == "l2" else distance
