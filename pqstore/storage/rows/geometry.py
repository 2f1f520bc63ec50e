"""The arithmetic of rows: row = segment * segment_rows + position = chunk * chunk_rows + offset.

Chunks divide the open segment, the tail; they are numbered through all segments, so that no number is used twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from pqstore.arrays import I64
from pqstore.storage.format.state import Identity, State
from pqstore.storage.rows.row_numbers import Where, by_segment

__all__ = ["Geometry"]


@dataclass(frozen=True, slots=True)
class Geometry:
    """How an index divides its rows."""

    segment_rows: int
    chunk_rows: int

    @classmethod
    def of(cls, identity: Identity) -> Geometry:
        """That of an index."""
        return cls(identity.segment_rows, identity.chunk_rows)

    @property
    def bitmap_bytes(self) -> int:
        """Bytes of the tombstones of a segment."""
        return self.segment_rows // 8

    def locate(self, row: int) -> tuple[int, int]:
        """(segment, position in it) of a row."""
        return divmod(row, self.segment_rows)

    def locate_chunk(self, row: int) -> tuple[int, int]:
        """(chunk, offset in it) of a row."""
        return divmod(row, self.chunk_rows)

    def first_row(self, segment: int) -> int:
        """The first row of a segment."""
        return segment * self.segment_rows

    def rows_of(self, segment: int) -> range:
        """All rows of a full segment."""
        return range(segment * self.segment_rows, (segment + 1) * self.segment_rows)

    def first_row_of_chunk(self, chunk: int) -> int:
        """The first row of a chunk."""
        return chunk * self.chunk_rows

    def place_of_chunk(self, chunk: int) -> tuple[int, int]:
        """(segment, position of the chunk's first row in it)."""
        return self.locate(chunk * self.chunk_rows)

    def chunks_of(self, segment: int, rows: int | None = None) -> range:
        """The chunks of the first `rows` rows of a segment; None: of all."""
        first = segment * self.segment_rows // self.chunk_rows
        count = self.segment_rows if rows is None else rows
        return range(first, first + -(-count // self.chunk_rows))

    def tail_chunks(self, state: State) -> range:
        """The chunks of the tail."""
        return self.chunks_of(state.open_segment, state.tail_rows)

    def rows_in_chunk(self, chunk: int, state: State) -> int:
        """How many rows a chunk of the tail has."""
        before = chunk * self.chunk_rows - state.open_segment * self.segment_rows
        return min(self.chunk_rows, state.tail_rows - before)

    def next_row(self, state: State) -> int:
        """The row that comes next; larger than all that are stored."""
        return state.open_segment * self.segment_rows + state.tail_rows

    def total_rows(self, segments: int, state: State) -> int:
        """Rows of so many sealed segments and of the tail."""
        return segments * self.segment_rows + state.tail_rows

    def stored(self, segments: Iterable[int], state: State) -> Iterator[tuple[int, int]]:
        """(segment, its rows) of the sealed segments, then of the open one."""
        for segment in segments:
            yield segment, self.segment_rows
        yield state.open_segment, state.tail_rows

    def by_segment(self, rows: I64) -> Iterator[tuple[int, Where, I64]]:
        """For every segment that occurs in `rows`: (segment, where its rows are in `rows`, their positions in it)."""
        return by_segment(rows, self.segment_rows)

    def by_tail_chunk(self, segment: int, where: Where, positions: I64, count: int) -> Iterator[tuple[int, I64, I64]]:
        """The same, further divided, for the open segment: (chunk, where, offsets in it); `count` of all rows asked."""
        places = np.arange(count)[where]
        first = self.chunks_of(segment)[0]
        for chunk, inside, offsets in by_segment(positions, self.chunk_rows):
            yield first + chunk, places[inside], offsets
