"""The files that the command reads and writes: vectors, ids, results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.errors import DimensionError

__all__ = ["blocks_of", "read_ids", "read_ids_of", "read_vectors", "write_result"]


def read_vectors(path: str) -> npt.NDArray[Any]:
    """An array of vectors (n, D), mapped from a .npy file: nothing is read before it is used.

    Raises:
        ValueError, OSError: the file is no .npy file of numbers with two axes.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as a .npy array: {error}") from error
    except EOFError as error:
        raise ValueError(f"{path} is no .npy array: it ends before its header does") from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path} holds several arrays: give a .npy file with one")  # noqa: TRY004
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise ValueError(f"{path} must hold numbers of shape (n, D), it holds {array.dtype} of shape {array.shape}")
    return array


def blocks_of(vectors: npt.NDArray[Any], rows: int = 8192) -> list[npt.NDArray[Any]]:
    """Views of consecutive rows."""
    return [vectors[start : start + rows] for start in range(0, len(vectors), rows)]


def read_ids_of(vectors: npt.NDArray[Any], path: str | None) -> npt.NDArray[Any] | list[str] | None:
    """The ids in the file at `path`, one for each of `vectors`; None without a path.

    Raises:
        DimensionError: the file holds more ids, or fewer.
    """
    if path is None:
        return None
    ids = read_ids(path)
    if len(ids) != len(vectors):
        raise DimensionError(f"{len(vectors)} vectors need {len(vectors)} ids, {path} holds {len(ids)}")
    return ids


def read_ids(path: str) -> npt.NDArray[Any] | list[str]:
    """Ids: a .npy array of integers or strings, or a text file with one id a line.

    A text file of which every line is a whole number gives int64 ids; any other gives str ids.
    """
    if path.endswith(".npy"):
        array = np.load(path, allow_pickle=False)
        return array.tolist() if array.dtype.kind == "U" else array
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    try:
        return np.array([int(line) for line in lines], dtype=np.int64)
    except (ValueError, OverflowError):
        return lines


def write_result(path: str, ids: npt.NDArray[Any], distances: npt.NDArray[np.float32]) -> None:
    """Search results as .npz (arrays ``ids`` and ``distances``), or as .npy with the ids alone."""
    if ids.dtype == object:
        ids = np.array([["" if value is None else value for value in row] for row in ids.tolist()])
    if path.endswith(".npz"):
        np.savez(path, ids=ids, distances=distances)
    elif path.endswith(".npy"):
        np.save(path, ids)
    else:
        raise ValueError(f"{path}: give a name that ends in .npz (ids and distances) or .npy (ids)")
