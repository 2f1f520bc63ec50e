""".fvecs, .bvecs, .ivecs: an int32 dimension before each row. .fbin, .u8bin, .i8bin: two uint32, rows and dimension."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.errors import CorpusFileError
from pqstore.interop.corpus.array_files import fill, read_block, read_rows
from pqstore.interop.corpus.corpus import Corpus, check_sizes

__all__ = ["BIN_DTYPES", "VECS_DTYPES", "BinCorpus", "VecsCorpus"]

VECS_DTYPES = {".fvecs": "<f4", ".bvecs": "u1", ".ivecs": "<i4"}
BIN_DTYPES = {".fbin": "<f4", ".u8bin": "u1", ".i8bin": "i1"}


class VecsCorpus(Corpus):
    """Rows that each begin with their dimension, int32; all must be of the same."""

    def __init__(self, path: Path) -> None:
        self.name, self._path = str(path), path
        self.dtype = np.dtype(VECS_DTYPES[path.suffix.lower()])
        size = path.stat().st_size
        if size == 0:
            raise CorpusFileError(f"{path}: at byte 0: the int32 dimension of a row expected, but the file is empty")
        with path.open("rb") as stream:
            head = stream.read(4)
        if len(head) < 4:
            raise CorpusFileError(f"{path}: at byte 0: the int32 dimension of a row expected, got {len(head)} bytes")
        self.D = int.from_bytes(head, "little", signed=True)
        check_sizes(self.name, 0, self.D, 0)
        self._row_bytes = 4 + self.D * self.dtype.itemsize
        self.n, rest = divmod(size, self._row_bytes)
        if rest:
            for _ in self.blocks():
                pass  # a row of another dimension is named by its own number
            raise CorpusFileError(
                f"{path}: at byte {size - rest}: a row of {self._row_bytes} bytes (D = {self.D}) expected, got {rest}"
            )

    def read(self, start: int, rows: int) -> npt.NDArray[Any]:
        raw = read_rows(self._path, 0, start, rows, self._row_bytes, np.dtype(np.uint8))
        return self._values(raw, start)

    def blocks(self, rows: int | None = None) -> Iterator[npt.NDArray[Any]]:
        assert self.n is not None
        step = self.block_rows(rows)
        buffer = np.empty((min(step, self.n), self._row_bytes), dtype=np.uint8)
        with self._path.open("rb", buffering=0) as stream:
            for start in range(0, self.n, step):
                raw = buffer[: self.n - start]
                fill(stream, self.name, raw)
                yield self._values(raw, start)  # a copy: the buffer is used again

    def _values(self, raw: npt.NDArray[np.uint8], start: int) -> npt.NDArray[Any]:
        dimensions = raw[:, :4].copy().view("<i4")[:, 0]
        other = np.flatnonzero(dimensions != self.D)
        if len(other):
            row = int(other[0])
            raise CorpusFileError(
                f"{self.name}: at byte {(start + row) * self._row_bytes}: dimension {self.D} for row {start + row}, "
                f"as for row 0, expected, got {dimensions[row]}"
            )
        return raw[:, 4:].copy().view(self.dtype)


class BinCorpus(Corpus):
    """Two uint32, rows and dimension, then the rows."""

    def __init__(self, path: Path) -> None:
        self.name, self._path = str(path), path
        self.dtype = np.dtype(BIN_DTYPES[path.suffix.lower()])
        with path.open("rb") as stream:
            head = stream.read(8)
        if len(head) < 8:
            raise CorpusFileError(f"{path}: at byte 0: two uint32, rows and dimension, expected; got {len(head)} bytes")
        self.n, self.D = (int.from_bytes(part, "little") for part in (head[:4], head[4:]))
        check_sizes(self.name, self.n, self.D, 0)
        expected, actual = self.n * self.D * self.dtype.itemsize, path.stat().st_size - 8
        if expected != actual:
            raise CorpusFileError(
                f"{path}: at byte 8: {expected} bytes for {self.n} x {self.D} {self.dtype} expected, got {actual}"
            )

    def read(self, start: int, rows: int) -> npt.NDArray[Any]:
        return read_rows(self._path, 8, start, rows, self.D, self.dtype)

    def blocks(self, rows: int | None = None) -> Iterator[npt.NDArray[Any]]:
        assert self.n is not None
        step = self.block_rows(rows)
        with self._path.open("rb", buffering=0) as stream:
            stream.seek(8)
            for start in range(0, self.n, step):
                yield read_block(stream, self.name, min(step, self.n - start), self.D, self.dtype)
