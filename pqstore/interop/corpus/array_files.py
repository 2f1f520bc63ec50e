""".npy (mapped), .npz, and a .npy stream on standard input."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.lib.format as npy
import numpy.typing as npt

from pqstore.errors import CorpusFileError
from pqstore.interop.corpus.corpus import Corpus, check_sizes
from pqstore.interop.corpus.statement import STATING, Statement, statements_in
from pqstore.interop.corpus.wanted import VECTORS, Wanted
from pqstore.paths import as_path

__all__ = ["NpyCorpus", "NpyStream", "NpzCorpus", "map_array"]

# No damage: that a file is not there or may not be read, that memory does not suffice, and our own words.
_NO_DAMAGE = (CorpusFileError, FileNotFoundError, PermissionError, MemoryError)
# A statement is a word.
_LONGEST_STATEMENT = 4096


class NpyCorpus(Corpus):
    """A .npy file of shape (n, D), C or Fortran order, read without holding its pages."""

    def __init__(self, path: Path, wanted: Wanted = VECTORS) -> None:
        self.name = str(path)
        with path.open("rb") as stream:
            shape, fortran, self.dtype = read_header(stream, self.name, wanted.single)
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

    def __init__(self, stream: BinaryIO, name: str = "standard input", wanted: Wanted = VECTORS) -> None:
        self.name = name
        (self.n, self.D), fortran, self.dtype = read_header(stream, name, wanted.single)
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

    def __init__(self, path: Path, member: str | None = None, wanted: Wanted = VECTORS) -> None:
        self.name = str(path)
        self._path, self._single = path, wanted.single
        try:
            with zipfile.ZipFile(path) as archive:
                self._member = _one_member(archive, path, member, wanted.names)
                self.statements = _stated(archive, path)
                with archive.open(self._member) as stream:
                    (self.n, self.D), fortran, self.dtype = read_header(stream, f"{path}:{self._member}", wanted.single)
                    actual = archive.getinfo(self._member).file_size - stream.tell()
        except _NO_DAMAGE:
            raise
        except Exception as error:  # zipfile, its decompressors and NumPy raise nearly anything over damaged bytes
            raise CorpusFileError(f"{path} is no sound .npz archive: {_reason(error)}") from error
        expected = self.n * self.D * self.dtype.itemsize
        if fortran or actual != expected:
            raise CorpusFileError(
                f"{path}:{self._member}: {expected} bytes for {self.n} x {self.D} {self.dtype} in C order expected, "
                f"got {actual}{' in Fortran order' if fortran else ''}"
            )

    def units(self) -> list[int]:
        assert self.n is not None
        return [self.n]  # it is decompressed from its beginning

    def part(self, start: int, stop: int) -> Corpus:
        return self if start < stop else super().part(0, 0)

    def read(self, start: int, rows: int) -> npt.NDArray[Any]:
        return self.scan(start, rows)

    def blocks(self, rows: int | None = None) -> Iterator[npt.NDArray[Any]]:
        assert self.n is not None
        step = self.block_rows(rows)
        try:
            with zipfile.ZipFile(self._path) as archive, archive.open(self._member) as stream:
                read_header(stream, self.name, self._single)
                for start in range(0, self.n, step):
                    yield read_block(stream, self.name, min(step, self.n - start), self.D, self.dtype)
        except _NO_DAMAGE:
            raise
        except Exception as error:  # as above
            raise CorpusFileError(f"{self.name}:{self._member} is damaged: {_reason(error)}") from error


def _one_member(archive: zipfile.ZipFile, path: Path, member: str | None, usual: Sequence[str]) -> str:
    names = [name.removesuffix(".npy") for name in archive.namelist()]
    if member is not None and member not in names:
        raise CorpusFileError(f"{path} has no array {member!r}, it has {', '.join(names[:8])}")
    arrays = [name for name in names if name not in STATING] if len(names) > 1 else names
    if member is None and len(arrays) != 1:
        member = next((name for name in usual if name in arrays), None)
        if member is None:
            raise CorpusFileError(
                f"{path} holds {len(arrays)} arrays ({', '.join(arrays[:8])}): name one as {path}:NAME"
            )
    return f"{arrays[0] if member is None else member}.npy"


def _stated(archive: zipfile.ZipFile, path: Path) -> tuple[Statement, ...]:
    """The metric, where a member of that name is a word."""

    def word(name: str) -> Any:
        member = archive.getinfo(f"{name}.npy")
        if member.file_size > _LONGEST_STATEMENT:
            return None
        with archive.open(member) as stream:
            array = npy.read_array(stream, allow_pickle=False)
        return array.item() if array.ndim == 0 else None

    return statements_in(str(path), (name.removesuffix(".npy") for name in archive.namelist()), word)


def map_array(path: str | PathLike[str], what: str) -> npt.NDArray[Any]:
    """The array of a .npy file, of any shape and dtype but objects, mapped.

    Raises:
        CorpusFileError: the file is damaged or holds something else; `what` says what was expected.
        OSError: the file cannot be opened.
    """
    with as_path(path).open("rb"):
        pass  # that it cannot be opened is no damage
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except MemoryError:
        raise
    except Exception as error:  # NumPy's parser raises nearly anything over damaged bytes
        raise CorpusFileError(f"{path}: a .npy array of {what} expected: {_reason(error)}") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise CorpusFileError(f"{path}: a .npy array of {what} expected, got several arrays")
    return array


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def read_header(stream: Any, name: str, single: bool = False) -> tuple[tuple[int, int], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and dtype of a .npy array of numbers with two axes, or one if `single`."""
    try:
        version = npy.read_magic(stream)
        reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = reader(stream)
    except Exception as error:  # NumPy's parser raises nearly anything over damaged bytes
        raise CorpusFileError(f"{name}: at byte 0: a .npy header expected: {_reason(error)}") from error
    if dtype.kind not in "fiu" or dtype.hasobject:
        lost = ": np.save does not keep the type of bfloat16 and float8, save float32" if dtype.kind == "V" else ""
        raise CorpusFileError(f"{name}: numbers (float or integer) expected, got dtype {dtype}{lost}")
    if single and len(shape) == 1:
        shape = (1, *shape)
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
