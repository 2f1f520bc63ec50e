"""`Corpus`: vectors of any size in files, read in blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.errors import CorpusFileError
from pqstore.interop.corpus.statement import Statement

__all__ = ["Corpus", "Ids", "Payloads"]

Ids = npt.NDArray[Any] | list[str]
Payloads = list[dict[str, Any] | None]

# Bytes of a block, unless rows are asked for: it stays in the cache until it is used.
_BLOCK_BYTES = 1 << 20


class Corpus(ABC):
    """Rows of vectors in one file, several, or a stream.

    Sizes are checked against the files when it is opened; values are read, block by block, when `blocks` is iterated.
    """

    name: str
    """The file, for messages."""
    n: int | None
    """How many rows; None for a stream that does not say."""
    D: int
    dtype: np.dtype[Any]
    statements: tuple[Statement, ...] = ()
    """What the files say of their metric."""
    remarks: tuple[str, ...] = ()
    """What a reader should be told of how the files were understood."""
    id_column: str | None = None
    """The column that ids are read from; None: the file holds none."""

    @abstractmethod
    def read(self, start: int, rows: int) -> npt.NDArray[Any]:
        """Rows ``start .. start + rows - 1``, which there are, as they lie in the file: (rows, D) of `dtype`."""

    def blocks(self, rows: int | None = None) -> Iterator[npt.NDArray[Any]]:
        """All rows in order, arrays (b, D) of `dtype` with b at most `rows` (None: about 1 MiB).

        Raises:
            CorpusFileError: the file changed since it was opened, or its rows contradict each other.
        """
        assert self.n is not None
        step = self.block_rows(rows)
        for start in range(0, self.n, step):
            yield self.read(start, min(step, self.n - start))

    def block_rows(self, rows: int | None = None) -> int:
        """`rows`, or as many as make a block of about 1 MiB."""
        if rows is not None:
            if rows < 1:
                raise ValueError(f"rows must be at least 1, got {rows}")
            return rows
        return max(1, _BLOCK_BYTES // (self.D * self.dtype.itemsize))

    def id_blocks(self, rows: int | None = None) -> Iterator[Ids] | None:
        """The ids that the file itself holds, in the steps of `blocks`: integer arrays or lists of str, or None."""
        del rows
        return None

    def payload_blocks(self, rows: int | None = None) -> Iterator[Payloads] | None:
        """The payloads that the file itself holds, in the steps of `blocks`: lists of dicts and None, or None."""
        del rows
        return None

    def units(self) -> Sequence[int] | None:
        """The rows of each piece that can be read without those before it, as a row group; None: each row is one."""
        return None

    def part(self, start: int, stop: int) -> Corpus:
        """The units ``start .. stop - 1``, which there are, with their ids and payloads, as a corpus."""
        return _Rows(self, start, stop - start)

    def scan(self, start: int, rows: int) -> npt.NDArray[Any]:
        """`read` for files that have to be gone through from the front."""
        vectors = np.empty((rows, self.D), dtype=self.dtype)
        seen = 0
        for block in self.blocks():
            first, last = max(start, seen), min(start + rows, seen + len(block))
            if first < last:
                vectors[first - start : last - start] = block[first - seen : last - seen]
            seen += len(block)
            if seen >= start + rows:
                break
        return vectors

    def __repr__(self) -> str:
        count = "?" if self.n is None else f"{self.n:,}"
        return f"<{type(self).__name__} {self.name}: {count} x {self.D} {self.dtype}>"


class _Rows(Corpus):
    """Some rows of another corpus that follow one another."""

    def __init__(self, whole: Corpus, first: int, rows: int) -> None:
        self.name, self.D, self.dtype, self.n = whole.name, whole.D, whole.dtype, rows
        self.statements, self.remarks, self.id_column = whole.statements, whole.remarks, whole.id_column
        self._whole, self._first = whole, first

    def read(self, start: int, rows: int) -> npt.NDArray[Any]:
        return self._whole.read(self._first + start, rows)


def check_sizes(name: str, n: int, D: int, offset: int) -> None:
    """A number of rows and a dimension that can be meant.

    Raises:
        CorpusFileError: if not so.
    """
    if n < 0 or not 1 <= D < 1 << 24:
        raise CorpusFileError(
            f"{name}: at byte {offset}: a number of rows and a dimension in 1..{(1 << 24) - 1} expected, "
            f"got {n} and {D}"
        )
