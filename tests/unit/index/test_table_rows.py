"""Tables that speak Arrow, as rows of an index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pqstore

pa = pytest.importorskip("pyarrow")
X = np.arange(12, dtype=np.float32).reshape(3, 4)


def table(**more: Any) -> Any:
    columns = {"id": ["a", "b", "c"], "vector": X.tolist(), "n": [1, None, 3], "lang": ["de", "en", None]}
    return pa.table({**columns, **more})


@pytest.fixture
def index(tmp_path: Path) -> Any:
    with pqstore.Index.create(tmp_path / "index", dim=4, id_type="str", originals="float32") as index:
        yield index


def contents(index: pqstore.Index) -> dict:
    return {r.id: (r.payload, None if r.vector is None else r.vector.tolist()) for r in index.get(list(index))}


WANTED = {
    "a": ({"n": 1, "lang": "de"}, X[0].tolist()),
    "b": ({"lang": "en"}, X[1].tolist()),
    "c": ({"n": 3}, X[2].tolist()),
}


def as_polars(made: Any) -> Any:
    return pytest.importorskip("polars").from_arrow(made)


@pytest.mark.parametrize(
    "form",
    [
        lambda made: made,
        lambda made: made.combine_chunks().to_batches()[0],
        lambda made: pa.concat_tables([made.slice(0, 1), made.slice(1)]),
        lambda made: pa.concat_tables([made.slice(0, 1), made.slice(1)]).to_batches(),
        lambda made: made.to_reader(),
        lambda made: made.set_column(1, "vector", pa.FixedSizeListArray.from_arrays(pa.array(X.reshape(-1)), 4)),
        lambda made: made.set_column(3, "lang", made["lang"].dictionary_encode()),
        lambda made: made.set_column(1, "vector", pa.array(X.astype(int).tolist())),
        as_polars,
        lambda made: made.slice(0, 3).select(["lang", "vector", "n", "id"]),
    ],
    ids=range(10),
)
def test_any_form(index: pqstore.Index, form: Any) -> None:
    assert index.add_table(form(table())).tolist() == ["a", "b", "c"]
    assert contents(index) == WANTED


def test_slices_of_lists(index: pqstore.Index) -> None:
    index.add_table(table().slice(1, 1))
    assert contents(index) == {"b": WANTED["b"]}


def test_rows_without_a_vector(index: pqstore.Index) -> None:
    index.add_table(table(vector=[X[0].tolist(), None, X[2].tolist()]))
    assert contents(index) == {**WANTED, "b": ({"lang": "en"}, None)}


def test_columns_by_name(tmp_path: Path) -> None:
    with pqstore.Index.create(tmp_path / "other", dim=4) as index:
        made = pa.table({"key": [7, 8, 9], "emb": X.tolist(), "n": [1, 2, 3], "other": ["x"] * 3})
        assert index.add_table(made, "emb", id="key", payload=["n"]).tolist() == [7, 8, 9]
        assert index.get(8).payload == {"n": 2}
        assert index.add_table(made, "emb", payload=[]).tolist() == [10, 11, 12]
        assert index.get(10).payload is None
        assert index.add_table(made.select(["emb"]), "emb").tolist() == [13, 14, 15]
        assert len(index.add_table(made.slice(0, 0), "emb")) == 0


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda i: i.add_table(X), TypeError, "ndarray"),
        (lambda i: i.add_table([]), TypeError, "list"),
        (lambda i: i.add_table(table(), "emb"), ValueError, "'emb'.*'vector'"),
        (lambda i: i.add_table(table(), id="key"), ValueError, "'key'"),
        (lambda i: i.add_table(table(), payload="what"), ValueError, "'what'"),
        (lambda i: i.add_table(table(), "n"), pqstore.DimensionError, "'n'"),
        (lambda i: i.add_table(table(vector=[[1.0], [2.0], [3.0]])), pqstore.DimensionError, "4"),
        (lambda i: i.add_table(table(vector=[[1.0] * 4, [2.0] * 4, [3.0]])), ValueError, "vectors"),
        (lambda i: i.add_table(table(id=["a", None, "c"])), pqstore.CorpusFileError, "null in row 1"),
        (lambda i: i.add_table(table(id=[1, 2, 3])), pqstore.InvalidIdError, "str ids"),
        (lambda i: i.add_table(table(), on_conflict="bogus"), ValueError, "bogus"),
    ],
    ids=range(11),
)
def test_what_cannot_be_meant(index: pqstore.Index, call: Any, error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        call(index)
    assert len(index) == 0


def _texts(content: bytes, ends: list[int]) -> Any:
    """An array of strings that somebody has put together from bytes."""
    return pa.StringArray.from_buffers(
        len(ends) - 1, pa.py_buffer(np.array(ends, dtype="<i4").tobytes()), pa.py_buffer(content)
    )


UNFIT = {
    "no UTF-8": (lambda: _texts(b"\xff\xfea", [0, 1, 2, 3]), "not sound"),
    "beyond its bytes": (lambda: _texts(b"abc", [0, 1 << 30, 2, 3]), "not sound"),
    "an unknown time zone": (lambda: pa.array([1, 2, 3], type=pa.timestamp("ns", tz="Mars/Phobos")), "'more' holds"),
    "seconds of long ago": (lambda: pa.array([1, 2, -(2**62)], type=pa.timestamp("s")), "'more' holds"),
    "the year 200,000": (lambda: pa.array([1, 2, 1 << 62], type=pa.timestamp("us")), "'more' holds"),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_what_no_payload_can_hold_is_named(index: pqstore.Index, kind: str) -> None:
    """Texts that are no UTF-8 and unknown time zones raised errors of others; times out of range became 1970."""
    made, match = UNFIT[kind]
    with pytest.raises(pqstore.CorpusFileError, match=match):
        index.add_table(table(more=made()))
    assert len(index) == 0


@pytest.mark.parametrize("name", ["id", "vector", "n"])
def test_a_name_of_two_columns_is_refused(index: pqstore.Index, name: str) -> None:
    made = table()
    with pytest.raises(ValueError, match="2 columns with the name"):
        index.add_table(made.append_column(name, made.column(name)))
    assert len(index) == 0
