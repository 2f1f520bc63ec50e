"""Streams of record batches: each batch is stored before the next is read."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pqstore

pa = pytest.importorskip("pyarrow")
D = 4
X = np.arange(24, dtype=np.float32).reshape(6, D)
SCHEMA = pa.schema([("id", pa.string()), ("vector", pa.list_(pa.float32(), D)), ("n", pa.int64())])


def batch(start: int, stop: int, *, ids: list | None = None, vectors: list | None = None) -> Any:
    columns = [ids or list("abcdef"[start:stop]), vectors or X[start:stop].tolist(), list(range(start, stop))]
    return pa.record_batch(
        [pa.array(column, type=field.type) for column, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )


class Stream:
    """What hands over an Arrow stream and is nothing else, as results of queries are."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._reader.__arrow_c_stream__(requested_schema)


FORMS: dict[str, Callable[[Any], Any]] = {"reader": lambda reader: reader, "stream": Stream}


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Callable[..., Any]:
    def made(batches: Any, schema: Any = SCHEMA) -> Any:
        return FORMS[request.param](pa.RecordBatchReader.from_batches(schema, iter(batches)))

    return made


@pytest.fixture
def index(tmp_path: Path) -> Any:
    with pqstore.Index.create(tmp_path / "index", dim=D, id_type="str", originals="float32") as index:
        yield index


def test_batches_become_what_a_table_becomes(index: pqstore.Index, form: Any, tmp_path: Path) -> None:
    batches = [batch(0, 1), batch(1, 1), batch(1, 4), batch(4, 6)]
    assert index.add_table(form(batches)).tolist() == list("abcdef")
    with pqstore.Index.create(tmp_path / "other", dim=D, id_type="str", originals="float32") as other:
        other.add_table(pa.Table.from_batches(batches))
        for id in "abcdef":
            one, same = index.get(id), other.get(id)
            assert one.payload == same.payload
            np.testing.assert_array_equal(one.vector, same.vector)


def test_each_batch_is_stored_before_the_next_is_read(index: pqstore.Index) -> None:
    seen = []

    def batches() -> Iterator[Any]:
        for start in range(0, 6, 2):
            seen.append(len(index))
            yield batch(start, start + 2)

    commits = index.stats().commits
    index.add_table(pa.RecordBatchReader.from_batches(SCHEMA, batches()))
    assert seen == [0, 2, 4]
    assert index.stats().commits == commits + 3


def test_tables_stay_one_transaction(index: pqstore.Index) -> None:
    """They have `__arrow_c_stream__` too, and so have frames."""
    batches = [batch(0, 2), batch(2, 4, ids=["c", "a"])]
    polars = pytest.importorskip("polars")
    for whole in (pa.Table.from_batches(batches), polars.from_arrow(pa.Table.from_batches(batches)), batches):
        with pytest.raises(pqstore.DuplicateIdError):
            index.add_table(whole)
        assert len(index) == 0


def lost_file() -> Iterator[Any]:
    yield batch(0, 2)
    raise OSError("the disk of the source is gone")


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "an id twice": (lambda: [batch(0, 2), batch(2, 4, ids=["c", "a"]), batch(4, 6)], pqstore.DuplicateIdError, "'a'"),
    "no id": (lambda: [batch(0, 2), batch(2, 4, ids=["c", None])], pqstore.CorpusFileError, "null in row 1"),
    "NaN": (
        lambda: [batch(0, 2), batch(2, 3, vectors=[[1, 2, 3, float("nan")]])],
        pqstore.InvalidVectorError,
        "",
    ),
    "cannot be read": (lost_file, Exception, "the disk of the source is gone"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_later_batch_that_fails_leaves_those_before_it(index: pqstore.Index, form: Any, case: str) -> None:
    batches, error, says = REFUSED[case]
    with pytest.raises(pqstore.PartialChangeError, match=r"batch 1 .*the 2 rows before it are stored") as failure:
        index.add_table(form(batches()))
    assert isinstance(failure.value.__cause__, error)
    assert says in str(failure.value)
    assert failure.value.added.tolist() == ["a", "b"]
    assert sorted(index) == ["a", "b"]
    index.add_table(form([batch(2, 4), batch(4, 6)]))  # from that batch on
    assert sorted(index) == list("abcdef")


def test_the_first_batch_that_fails_raises_what_add_raises(index: pqstore.Index, form: Any) -> None:
    for batches in ([batch(0, 2, ids=["a", "a"])], [batch(0, 0), batch(0, 2, ids=["a", "a"])]):
        with pytest.raises(pqstore.DuplicateIdError):
            index.add_table(form(batches))
        assert len(index) == 0


def test_columns_are_looked_at_before_a_batch_is_read(index: pqstore.Index) -> None:
    def never() -> Iterator[Any]:
        raise AssertionError("a batch was read")
        yield

    for asked in ({"vector": "emb"}, {"id": "key"}, {"payload": "what"}, {"vector": "n"}, {"on_conflict": "bogus"}):
        with pytest.raises(ValueError, match=next(iter(asked.values()))):
            index.add_table(pa.RecordBatchReader.from_batches(SCHEMA, never()), **asked)


def test_no_batch_at_all(index: pqstore.Index, form: Any) -> None:
    assert index.add_table(form([])).tolist() == []
    assert len(index) == 0


def test_automatic_ids_and_conflicts(tmp_path: Path, form: Any) -> None:
    with pqstore.Index.create(tmp_path / "other", dim=D) as index:
        batches = [batch(0, 2), batch(2, 6)]
        assert index.add_table(form(batches), id=None, payload="n").tolist() == list(range(6))
        renamed = pa.schema([SCHEMA.field("vector"), SCHEMA.field("n").with_name("id")])
        again = [pa.record_batch(one.columns[1:], schema=renamed) for one in batches]
        assert index.add_table(form(again, renamed), on_conflict="skip").tolist() == list(range(6))
        assert index.get(3).payload == {"n": 3}
        index.add_table(form(again, renamed), on_conflict="replace")
        assert index.get(3).payload is None


def test_one_batch_is_in_memory(tmp_path: Path) -> None:
    """Counted by the arrays that batches lie in, when the next is asked for."""
    gone: list[None] = []
    alive = []

    def vectors_of(number: int) -> Any:
        flat = np.arange(32 * D, dtype=np.float32) + number
        weakref.finalize(flat, gone.append, None)
        return pa.FixedSizeListArray.from_arrays(
            pa.Array.from_buffers(pa.float32(), len(flat), [None, pa.py_buffer(flat)]), D
        )

    def batches() -> Iterator[Any]:
        for number in range(12):
            alive.append(number - len(gone))
            yield pa.record_batch([vectors_of(number)], names=["vector"])

    schema = pa.schema([("vector", pa.list_(pa.float32(), D))])
    with pqstore.Index.create(tmp_path / "other", dim=D, train="manual") as index:
        index.add_table(pa.RecordBatchReader.from_batches(schema, batches()))
        assert len(index) == 12 * 32
    assert len(alive) == 12
    assert max(alive) <= 1
