"""Corpus files: every format read as NumPy reads it, every lie refused."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pqstore.errors import CorpusFileError, MissingDependencyError
from pqstore.interop.corpus import Corpus, open_corpus

X = np.random.default_rng(0).integers(0, 100, (57, 6))


def vecs(path: Path, x: np.ndarray) -> None:
    path.write_bytes(b"".join(struct.pack("<i", x.shape[1]) + row.tobytes() for row in x))


def binary(path: Path, x: np.ndarray) -> None:
    path.write_bytes(struct.pack("<II", *x.shape) + x.tobytes())


def hdf5(path: Path, x: np.ndarray, **layout: object) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file.create_dataset("train", data=x, **layout)
        file["test"] = x[:3]
        file["neighbors"] = np.zeros((3, 10), dtype=np.int32)


def parquet(path: Path, x: np.ndarray, fixed: bool = True, ids: list | None = None, nulls: bool = False) -> None:
    pa = pytest.importorskip("pyarrow")
    rows = [None if nulls and i == 5 else row for i, row in enumerate(x.tolist())]
    kind = pa.list_(pa.from_numpy_dtype(x.dtype), x.shape[1] if fixed else -1)
    columns = {"name": [f"n{i}" for i in range(len(x))], "vector": pa.array(rows, kind)}
    if ids is not None:
        columns["id"] = ids
    table = pa.table(columns)
    if path.suffix == ".parquet":
        __import__("pyarrow.parquet").parquet.write_table(table, path, row_group_size=10)
    else:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=10)


WRITERS: dict[str, tuple[Callable[[Path, np.ndarray], None], str]] = {
    "a.npy": (np.save, "f4"),
    "big.npy": (np.save, ">f8"),
    "fortran.npy": (lambda path, x: np.save(path, np.asfortranarray(x)), "f4"),
    "a.npz": (lambda path, x: np.savez(path, x=x), "f4"),
    "packed.npz": (lambda path, x: np.savez_compressed(path, x=x), "u1"),
    "a.fvecs": (vecs, "<f4"),
    "a.bvecs": (vecs, "u1"),
    "a.ivecs": (vecs, "<i4"),
    "a.fbin": (binary, "<f4"),
    "A.U8BIN": (binary, "u1"),
    "a.i8bin": (binary, "i1"),
    "a.hdf5": (hdf5, "f4"),
    "chunked.hdf5": (lambda path, x: hdf5(path, x, chunks=(10, 6), compression="gzip"), "f4"),
    "a.parquet": (parquet, "f4"),
    "half.parquet": (parquet, "f2"),
    "lists.parquet": (lambda path, x: parquet(path, x, fixed=False), "f8"),
    "a.arrow": (parquet, "f4"),
    "lists.feather": (lambda path, x: parquet(path, x, fixed=False), "i2"),
}


def assert_reads(corpus: Corpus, x: np.ndarray) -> None:
    assert (corpus.n, corpus.D, corpus.dtype) == (*x.shape, x.dtype)
    assert f"x {x.shape[1]}" in repr(corpus)
    for rows in (None, 1, 7, 10, len(x), 1000):
        blocks = list(corpus.blocks(rows))
        assert all(len(block) <= (rows or len(x)) for block in blocks)
        np.testing.assert_array_equal(np.concatenate(blocks), x)
    for start, rows in [(0, len(x)), (3, 20), (len(x) - 1, 1), (9, 2)]:
        np.testing.assert_array_equal(corpus.read(start, rows), x[start : start + rows])
    with pytest.raises(ValueError, match="rows must be"):
        next(corpus.blocks(0))


@pytest.mark.parametrize("name", WRITERS)
def test_every_format(name: str, tmp_path: Path) -> None:
    write, dtype = WRITERS[name]
    x = X.astype(dtype)
    write(tmp_path / name, x)
    assert_reads(open_corpus(tmp_path / name), x)
    assert open_corpus(str(tmp_path / name)).id_blocks() is None


@pytest.mark.parametrize("name", [name for name in WRITERS if name.startswith("a.")])
def test_every_truncation_and_what_follows_the_end(name: str, tmp_path: Path) -> None:
    write, dtype = WRITERS[name]
    write(tmp_path / name, X.astype(dtype))
    sound = (tmp_path / name).read_bytes()
    for length in {0, 1, 3, 4, 7, 8, 9, len(sound) // 2 + 1, len(sound) - 1}:
        (tmp_path / name).write_bytes(sound[:length])
        with pytest.raises(CorpusFileError, match=name):
            list(open_corpus(tmp_path / name).blocks())
    if name not in ("a.npz", "a.hdf5", "a.parquet", "a.arrow"):  # those have their own ends
        (tmp_path / name).write_bytes(sound + b"x")
        with pytest.raises(CorpusFileError, match=rf"{name}: at byte \d+"):
            open_corpus(tmp_path / name)


@pytest.mark.parametrize("name", [name for name in WRITERS if name.startswith("a.")])
def test_flipped_bytes_are_an_error_or_other_values(name: str, tmp_path: Path) -> None:
    write, dtype = WRITERS[name]
    write(tmp_path / name, X.astype(dtype))
    sound = (tmp_path / name).read_bytes()
    for position in sorted({*range(0, min(200, len(sound)), 3), *range(0, len(sound), 97)}):
        damaged = bytearray(sound)
        damaged[position] ^= 0x81
        (tmp_path / name).write_bytes(damaged)
        try:
            total = sum(len(block) for block in open_corpus(tmp_path / name).blocks())
        except (CorpusFileError, MissingDependencyError) as error:
            assert "\n" not in str(error)  # noqa: PT017 # some positions raise, some do not
        else:
            assert total <= len(sound)


@pytest.mark.parametrize("D", [-1, 0, 1 << 24, (1 << 31) - 1, -(1 << 31)])
@pytest.mark.parametrize("ending", ["fvecs", "bvecs", "ivecs"])
def test_dimensions_that_lie(D: int, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_bytes(struct.pack("<i", D) + bytes(1000))
    with pytest.raises(CorpusFileError, match=r"at byte 0: .*dimension"):
        open_corpus(path)


@pytest.mark.parametrize(("n", "D"), [(2**32 - 1, 8), (10, 2**32 - 1), (10, 0), (11, 8), (9, 8)])
def test_counts_that_lie(n: int, D: int, tmp_path: Path) -> None:
    (tmp_path / "a.u8bin").write_bytes(struct.pack("<II", n, D) + bytes(80))
    with pytest.raises(CorpusFileError, match=r"a\.u8bin: at byte \d: .* expected, got"):
        open_corpus(tmp_path / "a.u8bin")


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 6), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-3, -6), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 0), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (18,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 3), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (3, 6), }",
        "{'descr': '<c8', 'fortran_order': False, 'shape': (3, 6), }",
        "{'descr': '<U4', 'fortran_order': False, 'shape': (3, 6), }",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3, 6), }",
        "{'descr': '<f4', 'shape': (3, 6), }",
        "not a dictionary",
        "((((((((",
    ],
)
def test_npy_headers_that_lie(header: str, tmp_path: Path) -> None:
    text = header.encode().ljust(117) + b"\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(72))
    with pytest.raises(CorpusFileError, match=r"a\.npy"):
        open_corpus(tmp_path / "a.npy")


def test_mixed_dimensions_name_the_first_row_that_differs(tmp_path: Path) -> None:
    path = tmp_path / "a.fvecs"
    rows = [struct.pack("<i", D) + bytes(4 * D) for D in (6, 6, 6, 4, 6, 8)]
    path.write_bytes(b"".join(rows))
    with pytest.raises(CorpusFileError, match="at byte 84: dimension 6 for row 3, as for row 0, expected, got 4"):
        list(open_corpus(path).blocks())
    path.write_bytes(b"".join(rows[:5]))
    with pytest.raises(CorpusFileError, match="at byte 84: dimension 6 for row 3"):
        open_corpus(path)


def test_a_row_cut_short(tmp_path: Path) -> None:
    vecs(tmp_path / "a.bvecs", X.astype("u1"))
    data = (tmp_path / "a.bvecs").read_bytes()
    (tmp_path / "a.bvecs").write_bytes(data[:-2])
    with pytest.raises(CorpusFileError, match=r"at byte 560: a row of 10 bytes \(D = 6\) expected, got 8"):
        open_corpus(tmp_path / "a.bvecs")


def test_no_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.empty((0, 4), dtype="f4"))
    binary(tmp_path / "a.fbin", np.empty((0, 4), dtype="<f4"))
    for name in ("a.npy", "a.fbin"):
        corpus = open_corpus(tmp_path / name)
        assert (corpus.n, corpus.D, list(corpus.blocks())) == (0, 4, [])


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", X)
    corpus = open_corpus(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-20])
    with pytest.raises(CorpusFileError, match="20 more bytes"):
        list(corpus.blocks())


def test_members_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X, y=X[:5] + 1)
    with pytest.raises(CorpusFileError, match=r"2 arrays \(x, y\): name one"):
        open_corpus(tmp_path / "a.npz")
    np.testing.assert_array_equal(next(open_corpus(f"{tmp_path}/a.npz:y").blocks()), X[:5] + 1)
    with pytest.raises(CorpusFileError, match="no array 'z'"):
        open_corpus(f"{tmp_path}/a.npz:z")
    hdf5(tmp_path / "a.h5", X)
    np.testing.assert_array_equal(next(open_corpus(f"{tmp_path}/a.h5:test").blocks()), X[:3])
    with pytest.raises(CorpusFileError, match="no data set 'queries', it has: neighbors, test, train"):
        open_corpus(f"{tmp_path}/a.h5:queries")


def test_compressed_bytes_that_lie(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 4)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", stream.getvalue() + bytes(64))
    with pytest.raises(CorpusFileError, match="expected, got 64"):
        open_corpus(tmp_path / "a.npz")


class TestArrow:
    @pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
    @pytest.mark.parametrize("ids", [list(range(100, 157)), [f"é{i}" for i in range(57)]])
    def test_ids_come_along(self, name: str, ids: list, tmp_path: Path) -> None:
        parquet(tmp_path / name, X.astype("f4"), ids=ids)
        corpus = open_corpus(tmp_path / name)
        blocks = list(corpus.id_blocks(10))
        assert [len(block) for block in blocks] == [len(block) for block in corpus.blocks(10)]
        assert [value for block in blocks for value in block] == ids

    def test_columns_by_name(self, tmp_path: Path) -> None:
        pa = pytest.importorskip("pyarrow")
        table = pa.table({v: pa.array((X + i).tolist(), pa.list_(pa.int64(), 6)) for i, v in enumerate("ab")})
        __import__("pyarrow.parquet").parquet.write_table(table, tmp_path / "a.parquet")
        with pytest.raises(CorpusFileError, match=r"one column of lists .* \['a', 'b'\]"):
            open_corpus(tmp_path / "a.parquet")
        np.testing.assert_array_equal(next(open_corpus(f"{tmp_path}/a.parquet:b").blocks()), X + 1)
        with pytest.raises(CorpusFileError, match="'c'"):
            open_corpus(f"{tmp_path}/a.parquet:c")

    def test_rows_of_other_lengths_and_nulls(self, tmp_path: Path) -> None:
        pa = pytest.importorskip("pyarrow")
        write = __import__("pyarrow.parquet").parquet.write_table
        for rows, said in [
            ([[1.0, 2.0], [3.0]], "2 values in row 1 expected, got 1"),
            ([[1.0, 2.0], None], "row 1 expected, got null"),
            ([[1.0, None], [3.0, 4.0]], "got null"),
        ]:
            write(pa.table({"v": rows}), tmp_path / "a.parquet")
            with pytest.raises(CorpusFileError, match=said):
                list(open_corpus(tmp_path / "a.parquet").blocks())
        parquet(tmp_path / "b.parquet", X.astype("f4"), nulls=True)
        with pytest.raises(CorpusFileError, match="row 5 expected, got null"):
            list(open_corpus(tmp_path / "b.parquet").blocks(10))
        write(pa.table({"v": ["text"]}), tmp_path / "c.parquet")
        with pytest.raises(CorpusFileError, match="got none"):
            open_corpus(tmp_path / "c.parquet")

    def test_ids_that_cannot_be_ids(self, tmp_path: Path) -> None:
        for ids, said in [([1.5] * 57, "integers or strings"), ([None, *range(56)], "null")]:
            parquet(tmp_path / "a.parquet", X.astype("f4"), ids=ids)
            with pytest.raises(CorpusFileError, match=said):
                list(open_corpus(tmp_path / "a.parquet").id_blocks())


class TestSeveral:
    def test_a_directory_and_a_glob(self, tmp_path: Path) -> None:
        np.save(tmp_path / "2.npy", X[20:].astype("f4"))
        binary(tmp_path / "1.u8bin", X[:20].astype("u1"))
        (tmp_path / "README.txt").write_text("not vectors")
        corpus = open_corpus(tmp_path)
        assert (corpus.n, corpus.D, corpus.dtype) == (57, 6, np.float32)
        np.testing.assert_array_equal(np.concatenate(list(corpus.blocks(10))), X)
        np.testing.assert_array_equal(corpus.read(15, 10), X[15:25])
        np.testing.assert_array_equal(np.concatenate(list(open_corpus(f"{tmp_path}/*.npy").blocks())), X[20:])

    def test_mixed_dimensions(self, tmp_path: Path) -> None:
        np.save(tmp_path / "1.npy", X)
        np.save(tmp_path / "2.npy", X[:, :5])
        with pytest.raises(CorpusFileError, match=r"2\.npy: dimension 6, as in .*1\.npy, expected, got 5"):
            open_corpus(tmp_path)

    def test_nothing_there(self, tmp_path: Path) -> None:
        for spec in (tmp_path, f"{tmp_path}/*.npy"):
            with pytest.raises(CorpusFileError, match="got none"):
                open_corpus(spec)

    def test_ids_in_some_files_only(self, tmp_path: Path) -> None:
        parquet(tmp_path / "1.parquet", X.astype("f4"), ids=list(range(57)))
        parquet(tmp_path / "2.parquet", X.astype("f4"))
        with pytest.raises(CorpusFileError, match=r"2\.parquet: ids expected"):
            open_corpus(tmp_path).id_blocks()
        parquet(tmp_path / "2.parquet", X.astype("f4"), ids=list(range(100, 157)))
        assert np.concatenate(list(open_corpus(tmp_path).id_blocks())).tolist() == [*range(57), *range(100, 157)]


@pytest.mark.parametrize("name", ["missing.npy", "missing.npz:x", "missing.fvecs", "missing.parquet", "missing.hdf5"])
def test_missing_files(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file"):
        open_corpus(tmp_path / name)


def test_other_endings(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2")
    with pytest.raises(CorpusFileError, match=r"\.npy.*got '\.csv'"):
        open_corpus(tmp_path / "a.csv")


@pytest.mark.parametrize(("library", "ending"), [("h5py", "hdf5"), ("pyarrow", "parquet")])
def test_a_missing_library_names_its_extra(
    library: str, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"a.{ending}").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingDependencyError, match=rf"pqstore\[{ending}\]"):
        open_corpus(tmp_path / f"a.{ending}")


def test_standard_input() -> None:
    code = (
        "import numpy as np; from pqstore.interop.corpus import open_corpus\n"
        "c = open_corpus('-'); print(c.n, c.D, sum(b.sum() for b in c.blocks(10)))\n"
        "try: next(c.blocks())\n"
        "except ValueError as e: print(e)\n"
    )
    stream = io.BytesIO()
    np.save(stream, X)
    root = Path(__file__).resolve().parents[4]
    done = subprocess.run(
        [sys.executable, "-c", code], input=stream.getvalue(), capture_output=True, cwd=root, check=True
    )
    assert done.stdout.decode().splitlines() == [
        f"57 6 {X.sum()}",
        "standard input can be read once: save it to a .npy file first",
    ]


@pytest.mark.parametrize(
    "name", ["a.npy", "fortran.npy", "packed.npz", "a.fvecs", "a.fbin", "a.hdf5", "chunked.hdf5", "a.parquet"]
)
def test_memory_does_not_grow_with_the_file(name: str, tmp_path: Path) -> None:
    write, dtype = WRITERS[name]
    x = np.tile(X.astype(dtype), (2000, 4))
    if name == "a.fvecs":
        records = np.empty((len(x), 25), dtype="<i4")
        records[:, 0], records[:, 1:] = 24, x.view("<i4")
        (tmp_path / name).write_bytes(records.tobytes())
    else:
        write(tmp_path / name, x)
    corpus = open_corpus(tmp_path / name)
    next(corpus.blocks(100))  # imports and caches
    tracemalloc.start()
    try:
        rows = sum(len(block) for block in corpus.blocks(1000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rows == len(x)
    assert peak < x.nbytes / 4
