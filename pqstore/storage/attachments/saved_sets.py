"""Saved sets of ids: each under a name, in chunks of ascending ids. A set names ids, not rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pqstore.errors import CorruptIndexError
from pqstore.storage.format import records
from pqstore.storage.rows.id_columns import IdCodec, IdColumn

if TYPE_CHECKING:
    from pqstore.storage.idmap.runs import Get

__all__ = ["SavedSet", "join_set", "pack_set", "read_set"]


class SavedSet(NamedTuple):
    """What the catalog says of a set."""

    number: int
    ids: int

    @property
    def chunks(self) -> int:
        """How many records it has."""
        return -(-self.ids // records.SET_CHUNK_IDS)


def pack_set(number: int, ids: npt.NDArray[Any], codec: IdCodec) -> Iterator[tuple[bytes, bytes]]:
    """(key, record) of the chunks of a set; `ids` distinct and ascending."""
    for ordinal, start in enumerate(range(0, len(ids), records.SET_CHUNK_IDS)):
        part = codec.column(ids[start : start + records.SET_CHUNK_IDS])
        encoding, parts = part.encode(tail=False)
        record = records.pack_record(records.SET_CHUNK, number, ordinal, len(part), parts, encoding)
        yield records.key2(number, ordinal), record


def read_set(get: Get, codec: IdCodec, saved: SavedSet) -> npt.NDArray[Any]:
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
    )


def join_set(chunk: Callable[[int], records.Record], codec: IdCodec, saved: SavedSet) -> npt.NDArray[Any]:
    """The same from records that were checked, by ordinal."""
    columns: list[IdColumn] = []
    for ordinal in range(saved.chunks):
        name = records.record_name(records.SET_CHUNK, saved.number, ordinal)
        record = chunk(ordinal)
        expected = min(records.SET_CHUNK_IDS, saved.ids - ordinal * records.SET_CHUNK_IDS)
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
