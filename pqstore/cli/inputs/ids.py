"""Ids that the command reads: words of the command line, files of ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pqstore.errors import CorpusFileError, DimensionError, InvalidIdError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["IDS_HELP", "as_ids", "read_ids", "read_ids_of"]

IDS_HELP = "ids: .npy (integers or strings), .jsonl, or text with one a line"


def read_ids_of(rows: int, path: str | None, what: str = "vectors") -> npt.NDArray[np.int64] | list[str] | None:
    """The ids in the file at `path`, one for each of `rows`; None without a path.

    Raises:
        DimensionError: the file holds more ids, or fewer.
    """
    if path is None:
        return None
    ids = read_ids(path)
    if len(ids) != rows:
        raise DimensionError(f"{rows} {what} need {rows} ids, {path} holds {len(ids)}")
    return ids


def read_ids(path: str) -> npt.NDArray[np.int64] | list[str]:
    """Ids: a .npy array of integers or strings, a .jsonl file of JSON values, or a text file with one id a line.

    A text file of which every line is a whole number gives int64 ids; any other gives str ids.

    Raises:
        CorpusFileError: the file cannot be read as one of these.
    """
    from pathlib import Path

    import numpy as np

    if path.endswith(".npy"):
        return _read_npy(path)
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise CorpusFileError(f"{path}: text in UTF-8 expected at byte {error.start}, got {error.reason}") from error
    if path.endswith(".jsonl"):
        return _from_json(path, lines)
    try:
        return np.array([int(line) for line in lines], dtype=np.int64)
    except (ValueError, OverflowError):
        return lines


def as_ids(values: Any, id_type: str) -> list[int] | list[str]:
    """Ids of the kind that an index has.

    Raises:
        InvalidIdError: a value is no whole number, and the index has int64 ids.
    """
    if id_type == "str":
        return [str(value) for value in values]
    ids = []
    for value in values:
        try:
            ids.append(int(value))
        except ValueError as error:
            raise InvalidIdError(f"this index has int64 ids, {value!r} is none") from error
    return ids


def _read_npy(path: str) -> npt.NDArray[np.int64] | list[str]:
    import numpy as np

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise CorpusFileError(f"{path}: a .npy array of ids expected: {error}") from error
    if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind not in "iuU":
        shape = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else "several arrays"
        raise CorpusFileError(f"{path}: integers or strings of shape (n,) expected, got {shape}")
    return array.tolist() if array.dtype.kind == "U" else np.array(array)


def _from_json(path: str, lines: list[str]) -> npt.NDArray[np.int64] | list[str]:
    import json

    import numpy as np

    values: list[Any] = []
    for number, line in enumerate(lines, 1):
        try:
            value = json.loads(line)
        except ValueError as error:
            raise CorpusFileError(f"{path}: line {number}: a JSON value expected: {error}") from error
        if type(value) not in (int, str) or type(value) is not type(values[0] if values else value):
            raise CorpusFileError(f"{path}: line {number}: ids that are all strings or all whole numbers expected")
        values.append(value)
    if values and isinstance(values[0], str):
        return values
    try:
        return np.array(values, dtype=np.int64)
    except OverflowError as error:
        raise CorpusFileError(f"{path}: whole numbers within int64 expected: {error}") from error
