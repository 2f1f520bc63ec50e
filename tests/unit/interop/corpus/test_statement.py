"""What files say of their metric and dimension is found, in the words of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pqstore.interop.corpus import open_corpus

X = np.ones((4, 6), dtype=np.float32)
WORDS = [
    ("angular", "cosine"),
    ("Cosine", "cosine"),
    ("euclidean", "l2"),
    ("L2", "l2"),
    ("ip", "dot"),
    ("inner_product", "dot"),
    ("hamming", None),
]


def hdf5(path: Path, value: Any, at: str = "/") -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file["train"] = X
        file["group/inner"] = X
        file[at].attrs["distance"] = value


def table(path: Path, value: Any, of_column: bool) -> None:
    pa = pytest.importorskip("pyarrow")
    stated = {"metric": value}
    field = pa.field("v", pa.list_(pa.float32()), metadata=stated if of_column else None)
    made = pa.table([X.tolist()], schema=pa.schema([field], metadata=None if of_column else stated))
    __import__("pyarrow.parquet").parquet.write_table(made, path)


@pytest.mark.parametrize(("word", "metric"), WORDS)
@pytest.mark.parametrize("kind", ["hdf5", "hdf5 bytes", "data set", "parquet", "column", "npz"])
def test_every_format_that_can_say_it(kind: str, word: str, metric: str | None, tmp_path: Path) -> None:
    # An HDF5 file of angular distances was built with l2, without a word.
    path = tmp_path / ("a.npz" if kind == "npz" else "a.parquet" if kind in ("parquet", "column") else "a.hdf5")
    if kind == "npz":
        np.savez(path, x=X, metric=word)
    elif path.suffix == ".parquet":
        table(path, word, of_column=kind == "column")
    else:
        hdf5(path, np.bytes_(word) if "bytes" in kind else word, "train" if kind == "data set" else "/")
    (statement,) = open_corpus(path).statements
    assert (statement.value, statement.metric) == (word, metric)
    assert str(statement).startswith(f"{path} says ")


@pytest.mark.parametrize(
    ("value", "word", "metric"),
    [
        (np.array(["angular"], dtype="S7"), "angular", "cosine"),
        (np.array([[b"ip"]]), "ip", "dot"),
    ],
)
def test_words_in_arrays(value: Any, word: str, metric: str | None, tmp_path: Path) -> None:
    hdf5(tmp_path / "a.hdf5", value)
    (statement,) = open_corpus(tmp_path / "a.hdf5").statements
    assert (statement.value, statement.metric) == (word, metric)


@pytest.mark.parametrize("value", [np.array([b"l2", b"ip"]), 3, np.zeros(3)])
def test_what_can_be_no_word(value: Any, tmp_path: Path) -> None:
    hdf5(tmp_path / "a.hdf5", value)
    assert open_corpus(tmp_path / "a.hdf5").statements == ()


def test_the_nearest_word_counts(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    hdf5(tmp_path / "a.hdf5", "euclidean")
    with h5py.File(tmp_path / "a.hdf5", "a") as file:
        file["group"].attrs["distance"] = "angular"
    assert open_corpus(tmp_path / "a.hdf5").statements[0].metric == "l2"
    assert open_corpus(f"{tmp_path}/a.hdf5:group/inner").statements[0].metric == "cosine"


def test_files_of_a_directory_each_have_their_word(tmp_path: Path) -> None:
    hdf5(tmp_path / "1.hdf5", "euclidean")
    hdf5(tmp_path / "2.hdf5", "angular")
    assert [statement.metric for statement in open_corpus(tmp_path).statements] == ["l2", "cosine"]


def test_files_that_say_nothing(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", X)
    np.savez(tmp_path / "a.npz", x=X)
    hdf5(tmp_path / "a.hdf5", 3)
    for name in ("a.npy", "a.npz", "a.hdf5"):
        assert open_corpus(tmp_path / name).statements == ()


@pytest.mark.parametrize("stated", [6, 7])
def test_a_dimension_that_is_contradicted_is_remarked(stated: int, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["train"] = X
        file["neighbors"] = np.ones((4, 3), dtype=np.int32)
        file.attrs["dimension"] = stated
    remarks = open_corpus(tmp_path / "a.hdf5").remarks
    assert len(remarks) == (stated != 6)
    assert all("says dimension = 7, but 'train' has 6" in remark for remark in remarks)
    assert open_corpus(f"{tmp_path}/a.hdf5:neighbors").remarks == ()
