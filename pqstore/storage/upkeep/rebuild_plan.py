"""What the rows of an index are to become, as the caller of a rebuilding says it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from pqstore.arrays import I64, U8
from pqstore.storage.format import records
from pqstore.storage.format.catalog import catalog_features
from pqstore.storage.format.state import Identity
from pqstore.storage.rows.packing import RowPacking, chunk_rows_for, segment_rows_for
from pqstore.storage.transactions.snapshot import Snapshot

__all__ = ["Rebuild", "Resumption", "identity_of"]


@dataclass(frozen=True, slots=True)
class Rebuild:
    """How rows are stored from now on, and what makes them so."""

    settings: Mapping[str, Any]
    arrays: Mapping[str, npt.NDArray[Any]]
    packing: RowPacking
    row_bytes: int
    """Bytes of the original of a row; 0: none."""
    features: tuple[str, ...]
    """Features of the format that the index has from now on."""
    convert: Callable[[Snapshot, I64], tuple[npt.NDArray[Any], U8 | None]]
    """Rows of a snapshot -> their new codes and originals."""
    dropped_notes: tuple[str, ...] = ()
    segment_rows: int | None = None
    """Rows of a segment; None: as the codes are large."""
    block_rows: int = 8192
    """Rows that are converted at once."""
    commit_blocks: int = 1
    """Blocks that are stored in one transaction."""
    ahead: bool = True
    """Whether a thread of its own may convert rows while others are stored."""
    arrange: Callable[[Path, Snapshot], object] | None = None
    """What else is made of the rows: called with the place of the new generation, an index that can be opened, and the
    state of the old one; again when that has gone on."""


@dataclass(frozen=True, slots=True)
class Resumption:
    """What lets another process go on with a rebuilding that this one does not bring to its end."""

    asked: Mapping[str, Any]
    """Who asks for the same wants the same: what msgpack gives back as it was."""
    plan: Callable[[Snapshot, Mapping[str, Any], Mapping[str, npt.NDArray[Any]]], Rebuild]
    """Settings and arrays of what was begun -> the rebuilding that goes on with it."""


def identity_of(old: Identity, wanted: Rebuild, fields: Iterable[str]) -> Identity:
    """The identity of the new generation, with the fields of its catalog.

    It is created later: rows are numbered anew, though settings may stay, and who follows the old generation knows it
    by that. The key of str ids stays: they are listed in its order.
    """
    segment_rows = wanted.segment_rows or segment_rows_for(wanted.packing)
    return replace(
        old,
        created=max(time.time(), math.nextafter(old.created, math.inf)),
        settings=dict(wanted.settings),
        arrays=tuple(wanted.arrays),
        segment_rows=segment_rows,
        chunk_rows=min(segment_rows, chunk_rows_for(wanted.packing)),
        row_bytes=wanted.row_bytes,
        features=(records.NUMBERED_STATES, *wanted.features, *catalog_features(fields)),
    )
