"""Tables as other programs write them: files and streams, every kind of list, ids and payloads out of columns."""

from __future__ import annotations

import datetime
import decimal
import os
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pqstore import CorpusFileError
from pqstore.interop.corpus import NO_COLUMN, Wanted, open_corpus

pa = pytest.importorskip("pyarrow")
parquet = __import__("pyarrow.parquet").parquet

X = np.arange(120, dtype=np.float32).reshape(30, 4)
VECTORS = pa.array(X.tolist(), pa.list_(pa.float32()))


def write_file(path: Path, table: Any) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)


def write_stream(path: Path, table: Any, **options: Any) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema, **options) as writer:
        writer.write_table(table, max_chunksize=7)


def write_parquet(path: Path, table: Any) -> None:
    parquet.write_table(table, path, row_group_size=11)


WRITERS = {"t.parquet": write_parquet, "t.arrow": write_file, "t.feather": write_file, "stream.arrow": write_stream}


@pytest.fixture(params=WRITERS)
def write(request, tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    def written(columns: dict[str, Any]) -> Path:
        WRITERS[request.param](tmp_path / request.param, pa.table(columns))
        return tmp_path / request.param

    return written


def rows_of(path: Any, **wanted: Any) -> np.ndarray:
    corpus = open_corpus(path, Wanted(**wanted))
    found = [block for rows in (4, 30) for block in [np.concatenate(list(corpus.blocks(rows)))]]
    np.testing.assert_array_equal(found[0], found[1])
    assert corpus.n == len(found[0])
    return found[0]


def ids_of(path: Any, **wanted: Any) -> list[Any]:
    return [id for block in open_corpus(path, Wanted(**wanted)).id_blocks(4) for id in np.asarray(block).tolist()]


def tensors() -> Any:
    return pa.FixedShapeTensorArray.from_numpy_ndarray(X)


def matrices() -> Any:
    return pa.FixedShapeTensorArray.from_numpy_ndarray(X.reshape(30, 2, 2))


@pytest.mark.parametrize(
    "make",
    [
        lambda: VECTORS,
        lambda: VECTORS.cast(pa.large_list(pa.float32())),
        lambda: VECTORS.cast(pa.list_(pa.float32(), 4)),
        tensors,
        matrices,
    ],
    ids=["list", "large list", "fixed size list", "tensors", "matrices"],
)
def test_every_kind_of_list_in_files_and_streams(make: Callable[[], Any], write) -> None:
    path = write({"v": make(), "n": list(range(30))})
    np.testing.assert_array_equal(rows_of(path), X)
    np.testing.assert_array_equal(open_corpus(path).read(5, 9), X[5:14])


@pytest.mark.skipif(not hasattr(pa, "list_view"), reason="came with pyarrow 16")
def test_views_of_lists_and_strings(tmp_path: Path) -> None:
    names = [f"a{i}" for i in range(30)]
    views = pa.array(X.tolist(), pa.list_view(pa.float32()))
    write_file(tmp_path / "a.arrow", pa.table({"v": views, "id": pa.array(names, pa.string_view())}))
    np.testing.assert_array_equal(rows_of(tmp_path / "a.arrow"), X)
    assert ids_of(tmp_path / "a.arrow") == names


def test_a_stream_whose_dictionaries_grow(tmp_path: Path) -> None:
    parts = [[f"{i // 3}" for i in range(start, start + 10)] for start in (0, 10, 20)]
    batches = [
        pa.record_batch({"v": VECTORS[10 * at : 10 * at + 10], "id": pa.array(part).dictionary_encode()})
        for at, part in enumerate(parts)
    ]
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, pa.ipc.new_stream(sink, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    assert ids_of(tmp_path / "a.arrow") == [name for part in parts for name in part]


def test_compressed_streams(tmp_path: Path) -> None:
    write_stream(tmp_path / "a.arrow", pa.table({"v": VECTORS}), options=pa.ipc.IpcWriteOptions(compression="lz4"))
    np.testing.assert_array_equal(rows_of(tmp_path / "a.arrow"), X)


UUIDS = [uuid.UUID(int=i) for i in range(30)]


@pytest.mark.parametrize(
    ("make", "ids"),
    [
        (lambda: pa.array([f"é{i}" for i in range(30)]), [f"é{i}" for i in range(30)]),
        (lambda: pa.array([f"é{i}" for i in range(30)], pa.large_string()), [f"é{i}" for i in range(30)]),
        (lambda: pa.array([f"{i}" for i in range(30)]).dictionary_encode(), [f"{i}" for i in range(30)]),
        (lambda: pa.array(range(5, 35)).dictionary_encode(), list(range(5, 35))),
        (lambda: pa.array(range(30), pa.uint8()), list(range(30))),
        (lambda: pa.array([float(i) for i in range(30)]), list(range(30))),
        (lambda: pa.array(range(30), pa.float32()), list(range(30))),
        (lambda: pa.array([decimal.Decimal(i) for i in range(30)]), list(range(30))),
        (lambda: pa.array([decimal.Decimal(f"{i}.00") for i in range(30)]), list(range(30))),
    ],
)
def test_ids_of_every_type_that_is_a_number_or_a_string(make: Callable[[], Any], ids: list[Any], write) -> None:
    assert ids_of(write({"v": VECTORS, "id": make()})) == ids


@pytest.mark.skipif(not hasattr(pa, "uuid"), reason="came with pyarrow 18")
def test_ids_that_are_uuids(write) -> None:
    column = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([u.bytes for u in UUIDS], pa.binary(16)))
    assert ids_of(write({"v": VECTORS, "id": column})) == [str(u) for u in UUIDS]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0.5, *range(29)], "got 0.5 in row 0"),
        ([float(2**53), *map(float, range(28)), float(2**54)], "in row 29"),
        ([*map(float, range(29)), float("nan")], "got nan in row 29"),
        ([*map(decimal.Decimal, range(29)), decimal.Decimal("1.5")], "got 1.5 in row 29"),
        ([*range(12), None, *range(17)], "got null in row 12"),
        ([True, False] * 15, "got bool"),
        ([datetime.datetime(2024, 1, 1)] * 30, "got timestamp"),
        ([[1]] * 30, "got list"),
    ],
)
def test_what_is_no_id_names_the_way_out(values: list[Any], words: str, write) -> None:
    path = write({"v": VECTORS.cast(pa.list_(pa.float32(), 4)), "id": values})
    path = f"{path}:v"
    with pytest.raises(CorpusFileError, match=rf"'id'.*{words}.*--id-column, or none"):
        ids_of(path)
    assert open_corpus(path, Wanted(id_column=NO_COLUMN)).id_blocks() is None


def test_another_column_of_ids_or_none(write) -> None:
    path = write({"v": VECTORS, "id": ["same"] * 30, "url": [f"u{i}" for i in range(30)]})
    assert ids_of(path, id_column="url") == [f"u{i}" for i in range(30)]
    assert open_corpus(path, Wanted(id_column=NO_COLUMN)).id_blocks() is None
    with pytest.raises(CorpusFileError, match=r"no column 'uri', it has \['v', 'id', 'url'\]"):
        open_corpus(path, Wanted(id_column="uri"))


def test_rows_without_a_vector_can_be_left_out_with_all_that_is_theirs(write) -> None:
    keep = [i for i in range(30) if i % 4]
    vectors = pa.array([row if i % 4 else None for i, row in enumerate(X.tolist())])
    path = write({"v": vectors, "id": list(range(30)), "lang": ["de"] * 30})
    with pytest.raises(CorpusFileError, match="row 0 expected, got null: --skip-nulls"):
        list(open_corpus(f"{path}:v").blocks())
    wanted = {"skip_nulls": True, "payload_columns": ("id", "lang")}
    np.testing.assert_array_equal(rows_of(path, **wanted), X[keep])
    assert ids_of(path, **wanted) == keep
    corpus = open_corpus(path, Wanted(**wanted))
    assert [p for block in corpus.payload_blocks(4) for p in block] == [{"id": i, "lang": "de"} for i in keep]
    assert corpus.remarks == (f"{path}: 8 rows without a vector are left out",)


def test_columns_become_payloads(write) -> None:
    utc = datetime.timezone.utc
    when = datetime.datetime(2024, 1, 2, 3, 4, 5, 678, tzinfo=utc)
    path = write(
        {
            "v": VECTORS,
            "lang": pa.array(["de", None, "fr"] * 10).dictionary_encode(),
            "year": pa.array([2000, None, 2002] * 10, pa.int32()),
            "tags": pa.array([["a"], None, []] * 10),
            "seen": pa.array([when, None, when] * 10, pa.timestamp("us", "Europe/Berlin")),
            "naive": pa.array([when.replace(tzinfo=None), None, None] * 10, pa.timestamp("ns")),
            "day": pa.array([when.date(), None, None] * 10),
            "raw": pa.array([b"x", None, None] * 10),
        }
    )
    columns = ("year", "lang", "tags", "seen", "naive", "day", "raw")
    corpus = open_corpus(f"{path}:v", Wanted(payload_columns=columns))
    payloads = [p for block in corpus.payload_blocks(4) for p in block]
    assert len(payloads) == 30
    assert payloads[3] == {
        "year": 2000, "lang": "de", "tags": ["a"], "seen": when, "naive": when, "day": "2024-01-02", "raw": b"x"
    }  # fmt: skip
    assert payloads[4] is None
    assert payloads[5] == {"year": 2002, "lang": "fr", "tags": [], "seen": when}


def test_columns_that_no_payload_can_hold(write) -> None:
    path = write({"v": VECTORS, "price": [decimal.Decimal("1.5")] * 30})
    with pytest.raises(CorpusFileError, match="'price' holds decimal"):
        open_corpus(path, Wanted(payload_columns=("price",)))
    with pytest.raises(CorpusFileError, match="no column 'cost'"):
        open_corpus(path, Wanted(payload_columns=("cost",)))


def test_columns_of_one_name(tmp_path: Path) -> None:
    write_file(
        tmp_path / "a.arrow",
        pa.Table.from_arrays([VECTORS, pa.array(range(30)), pa.array(range(30))], ["v", "id", "id"]),
    )
    with pytest.raises(CorpusFileError, match="2 columns with the name 'id'"):
        open_corpus(tmp_path / "a.arrow")
    assert open_corpus(tmp_path / "a.arrow", Wanted(id_column=NO_COLUMN)).n == 30


def test_a_column_whose_name_begins_that_of_another(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", pa.table({"a.b": (X + 1).tolist(), "a": X.tolist()}))
    np.testing.assert_array_equal(rows_of(f"{tmp_path}/a.parquet:a"), X)
    np.testing.assert_array_equal(rows_of(f"{tmp_path}/a.parquet:a.b"), X + 1)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_no_text(write) -> None:
    path = write({"v": VECTORS})
    np.testing.assert_array_equal(
        rows_of(path.rename(path.with_name(os.fsdecode(b"caf\xe9" + path.suffix.encode())))), X
    )


def test_what_is_neither_file_nor_stream(tmp_path: Path) -> None:
    for content in (b"", b"ARROW", b"hello world", bytes(100)):
        (tmp_path / "a.arrow").write_bytes(content)
        with pytest.raises(CorpusFileError, match=r"a\.arrow"):
            list(open_corpus(tmp_path / "a.arrow").blocks())
