"""A column of ids, of whatever type another program gave it, as whole numbers or strings."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.errors import CorpusFileError
from pqstore.interop.corpus.corpus import Ids
from pqstore.interop.corpus.wanted import NO_COLUMN
from pqstore.interop.corpus.whole_numbers import whole_numbers

__all__ = ["ID_NAMES", "ArrowIds"]

ID_NAMES = ("id", "ids", "_id", "key")
_ELSE = f"name another column with --id-column, or {NO_COLUMN}"


class ArrowIds:
    """Turns blocks of one column into ids."""

    def __init__(self, arrow: Any, where: str, column: str, type_: Any) -> None:
        self._types = arrow.types
        self._arrow = arrow
        self._where, self._column = where, column
        self._is_uuid = getattr(type_, "extension_name", None) == "arrow.uuid"

    def ids_of(self, block: Any, first: int) -> Ids:
        """The ids of the rows from `first` on: integers (n,), or a list of str.

        Raises:
            CorpusFileError: one is missing, or the column holds neither whole numbers nor strings.
        """
        types, kind = self._types, block.type
        if block.null_count:
            row = first + int(np.flatnonzero(block.is_null().to_numpy(zero_copy_only=False))[0])
            raise self._error(f"an id in every row of {self._column!r} expected, got null in row {row}")
        if types.is_integer(kind):
            return _array(block)
        if types.is_string(kind) or types.is_large_string(kind) or _is_string_view(types, kind):
            return block.to_pylist()
        if self._is_uuid:
            return [str(uuid.UUID(bytes=value)) for value in block.to_pylist()]
        if types.is_floating(kind):
            return self._whole(_array(block), first)
        if types.is_decimal(kind):
            return self._whole_decimals(block.to_pylist(), first)
        raise self._error(f"integers or strings expected in {self._column!r}, got {kind}")

    def _whole(self, values: npt.NDArray[Any], first: int) -> npt.NDArray[np.int64]:
        numbers, other = whole_numbers(values)
        if other is not None:
            raise self._error(
                f"integers or strings expected in {self._column!r}, got {values[other]} in row {first + other}"
            )
        return numbers

    def _whole_decimals(self, values: list[Any], first: int) -> npt.NDArray[np.int64]:
        for row, value in enumerate(values, first):
            if value != value.to_integral_value() or not -(2**63) <= value < 2**63:
                raise self._error(f"integers or strings expected in {self._column!r}, got {value} in row {row}")
        return np.array([int(value) for value in values], dtype=np.int64)

    def _error(self, expectation: str) -> CorpusFileError:
        return CorpusFileError(f"{self._where}: {expectation}: {_ELSE}")


def _array(block: Any) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = block.to_numpy(zero_copy_only=False)
    return array


def _is_string_view(types: Any, kind: Any) -> bool:
    return bool(getattr(types, "is_string_view", lambda _: False)(kind))  # since pyarrow 16
