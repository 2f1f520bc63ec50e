"""From what a user names to a `Corpus`: by the ending of the file, a directory, a glob, or "-"."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

from pqstore.errors import CorpusFileError
from pqstore.interop.corpus.array_files import NpyCorpus, NpyStream, NpzCorpus
from pqstore.interop.corpus.arrow_file import ArrowCorpus
from pqstore.interop.corpus.corpus import Corpus
from pqstore.interop.corpus.hdf5_file import Hdf5Corpus
from pqstore.interop.corpus.several import SeveralCorpora
from pqstore.interop.corpus.vecs_files import BIN_DTYPES, VECS_DTYPES, BinCorpus, VecsCorpus
from pqstore.interop.corpus.wanted import NO_COLUMN, VECTORS, Wanted
from pqstore.paths import as_path

__all__ = ["ENDINGS", "files_of", "open_corpus"]

_HDF5 = (".hdf5", ".h5", ".hdf")
_ARROW = (".parquet", ".pq", ".arrow", ".feather", ".ipc")
ENDINGS = (".npy", ".npz", *VECS_DTYPES, *BIN_DTYPES, *_HDF5, *_ARROW)
# Formats that hold several arrays, one of which FILE:NAME names.
_WITH_MEMBERS = (".npz", *_HDF5, *_ARROW)


def open_corpus(spec: str | PathLike[str], wanted: Wanted = VECTORS) -> Corpus:
    """Vectors in files, or from standard input.

    Args:
        spec: a file ending in one of `ENDINGS`; ``FILE:NAME`` for an array of a .npz, a data set of an HDF5 file
            ("group/inner" for one in a group) or a column of a Parquet or Arrow file; a directory, or a pattern with
            ``*``, for all such files in the order of their names; ``-`` for a .npy array on standard input.
        wanted: which arrays to take where none is named, and what to take beside the vectors.

    Returns:
        A `Corpus`: ``n``, ``D``, ``dtype``, ``blocks(rows)``, ``id_blocks(rows)``, ``read(start, rows)``.

    Raises:
        CorpusFileError: a file is damaged, cut short, or no vectors; files of different dimensions; no file at all.
        MissingDependencyError: the format needs a library that is not installed.
        FileNotFoundError: there is no such file.
        InvalidPathError: no file can have this name.

    Examples:
        >>> import tempfile, numpy as np
        >>> path = tempfile.mkdtemp() + "/x.npy"
        >>> np.save(path, np.zeros((3, 2), dtype=np.float32))
        >>> open_corpus(path).n
        3
    """
    text = os.fspath(spec)
    if text == "-":
        _refuse_columns(text, wanted)
        return NpyStream(sys.stdin.buffer, wanted=wanted)
    files, member, is_one = _located(text)
    if is_one:
        return _open_file(files[0], member, wanted)
    if not files:
        raise CorpusFileError(f"{text}: files ending in one of {', '.join(ENDINGS)} expected, got none")
    return SeveralCorpora(text, [_open_file(path, member, wanted) for path in files])


def files_of(spec: str) -> list[Path]:
    """The files that `spec` names, in their order; none for standard input.

    Raises:
        FileNotFoundError: there is no such file.
    """
    return [] if spec == "-" else _located(spec)[0]


def _located(text: str) -> tuple[list[Path], str | None, bool]:
    """The files, the part of them that is named, and whether a single file was meant."""
    path = as_path(text)
    if path.is_dir():
        return sorted(p for p in path.iterdir() if p.is_file() and p.suffix.lower() in ENDINGS), None, False
    if path.exists():
        return [path], None, True
    parts = list(_parts(text))
    for file, member in reversed(parts):  # the longest name that a file has
        if Path(file).is_file():
            return [Path(file)], member, True
    for pattern, name in [(text, None), *reversed(parts)]:
        files = _matching(pattern)
        if files:
            return files, name, False
    if _is_pattern(text):
        return [], None, False
    raise FileNotFoundError(f"there is no file {parts[0][0] if parts else path}")


def _is_pattern(text: str) -> bool:
    return any(letter in text for letter in "*?[")


def _matching(pattern: str) -> list[Path]:
    """The files that a pattern finds; none for what is no pattern."""
    if not _is_pattern(pattern):
        return []
    paths = map(Path, glob.iglob(pattern, recursive=True))  # noqa: PTH207 # Path.glob takes no absolute pattern
    return sorted(path for path in paths if path.is_file())


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """Every way to read `text` as FILE:NAME."""
    for colon in re.finditer(":", text):
        file = text[: colon.start()]
        if Path(file).suffix.lower() in _WITH_MEMBERS:
            yield file, text[colon.end() :]


def _open_file(path: Path, member: str | None, wanted: Wanted) -> Corpus:
    ending = path.suffix.lower()
    if ending in _ARROW:
        return ArrowCorpus(path, member, wanted)
    _refuse_columns(str(path), wanted)
    if ending == ".npy":
        return NpyCorpus(path, wanted)
    if ending == ".npz":
        return NpzCorpus(path, member, wanted)
    if ending in VECS_DTYPES:
        return VecsCorpus(path)
    if ending in BIN_DTYPES:
        return BinCorpus(path)
    if ending in _HDF5:
        return Hdf5Corpus(path, member, wanted)
    raise CorpusFileError(f"{path}: the ending of a file of vectors expected ({', '.join(ENDINGS)}), got {ending!r}")


def _refuse_columns(name: str, wanted: Wanted) -> None:
    if wanted.id_column not in (None, NO_COLUMN) or wanted.payload_columns or wanted.skip_nulls:
        raise CorpusFileError(f"{name} has no columns: only Parquet and Arrow files ({', '.join(_ARROW)}) have")
