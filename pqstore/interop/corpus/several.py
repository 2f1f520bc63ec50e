"""Several files as one corpus: a directory, a glob, a list."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pqstore.errors import CorpusFileError
from pqstore.interop.corpus.corpus import Corpus, Ids, Payloads

__all__ = ["SeveralCorpora"]

Block = TypeVar("Block")


class SeveralCorpora(Corpus):
    """The rows of each file after those of the one before; all must have the same dimension."""

    def __init__(self, name: str, parts: Sequence[Corpus]) -> None:
        self.name, self._parts = name, parts
        self.D = parts[0].D
        for part in parts:
            if part.D != self.D:
                raise CorpusFileError(f"{part.name}: dimension {self.D}, as in {parts[0].name}, expected, got {part.D}")
        self.dtype = np.result_type(*(part.dtype for part in parts))
        self.statements = tuple(statement for part in parts for statement in part.statements)
        self.remarks = tuple(remark for part in parts for remark in part.remarks)
        counts = [part.n for part in parts]
        self.n = sum(count for count in counts if count is not None)
        self._starts = list(itertools.accumulate((count or 0 for count in counts), initial=0))

    def read(self, start: int, rows: int) -> npt.NDArray[Any]:
        vectors = np.empty((rows, self.D), dtype=self.dtype)
        filled = 0
        while filled < rows:
            i = bisect.bisect_right(self._starts, start + filled) - 1
            inside = start + filled - self._starts[i]
            count = min(rows - filled, self._starts[i + 1] - start - filled)
            vectors[filled : filled + count] = self._parts[i].read(inside, count)
            filled += count
        return vectors

    def blocks(self, rows: int | None = None) -> Iterator[npt.NDArray[Any]]:
        for part in self._parts:
            yield from part.blocks(rows)

    def id_blocks(self, rows: int | None = None) -> Iterator[Ids] | None:
        return self._of_all([part.id_blocks(rows) for part in self._parts], "ids")

    def payload_blocks(self, rows: int | None = None) -> Iterator[Payloads] | None:
        return self._of_all([part.payload_blocks(rows) for part in self._parts], "payloads")

    def _of_all(self, of_parts: list[Iterator[Block] | None], what: str) -> Iterator[Block] | None:
        """One after another; all files have them, or none."""
        there = [blocks for blocks in of_parts if blocks is not None]
        if there and len(there) < len(of_parts):
            missing = self._parts[of_parts.index(None)].name
            raise CorpusFileError(f"{missing}: {what} expected, as in other files of {self.name}, but it has none")
        return itertools.chain.from_iterable(there) if there else None
