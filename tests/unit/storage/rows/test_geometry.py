"""The arithmetic of rows, against counting them one by one."""

from __future__ import annotations

import numpy as np
import pytest

from pqstore.storage.format.state import State
from pqstore.storage.rows.geometry import Geometry

GEOMETRIES = [Geometry(64, 32), Geometry(64, 64), Geometry(1024, 256)]


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("open_segment", [0, 1, 5])
def test_the_tail_is_divided_into_chunks(geometry: Geometry, open_segment: int) -> None:
    size, first = geometry.chunk_rows, open_segment * geometry.segment_rows
    for tail_rows in (0, 1, size - 1, size, geometry.segment_rows - 1):
        state = State(open_segment=open_segment, tail_rows=tail_rows)
        rows = list(range(first, first + tail_rows))
        chunks = geometry.tail_chunks(state)
        assert list(chunks) == sorted({row // size for row in rows})
        assert [geometry.rows_in_chunk(chunk, state) for chunk in chunks] == [
            sum(row // size == chunk for row in rows) for chunk in chunks
        ]
        assert geometry.next_row(state) == first + tail_rows
        for chunk in chunks:
            segment, position = geometry.place_of_chunk(chunk)
            assert geometry.first_row(segment) + position == geometry.first_row_of_chunk(chunk)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_a_row_is_where_its_segment_and_its_chunk_say(geometry: Geometry) -> None:
    for row in range(0, 3 * geometry.segment_rows, 7):
        segment, position = geometry.locate(row)
        chunk, offset = geometry.locate_chunk(row)
        assert row in geometry.rows_of(segment)
        assert geometry.first_row(segment) + position == geometry.first_row_of_chunk(chunk) + offset == row
        assert chunk in geometry.chunks_of(segment)


def test_rows_of_the_tail_by_chunk(rng: np.random.Generator) -> None:
    geometry = Geometry(1024, 256)
    rows = rng.integers(0, 4 * 1024, 500)
    seen = np.full(len(rows), -1)
    for segment, where, positions in geometry.by_segment(rows):
        for chunk, places, offsets in geometry.by_tail_chunk(segment, where, positions, len(rows)):
            seen[places] = geometry.first_row_of_chunk(chunk) + offsets
    assert seen.tolist() == rows.tolist()


def test_stored_segments_end_with_the_tail() -> None:
    state = State(open_segment=4, tail_rows=3)
    geometry = Geometry(64, 32)
    assert list(geometry.stored([0, 2], state)) == [(0, 64), (2, 64), (4, 3)]
    assert geometry.total_rows(2, state) == 131
