"""From what a user names to a `Corpus`: by the ending of the file, a directory, a glob, or "-"."""

from __future__ import annotations

import glob
import os
import sys
from os import PathLike
from pathlib import Path

from pqstore.errors import CorpusFileError
from pqstore.interop.corpus.array_files import NpyCorpus, NpyStream, NpzCorpus
from pqstore.interop.corpus.arrow_file import ArrowCorpus
from pqstore.interop.corpus.corpus import Corpus
from pqstore.interop.corpus.hdf5_file import Hdf5Corpus
from pqstore.interop.corpus.several import SeveralCorpora
from pqstore.interop.corpus.vecs_files import BIN_DTYPES, VECS_DTYPES, BinCorpus, VecsCorpus

__all__ = ["ENDINGS", "open_corpus"]

_HDF5 = (".hdf5", ".h5", ".hdf")
_ARROW = (".parquet", ".pq", ".arrow", ".feather", ".ipc")
ENDINGS = (".npy", ".npz", *VECS_DTYPES, *BIN_DTYPES, *_HDF5, *_ARROW)
# Formats that hold several arrays, one of which FILE:NAME names.
_WITH_MEMBERS = (".npz", *_HDF5, *_ARROW)


def open_corpus(spec: str | PathLike[str]) -> Corpus:
    """Vectors in files, or from standard input.

    Args:
        spec: a file ending in one of `ENDINGS`; ``FILE:NAME`` for an array of a .npz, a data set of an HDF5 file
            ("train" without a name) or a column of a Parquet or Arrow file; a directory, or a pattern with ``*``, for
            all such files in the order of their names; ``-`` for a .npy array on standard input.

    Returns:
        A `Corpus`: ``n``, ``D``, ``dtype``, ``blocks(rows)``, ``id_blocks(rows)``, ``read(start, rows)``.

    Raises:
        CorpusFileError: a file is damaged, cut short, or no vectors; files of different dimensions; no file at all.
        MissingDependencyError: the format needs a library that is not installed.
        FileNotFoundError: there is no such file.

    Examples:
        >>> import tempfile, numpy as np
        >>> path = tempfile.mkdtemp() + "/x.npy"
        >>> np.save(path, np.zeros((3, 2), dtype=np.float32))
        >>> open_corpus(path).n
        3
    """
    text = os.fspath(spec)
    if text == "-":
        return NpyStream(sys.stdin.buffer)
    path = Path(text)
    if path.is_dir():
        return _several(text, sorted(p for p in path.iterdir() if p.is_file() and p.suffix.lower() in ENDINGS))
    if not path.exists() and any(letter in text for letter in "*?["):
        paths = map(Path, glob.iglob(text, recursive=True))  # noqa: PTH207 # Path.glob takes no absolute pattern
        return _several(text, sorted(p for p in paths if p.is_file()))
    return _open_file(path)


def _open_file(path: Path) -> Corpus:
    member: str | None = None
    if not path.exists():
        before, colon, after = path.name.rpartition(":")
        if not colon or Path(before).suffix.lower() not in _WITH_MEMBERS:
            raise FileNotFoundError(f"there is no file {path}")
        path, member = path.with_name(before), after
        if not path.exists():
            raise FileNotFoundError(f"there is no file {path}")
    ending = path.suffix.lower()
    if ending == ".npy":
        return NpyCorpus(path)
    if ending == ".npz":
        return NpzCorpus(path, member)
    if ending in VECS_DTYPES:
        return VecsCorpus(path)
    if ending in BIN_DTYPES:
        return BinCorpus(path)
    if ending in _HDF5:
        return Hdf5Corpus(path, member)
    if ending in _ARROW:
        return ArrowCorpus(path, member)
    raise CorpusFileError(f"{path}: the ending of a file of vectors expected ({', '.join(ENDINGS)}), got {ending!r}")


def _several(name: str, paths: list[Path]) -> Corpus:
    if not paths:
        raise CorpusFileError(f"{name}: files ending in one of {', '.join(ENDINGS)} expected, got none")
    return SeveralCorpora(name, [_open_file(path) for path in paths])
