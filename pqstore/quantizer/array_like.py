"""Arrays of other libraries, and columns of lists, as NumPy arrays of real numbers."""

from __future__ import annotations

import numbers
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import has_masked
from pqstore.errors import DimensionError, InvalidVectorError

__all__ = ["as_real_array"]

_REAL = (numbers.Real, Decimal, np.bool_)
# What has a method of this name is made readable by the call beside it.
_CALLS = {
    "detach": ".detach().cpu().float().numpy()",
    "toarray": ".toarray()",
    "to_numpy": ".to_numpy()",
    "get": ".get()",
}


def as_real_array(x: Any, what: str) -> npt.NDArray[Any]:
    """`x` as an array of real numbers, of any shape; values are not looked at, nor copied where that can be avoided.

    Taken are arrays and nested sequences of numbers, whatever has ``__array__`` or speaks DLPack, floats that NumPy
    does not know by itself (bfloat16, float8), columns of lists or arrays of equal length (pandas, polars, pyarrow),
    and tables of numbers of which some could be missing, but none is.

    Args:
        x: array-like.
        what: the noun for error messages.

    Raises:
        DimensionError: rows of different lengths.
        InvalidVectorError: `x` is not made of real numbers, has masked ones, or cannot be read; the message names the
            call that helps.
    """
    if type(x) is not np.ndarray and has_masked(x):
        raise InvalidVectorError(f"{what} has masked values: fill or drop them first")
    array = x if isinstance(x, np.ndarray) else _read(x, what)
    if array.dtype == object:
        return _of_objects(array, what, x)
    if array.dtype.kind in "fiub" or (array.dtype.kind == "V" and np.can_cast(array.dtype, np.float32, "same_kind")):
        return np.asarray(array)
    advice = ""
    if array.dtype.kind == "V" and array.dtype.names is None:
        advice = ": view the bytes as the type they are"
    elif array.dtype.kind in "US":
        advice = ": where ids are given too, vectors come first, then ids"
    raise InvalidVectorError(
        f"{what} must hold real numbers (float or integer), got dtype {array.dtype} from {type(x).__name__}{advice}"
    )


def _read(x: Any, what: str) -> npt.NDArray[Any]:
    try:
        array = np.asarray(x)
    except MemoryError:
        raise
    except Exception as error:  # another library's refusal comes as any exception
        if isinstance(x, (list, tuple)) and isinstance(error, ValueError):
            raise DimensionError(f"{what} must have shape (n, D), got rows of different lengths: {error}") from error
        return _by_dlpack(x, what, error)
    # An array of one object: NumPy saw no array in it.
    return _by_dlpack(x, what, None) if array.dtype == object and array.ndim == 0 else array


def _by_dlpack(x: Any, what: str, refusal: Exception | None) -> npt.NDArray[Any]:
    if hasattr(x, "__dlpack__"):
        try:
            return np.from_dlpack(x)
        except (TypeError, ValueError, RuntimeError, BufferError, AttributeError) as error:
            refusal = refusal or error
    reason = "" if refusal is None else f" ({' '.join(str(refusal).split())})"
    call = next((call for name, call in _CALLS.items() if hasattr(x, name)), None)
    advice = "give a NumPy array" if call is None else f"call {call} on it"
    kind = f"{type(x).__module__}.{type(x).__qualname__}".removeprefix("builtins.")
    raise InvalidVectorError(
        f"{what} must hold real numbers, and a {kind} cannot be read as an array{reason}: {advice}"
    ) from refusal


def _of_objects(array: npt.NDArray[Any], what: str, x: Any) -> npt.NDArray[Any]:
    """An array of Python objects, out of `x`: of the numbers of a table, or a column of rows."""
    source = type(x).__name__
    kinds = set(map(type, array.flat))
    if all(issubclass(kind, _REAL) for kind in kinds):
        # Other libraries keep numbers so that may be missing; NumPy only those that are more than it can hold.
        if isinstance(x, (np.ndarray, list, tuple)):
            call = ".astype(np.float32)" if isinstance(x, np.ndarray) else "np.array(..., dtype=np.float32)"
            raise InvalidVectorError(
                f"{what} must hold real numbers (float or integer), got Python objects from {source}: call {call} on it"
            )
        try:
            return array.astype(np.float64)
        except OverflowError as error:
            raise InvalidVectorError(f"{what} has a number beyond float32: {error}") from error
    is_column = array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)
    if is_column and any(hasattr(kind, "__len__") and not issubclass(kind, (str, bytes, dict)) for kind in kinds):
        return _stacked(array.reshape(-1), what)
    place = next(place for place, value in np.ndenumerate(array) if not isinstance(value, _REAL))
    value = array[place]
    where = "".join(f", {axis} {at}" for axis, at in zip(("row", "column"), place, strict=False))[2:]
    missing = value is None or type(value).__name__ in ("NAType", "NaTType")
    raise InvalidVectorError(
        f"{what} must hold real numbers, got {value!r} ({type(value).__name__}) in {where} of a {source}"
        f"{': fill or drop what is missing first' if missing else ''}"
    )


def _stacked(column: npt.NDArray[Any], what: str) -> npt.NDArray[Any]:
    """A column of n rows of D values as (n, D)."""
    rows = []
    for number, row in enumerate(column):
        if not hasattr(row, "__len__") or isinstance(row, (str, bytes, dict)):
            raise InvalidVectorError(
                f"{what}: row {number} is {row!r}, not a list of numbers: fill or drop such rows first"
            )
        rows.append(row if type(row) is np.ndarray and row.dtype.kind == "f" else as_real_array(row, what))
        if rows[-1].shape != rows[0].shape or rows[0].ndim != 1:
            raise DimensionError(
                f"{what}: row {number} has the shape {rows[-1].shape}, row 0 {rows[0].shape}: one axis, of one length, "
                "expected"
            )
    return np.stack(rows)
