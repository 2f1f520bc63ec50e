"""Vectors by id, and page by page: codes, payload, and original or reconstruction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy.typing as npt

from pqstore.arrays import F32, I64
from pqstore.errors import InvalidIdError, NoVectorError
from pqstore.index.arguments.counts import as_count
from pqstore.index.arguments.ids import IdArray, IdType, as_id_batch, is_single_id, refuse_unknown
from pqstore.index.reading import Reading
from pqstore.index.search.question import as_include
from pqstore.index.search.results import Record
from pqstore.index.selection.searchable import lack_vectors
from pqstore.index.selection.select import select
from pqstore.index.unreadable import UnreadablePayloads
from pqstore.index.vectorless import seen_payload

__all__ = [
    "ScrollPage",
    "as_missing",
    "contains_id",
    "get_codes",
    "get_records",
    "iter_codes",
    "iter_ids",
    "reconstruct",
    "scroll",
]


class ScrollPage(NamedTuple):
    """Some records, and where to go on."""

    records: list[Record]
    after: int | str | None
    """For the next call of `Index.scroll`: the last id of this page. None: there are no more."""


def as_missing(missing: Any) -> bool:
    """Check the argument `missing`; whether an id that is not in the index is an error.

    Raises:
        ValueError: it is neither "error" nor "ignore".
    """
    if missing not in ("error", "ignore"):
        raise ValueError(f"missing must be 'error' or 'ignore', got {missing!r}")
    return bool(missing == "error")


def contains_id(reading: Reading, id: object) -> bool:
    """Whether this id is in the index; False for what cannot be an id."""
    reading.snapshot.check()
    if not is_single_id(id):
        return False
    try:
        batch = as_id_batch(id, reading.id_type)
    except (TypeError, ValueError):
        return False
    return bool(reading.snapshot.rows_of(batch)[0] >= 0)


def iter_ids(reading: Reading) -> Iterator[Any]:
    """All ids, oldest row first."""
    for block in reading.snapshot.iter_ids():
        yield from block.tolist()


def get_records(reading: Reading, ids: Any, include: Any, missing: str) -> Any:
    """See `pqstore.Index.get`."""
    must_exist, wanted = as_missing(missing), as_include(include)
    batch = as_id_batch(ids, reading.id_type)
    rows = reading.snapshot.rows_of(batch)
    if must_exist:
        refuse_unknown(batch, rows)
    known = rows >= 0
    present = iter(_records(reading, rows[known], batch[known].tolist(), wanted))
    records = [next(present) if there else None for there in known.tolist()]
    return records[0] if is_single_id(ids) else records


def scroll(reading: Reading, where: Any, limit: Any, after: Any, include: Any) -> ScrollPage:
    """See `pqstore.Index.scroll`."""
    count = as_count(limit, "limit")
    wanted = as_include(include)
    start = None if after is None else _as_cursor(after, reading.id_type)
    selection = select(reading, where)
    rows = reading.snapshot.rows_by_id(start, count + 1, None if selection is None else selection.rows())
    page = rows[:count]
    ids = reading.snapshot.ids_of(page).tolist()
    unreadable = UnreadablePayloads(reading.snapshot.ids_of)
    found = list(_records(reading, page, ids, wanted, unreadable))
    unreadable.warn()
    return ScrollPage(found, ids[-1] if len(rows) > count else None)


def _as_cursor(after: Any, id_type: IdType) -> Any:
    """The id after which a page begins.

    Raises:
        ValueError: `after` cannot be an id of this index.
    """
    try:
        if is_single_id(after):
            return as_id_batch(after, id_type).tolist()[0]
    except InvalidIdError as error:
        raise ValueError(f"after must be None or the `after` of an earlier page: {error}") from error
    raise ValueError(f"after must be None or the `after` of an earlier page, got {after!r}")


def _records(
    reading: Reading, rows: I64, ids: list[Any], include: frozenset[str], unreadable: UnreadablePayloads | None = None
) -> Iterable[Record]:
    payloads = reading.snapshot.payloads_of(rows, unreadable) if "payload" in include else [None] * len(rows)
    vectors: Any = [None] * len(rows)
    if "vector" in include:
        there = zip(reading.vectors_of(rows), lack_vectors(reading, rows), strict=True)
        vectors = [None if lacks else vector for vector, lacks in there]
    for id, payload, vector in zip(ids, payloads, vectors, strict=True):
        yield Record(id, seen_payload(payload), vector, reading.keeps_vectors and vector is not None)


def get_codes(reading: Reading, ids: Any) -> npt.NDArray[Any]:
    """See `pqstore.Index.codes`."""
    codes = reading.codes_of(_rows_with_vectors(reading, ids))
    return codes[0] if is_single_id(ids) else codes


def reconstruct(reading: Reading, ids: Any) -> F32:
    """See `pqstore.Index.reconstruct`."""
    vectors = reading.decoded(_rows_with_vectors(reading, ids))
    return vectors[0] if is_single_id(ids) else vectors


def iter_codes(reading: Reading, block_rows: Any) -> Iterator[tuple[IdArray, npt.NDArray[Any]]]:
    """See `pqstore.Index.iter_codes`."""
    blocks = reading.snapshot.rows.live_blocks(as_count(block_rows, "block_rows"))
    found = (rows[~lack_vectors(reading, rows)] for rows in blocks)
    return ((reading.snapshot.ids_of(rows), reading.codes_of(rows)) for rows in found)


def _rows_with_vectors(reading: Reading, ids: Any) -> I64:
    """The rows of ids that are all in the index and have a vector.

    Raises:
        NoVectorError: one has none. UnknownIdError, InvalidIdError: as `Reading.rows_of`.
    """
    rows = reading.rows_of(ids)
    absent = lack_vectors(reading, rows)
    if absent.any():
        shown = ", ".join(repr(id) for id in reading.snapshot.ids_of(rows[absent][:5]).tolist())
        raise NoVectorError(f"{int(absent.sum())} of the ids have no vector: {shown}; update_vector gives them one")
    return rows
