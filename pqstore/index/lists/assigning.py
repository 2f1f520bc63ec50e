"""To which partitions codes belong: what they decode to, and the table that divides the space of codewords."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, I64
from pqstore.index.code_space import CodeSpace
from pqstore.quantizer.partitions import PartitionTable
from pqstore.storage import StoredTable

__all__ = ["PartitionAssigner", "decoded_codewords", "table_of"]


class PartitionAssigner:
    """See `pqstore.storage.lists.assigning.Assign`."""

    def __init__(self, space: CodeSpace) -> None:
        self._space = space
        self._known: tuple[int, PartitionTable] | None = None
        self.threads = 1

    def __call__(self, number: int, table: StoredTable, codes: npt.NDArray[Any], /) -> I64:
        known = self._known
        if known is None or known[0] != number:
            known = self._known = number, table_of(table)
        return known[1].assign(decoded_codewords(self._space, codes), self.threads)


def table_of(stored: StoredTable) -> PartitionTable:
    """The table, out of its arrays."""
    return PartitionTable(*stored)


def decoded_codewords(space: CodeSpace, stored: npt.NDArray[Any]) -> F32:
    """The codewords of stored labels (n, M), one after another: float32 (n, D), not turned back by an OPQ."""
    codewords = space.quantizer.codewords
    assert codewords is not None
    M, Ks, Ds = codewords.shape
    labels = np.minimum(space.from_stored(stored), Ks - 1)  # a damaged code is some code
    decoded = np.empty((len(labels), M, Ds), dtype=np.float32)
    for m in range(M):
        np.take(codewords[m], labels[:, m], axis=0, out=decoded[:, m])
    return decoded.reshape(len(labels), M * Ds)
