"""Vectors by id, and page by page: payload, and original or reconstruction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from pqstore.arrays import I64
from pqstore.errors import UnknownIdError
from pqstore.index.arguments.ids import IdArray, IdType, as_id_batch, is_single_id
from pqstore.index.code_space import CodeSpace
from pqstore.index.search.results import Record
from pqstore.index.search.top_k import as_count, as_include, original_vectors
from pqstore.index.selection.select import select
from pqstore.storage import Snapshot

__all__ = ["ScrollPage", "get_records", "refuse_unknown", "scroll"]


class ScrollPage(NamedTuple):
    """Some records, and where to go on."""

    records: list[Record]
    after: int | None
    """For the next call of `Index.scroll`; None: there are no more."""


def get_records(snapshot: Snapshot, space: CodeSpace, id_type: IdType, ids: Any, include: Any, missing: str) -> Any:
    """See `pqstore.Index.get`."""
    if missing not in ("error", "ignore"):
        raise ValueError(f"missing must be 'error' or 'ignore', got {missing!r}")
    wanted = as_include(include)
    batch = as_id_batch(ids, id_type)
    rows = snapshot.rows_of(batch)
    if missing == "error":
        refuse_unknown(batch, rows)
    known = rows >= 0
    found = iter(_records(snapshot, space, rows[known], batch[known].tolist(), wanted))
    records = [next(found) if there else None for there in known.tolist()]
    return records[0] if is_single_id(ids) else records


def scroll(snapshot: Snapshot, space: CodeSpace, where: Any, limit: Any, after: Any, include: Any) -> ScrollPage:
    """See `pqstore.Index.scroll`."""
    count = as_count(limit, "limit")
    wanted = as_include(include)
    if after is not None and (isinstance(after, bool) or not isinstance(after, (int, np.integer)) or after < 0):
        raise ValueError(f"after must be None or the `after` of an earlier page, got {after!r}")
    start = 0 if after is None else int(after)
    selection = select(snapshot, snapshot.id_type, where)
    rows: I64
    if selection is None:
        rows = snapshot.live_rows_from(start, count + 1)
    else:
        every = selection.rows()
        at = int(np.searchsorted(every, start))
        rows = every[at : at + count + 1]
    page, rest = rows[:count], rows[count:]
    ids = snapshot.ids_of(page).tolist()
    return ScrollPage(list(_records(snapshot, space, page, ids, wanted)), int(rest[0]) if len(rest) else None)


def _records(
    snapshot: Snapshot, space: CodeSpace, rows: I64, ids: list[Any], include: frozenset[str]
) -> Iterable[Record]:
    payloads = snapshot.payloads_of(rows) if "payload" in include else [None] * len(rows)
    vectors = original_vectors(snapshot, space, rows) if "vector" in include else [None] * len(rows)
    original = space.originals is not None and "vector" in include
    for id, payload, vector in zip(ids, payloads, vectors, strict=True):
        yield Record(id, payload, vector, original)


def refuse_unknown(ids: IdArray, rows: I64) -> None:
    """Raise `UnknownIdError` when a row is -1, naming the ids it stands for."""
    unknown = ids[rows < 0]
    if len(unknown):
        shown = ", ".join(repr(value) for value in unknown[:5].tolist())
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise UnknownIdError(f"{len(unknown)} of {len(ids)} ids are not in the index: {shown}{more}")
