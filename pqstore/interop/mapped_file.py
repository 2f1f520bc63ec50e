"""A file of another program, mapped and read with every size checked before it is believed."""

from __future__ import annotations

import struct
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.errors import CorpusFileError
from pqstore.paths import as_path

__all__ = ["MappedFile"]


class MappedFile:
    """A cursor over a read-only mapped file; a read beyond its end is an error that says where and what."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = as_path(path)
        self.size = self.path.stat().st_size
        # An empty file cannot be mapped.
        self.data: npt.NDArray[np.uint8] = (
            np.memmap(self.path, dtype=np.uint8, mode="r") if self.size else np.empty(0, dtype=np.uint8)
        )
        self.position = 0

    def take(self, count: int, what: str) -> npt.NDArray[np.uint8]:
        """The next `count` bytes, as a view."""
        if count < 0 or count > self.size - self.position:
            raise self.error(f"{what} of {count} bytes expected, {self.size - self.position} bytes left")
        self.position += count
        return self.data[self.position - count : self.position]

    def value(self, format: str, what: str) -> Any:
        """The next little-endian value of a `struct` format."""
        return struct.unpack("<" + format, self.take(struct.calcsize("<" + format), what).tobytes())[0]

    def array(self, dtype: str, count: int, what: str) -> npt.NDArray[Any]:
        """The next `count` values, as a view."""
        return self.take(count * np.dtype(dtype).itemsize, what).view(dtype)

    def error(self, expectation: str, offset: int | None = None) -> CorpusFileError:
        """An error that names file, offset (None: the cursor) and expectation."""
        return CorpusFileError(f"{self.path}: at byte {self.position if offset is None else offset}: {expectation}")
