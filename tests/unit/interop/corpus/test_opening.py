"""Which part of which file a name means: parts in groups, parts and files with colons and slashes, usual names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pqstore import CorpusFileError
from pqstore.interop.corpus import QUERIES, TRUTH, VECTORS, Wanted, files_of, open_corpus

X = np.arange(60, dtype=np.float32).reshape(10, 6)


def rows_of(spec: Any, wanted: Wanted = VECTORS) -> np.ndarray:
    return np.concatenate(list(open_corpus(spec, wanted).blocks(4)))


@pytest.fixture
def hdf5(tmp_path: Path) -> Path:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        file["train"] = X
        file["test"] = X[:3] + 1
        file["neighbors"] = np.arange(6, dtype=np.int32).reshape(3, 2)
        file["group/inner"] = X + 2
        file["group/deep/er"] = X + 3
        file["with:colon"] = X + 4
        file.create_dataset("group/chunked", data=X + 5, chunks=(3, 6), compression="gzip")
    return path


@pytest.mark.parametrize(
    ("member", "more"),
    [
        ("train", 0),
        ("group/inner", 2),
        ("/group/inner", 2),
        ("group/deep/er", 3),
        ("with:colon", 4),
        ("group/chunked", 5),
    ],
)
def test_data_sets_in_groups(hdf5: Path, member: str, more: int) -> None:
    # "FILE:group/inner" was cut at its last slash: "there is no file".
    np.testing.assert_array_equal(rows_of(f"{hdf5}:{member}"), X + more)
    assert files_of(f"{hdf5}:{member}") == [hdf5]


def test_an_error_lists_the_data_sets_in_groups(hdf5: Path) -> None:
    for member in ("inner", "group", "group/other", "with"):
        with pytest.raises(CorpusFileError, match=r"it has: group/chunked, group/deep/er, group/inner, neighbors"):
            open_corpus(f"{hdf5}:{member}")


def test_the_usual_part_depends_on_what_is_asked_for(hdf5: Path) -> None:
    np.testing.assert_array_equal(rows_of(hdf5), X)
    np.testing.assert_array_equal(rows_of(hdf5, QUERIES), X[:3] + 1)
    np.testing.assert_array_equal(rows_of(hdf5, TRUTH), np.arange(6).reshape(3, 2))
    assert open_corpus(hdf5, QUERIES).remarks == ()


def test_another_part_is_not_taken_silently(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["train"] = X
    corpus = open_corpus(tmp_path / "a.h5", QUERIES)
    assert corpus.n == 10
    assert corpus.remarks == (f"{tmp_path}/a.h5: there is no 'test', 'train' is read",)


def test_the_only_data_set_needs_no_name(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["deep/vectors"] = X
        file["names"] = [b"a"]
    np.testing.assert_array_equal(rows_of(tmp_path / "a.h5"), X)


@pytest.mark.parametrize("member", ["a/b", "a:b", "a.b", "a b", "*", "x[0]", "a/b:c/d"])
def test_columns_and_arrays_of_any_name(member: str, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table({name: (X + i).tolist() for i, name in enumerate(["a", member, "b"])})
    __import__("pyarrow.parquet").parquet.write_table(table, tmp_path / "t.parquet")
    np.testing.assert_array_equal(rows_of(f"{tmp_path}/t.parquet:{member}"), X + 1)
    np.savez(tmp_path / "t.npz", **{member: X + 1, "other": X})
    np.testing.assert_array_equal(rows_of(f"{tmp_path}/t.npz:{member}"), X + 1)


@pytest.mark.parametrize("name", ["a:b.npz", "a.npz:b.npz", "12:30:00.npz", "x.npz:y"])
def test_files_with_colons(name: str, tmp_path: Path) -> None:
    with (tmp_path / name).open("wb") as stream:
        np.savez(stream, x=X, y=X + 1)
    if name.endswith(".npz"):
        np.testing.assert_array_equal(rows_of(f"{tmp_path}/{name}:y"), X + 1)
        assert files_of(f"{tmp_path}/{name}:y") == [tmp_path / name]
    else:
        with pytest.raises(CorpusFileError, match="ending"):  # the file that there is, not a part of another
            open_corpus(tmp_path / name)


def test_a_part_of_every_file_of_a_pattern(tmp_path: Path) -> None:
    for i in range(3):
        np.savez(tmp_path / f"{i}.npz", x=X, y=X + i)
    found = rows_of(f"{tmp_path}/*.npz:y")
    np.testing.assert_array_equal(found, np.concatenate([X + i for i in range(3)]))
    assert files_of(f"{tmp_path}/*.npz:y") == [tmp_path / f"{i}.npz" for i in range(3)]


@pytest.mark.parametrize("spec", ["b.hdf5:group/inner", "b.npz:a:b", "none/b.parquet:a/b"])
def test_a_missing_file_is_named_without_its_part(spec: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no file \S*/b\.\w+$"):
        open_corpus(f"{tmp_path}/{spec}")


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.hdf5"])
def test_a_single_row_where_one_may_be_meant(name: str, tmp_path: Path) -> None:
    # The library takes one query as an array of one axis; the command refused the file.
    path = tmp_path / name
    if name.endswith("npy"):
        np.save(path, X[3])
    elif name.endswith("npz"):
        np.savez(path, x=X[3])
    else:
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            file.create_dataset("test", data=X[3], chunks=(3,))
    np.testing.assert_array_equal(rows_of(path, QUERIES), X[3:4])
    if name != "x.hdf5":
        with pytest.raises(CorpusFileError, match=r"shape \(n, D\)"):
            open_corpus(path)


@pytest.mark.parametrize("wanted", [Wanted(id_column="id"), Wanted(skip_nulls=True), Wanted(payload_columns=("a",))])
def test_columns_of_files_that_have_none(wanted: Wanted, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(CorpusFileError, match=r"x\.npy has no columns"):
        open_corpus(tmp_path / "x.npy", wanted)
