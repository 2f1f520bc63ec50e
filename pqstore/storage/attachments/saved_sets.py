"""Saved sets of ids: each under a name, in chunks of ascending ids. A set names ids, not rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.errors import CorruptIndexError
from pqstore.storage.format import records
from pqstore.storage.format.catalog import SavedSet
from pqstore.storage.format.records import Get
from pqstore.storage.rows.id_columns import IdCodec, IdColumn

__all__ = ["join_set", "pack_set", "read_set"]


def pack_set(number: int, ids: npt.NDArray[Any], codec: IdCodec, chunk_ids: int) -> Iterator[tuple[bytes, bytes]]:
    """(key, record) of the chunks of a set, of `chunk_ids` but the last; `ids` distinct and ascending."""
    for ordinal, start in enumerate(range(0, len(ids), chunk_ids)):
        part = codec.column(ids[start : start + chunk_ids])
        encoding, parts = part.encode(tail=False)
        record = records.pack_record(records.SET_CHUNK, number, ordinal, len(part), parts, encoding)
        yield records.key2(number, ordinal), record


def read_set(get: Get, codec: IdCodec, saved: SavedSet, chunk_ids: int) -> npt.NDArray[Any]:
    """The ids of a set, ascending, copied: int64, or an object array of str.

    Raises:
        CorruptIndexError: names the chunk.
    """
    return join_set(
        lambda ordinal: records.open_record(
            get("sets", records.key2(saved.number, ordinal)), records.SET_CHUNK, saved.number, ordinal
        ),
        codec,
        saved,
        chunk_ids,
    )


def join_set(
    chunk: Callable[[int], records.Record], codec: IdCodec, saved: SavedSet, chunk_ids: int
) -> npt.NDArray[Any]:
    """The same from records that were checked, by ordinal."""
    columns: list[IdColumn] = []
    for ordinal in range(saved.chunks(chunk_ids)):
        name = records.record_name(records.SET_CHUNK, saved.number, ordinal)
        record = chunk(ordinal)
        expected = min(chunk_ids, saved.ids - ordinal * chunk_ids)
        if record.entries != expected:
            raise CorruptIndexError(f"{name}: {record.entries} ids, not {expected}")
        columns.append(codec.decode(record, name))
    ids: npt.NDArray[Any] = np.concatenate([codec.empty().user(), *(column.user() for column in columns)])
    if not _ascend(ids):
        raise CorruptIndexError(f"set {saved.number}: its ids do not ascend")
    return ids


def _ascend(ids: npt.NDArray[Any]) -> bool:
    if ids.dtype != object:
        return bool((ids[1:] > ids[:-1]).all())
    texts: Sequence[str] = ids.tolist()
    return all(before < after for before, after in pairwise(texts))
