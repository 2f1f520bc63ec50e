""".npy (mapped), .npz, and a .npy stream on standard input."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.lib.format as npy
import numpy.typing as npt

from pqstore.errors import CorpusFileError
from pqstore.interop.corpus.corpus import Corpus, check_sizes

__all__ = ["NpyCorpus", "NpyStream", "NpzCorpus"]

# What zipfile and NumPy raise over damaged bytes.
_DAMAGE = (ValueError, EOFError, OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError)


class NpyCorpus(Corpus):
    """A .npy file of shape (n, D), C or Fortran order, read without holding its pages."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        with path.open("rb") as stream:
            shape, fortran, self.dtype = read_header(stream, self.name)
            self._offset = stream.tell()
            self.n, self.D = shape
            expected = self.n * self.D * self.dtype.itemsize
            actual = os.fstat(stream.fileno()).st_size - self._offset
        if actual != expected:
            raise CorpusFileError(
                f"{self.name}: at byte {self._offset}: {expected} bytes for {self.n} x {self.D} {self.dtype} expected, "
                f"got {actual}"
            )
        self._path = path
        self._columns: npt.NDArray[Any] | None = None
        if fortran and expected:
            # Columns lie together: a block of rows is a block of every column.
            self._columns = np.memmap(path, self.dtype, "r", self._offset, (self.n, self.D), order="F")

    def read(self, start: int, rows: int) -> npt.NDArray[Any]:
        if self._columns is not None:
            return np.array(self._columns[start : start + rows], order="C")
        return read_rows(self._path, self._offset, start, rows, self.D, self.dtype)

    def blocks(self, rows: int | None = None) -> Iterator[npt.NDArray[Any]]:
        if self._columns is not None:
            yield from super().blocks(rows)
            return
        assert self.n is not None
        # One open file for all blocks.
        with self._path.open("rb", buffering=0) as stream:
            stream.seek(self._offset)
            step = self.block_rows(rows)
            for start in range(0, self.n, step):
                yield read_block(stream, self.name, min(step, self.n - start), self.D, self.dtype)


class NpyStream(Corpus):
    """A .npy array that comes through a pipe: rows can be read once, in order."""

    def __init__(self, stream: BinaryIO, name: str = "standard input") -> None:
        self.name = name
        (self.n, self.D), fortran, self.dtype = read_header(stream, name)
        if fortran:
            raise CorpusFileError(f"{name}: an array in C order expected, got Fortran order, which cannot be streamed")
        self._stream = stream
        self._taken = False

    def read(self, start: int, rows: int) -> npt.NDArray[Any]:  # noqa: ARG002
        raise CorpusFileError(f"{self.name} can be read in order only: save it to a .npy file first")

    def blocks(self, rows: int | None = None) -> Iterator[npt.NDArray[Any]]:
        if self._taken:
            raise CorpusFileError(f"{self.name} can be read once: save it to a .npy file first")
        self._taken = True
        assert self.n is not None
        step = self.block_rows(rows)
        for start in range(0, self.n, step):
            yield read_block(self._stream, self.name, min(step, self.n - start), self.D, self.dtype)


class NpzCorpus(Corpus):
    """One array (n, D) of a .npz archive, decompressed as it is read."""

    def __init__(self, path: Path, member: str | None = None) -> None:
        self.name = str(path)
        self._path = path
        try:
            with zipfile.ZipFile(path) as archive:
                self._member = _one_member(archive, path, member)
                with archive.open(self._member) as stream:
                    (self.n, self.D), fortran, self.dtype = read_header(stream, f"{path}:{self._member}")
                    actual = archive.getinfo(self._member).file_size - stream.tell()
        except (CorpusFileError, FileNotFoundError):
            raise
        except _DAMAGE as error:
            raise CorpusFileError(f"{path} is no sound .npz archive: {error}") from error
        expected = self.n * self.D * self.dtype.itemsize
        if fortran or actual != expected:
            raise CorpusFileError(
                f"{path}:{self._member}: {expected} bytes for {self.n} x {self.D} {self.dtype} in C order expected, "
                f"got {actual}{' in Fortran order' if fortran else ''}"
            )

    def read(self, start: int, rows: int) -> npt.NDArray[Any]:
        return self.scan(start, rows)

    def blocks(self, rows: int | None = None) -> Iterator[npt.NDArray[Any]]:
        assert self.n is not None
        step = self.block_rows(rows)
        try:
            with zipfile.ZipFile(self._path) as archive, archive.open(self._member) as stream:
                read_header(stream, self.name)
                for start in range(0, self.n, step):
                    yield read_block(stream, self.name, min(step, self.n - start), self.D, self.dtype)
        except CorpusFileError:
            raise
        except _DAMAGE as error:
            raise CorpusFileError(f"{self.name}:{self._member} is damaged: {error}") from error


def _one_member(archive: zipfile.ZipFile, path: Path, member: str | None) -> str:
    names = [name.removesuffix(".npy") for name in archive.namelist()]
    if member is None and len(names) != 1:
        raise CorpusFileError(f"{path} holds {len(names)} arrays ({', '.join(names[:8])}): name one as {path}:NAME")
    if member is not None and member not in names:
        raise CorpusFileError(f"{path} has no array {member!r}, it has {', '.join(names[:8])}")
    return f"{member or names[0]}.npy"


def read_header(stream: Any, name: str) -> tuple[tuple[int, int], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and dtype of a .npy array of numbers with two axes."""
    try:
        version = npy.read_magic(stream)
        reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = reader(stream)
    except Exception as error:  # NumPy's parser raises nearly anything over damaged bytes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CorpusFileError(f"{name}: at byte 0: a .npy header expected: {reason}") from error
    if dtype.kind not in "fiu" or dtype.hasobject:
        raise CorpusFileError(f"{name}: numbers (float or integer) expected, got dtype {dtype}")
    if len(shape) != 2:
        raise CorpusFileError(f"{name}: an array of shape (n, D) expected, got {shape}")
    check_sizes(name, *shape, offset=0)
    return shape, fortran, dtype


def read_rows(path: Path, offset: int, start: int, rows: int, D: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Some rows of a file of equal rows that begin at `offset`."""
    with path.open("rb", buffering=0) as stream:
        stream.seek(offset + start * D * dtype.itemsize)
        return read_block(stream, str(path), rows, D, dtype)


def read_block(stream: Any, name: str, rows: int, D: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The next rows of a stream."""
    block = np.empty((rows, D), dtype=dtype)
    fill(stream, name, block)
    return block


def fill(stream: Any, name: str, block: npt.NDArray[Any]) -> None:
    """Read a C-contiguous array from a stream."""
    room = block.reshape(-1).view(np.uint8).data
    filled = 0
    while filled < len(room):
        got = stream.readinto(room[filled:])
        if not got:
            raise CorpusFileError(f"{name}: {len(room) - filled} more bytes of rows expected, but it ends")
        filled += got
