"""The rows of a Faiss index under the ids that an index takes them in with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32
from pqstore.errors import DimensionError, InvalidIdError
from pqstore.index.arguments.ids import IdType
from pqstore.interop.faiss import FaissContents

__all__ = ["FaissRows"]


class FaissRows:
    """Codes of a Faiss index with its own ids, or with others that are given for them."""

    def __init__(self, contents: FaissContents, ids: Any = None) -> None:
        """`ids`: one a row, int64 or str; None: those of `contents`.

        Raises:
            DimensionError: not one id a row. InvalidIdError: neither integers nor strings.
        """
        self._contents = contents
        self._ids = None if ids is None else _given_ids(ids, contents.rows)

    @property
    def id_type(self) -> IdType:
        """ "int64" or "str"."""
        return "int64" if self._ids is None or self._ids.dtype.kind in "iu" else "str"

    def blocks(self) -> Iterator[tuple[npt.NDArray[Any], Any, F32 | None]]:
        """(codes (n, M), their ids, their vectors float32 (n, D) if those are there), in blocks of bounded memory."""
        vectors, order = self._contents.vectors, self._contents.order
        start = 0
        for codes, numbers in zip(self._contents.code_blocks(), self._contents.id_blocks(), strict=True):
            ids = numbers if self._ids is None else self._ids[start : start + len(codes)]
            rows = slice(start, start + len(codes)) if order is None else order[start : start + len(codes)]
            part = None if vectors is None else np.asarray(vectors[rows])
            yield codes, ids if self.id_type == "int64" else ids.tolist(), part
            start += len(codes)


def _given_ids(ids: Any, rows: int) -> npt.NDArray[Any]:
    array = np.asarray(ids)
    if array.dtype.kind == "U":
        array = np.asarray(ids, dtype=object)  # fixed-width strings lose trailing NULs
    if array.ndim != 1 or len(array) != rows:
        raise DimensionError(f"one id a row expected: {rows} ids, got an array of shape {array.shape}")
    if array.dtype.kind not in "iuO":
        raise InvalidIdError(f"ids must be integers or strings, got dtype {array.dtype}")
    return array
