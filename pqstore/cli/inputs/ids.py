"""Ids that the command reads: words of the command line, files of ids. An id is never read as another one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from pqstore.cli.inputs.lines import read_lines
from pqstore.errors import CorpusFileError, DimensionError, DuplicateIdError, InvalidIdError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pqstore.cli.report import Report

    IdList: TypeAlias = npt.NDArray[np.int64] | list[str]

__all__ = ["IDS_HELP", "ID_TYPE_HELP", "as_ids", "of_type", "read_ids", "read_ids_of", "refuse_repeated"]

IDS_HELP = "ids: .npy (integers or strings), .jsonl, or text with one a line"
ID_TYPE_HELP = "read ids as numbers or as text (default: numbers where every one is a whole number, text otherwise)"

# Anything else that int() takes is text: 007, +5, 1_000, a number in other digits, spaces around one.
_WHOLE = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)


def read_ids_of(
    rows: int, path: str | None, id_type: str | None, report: Report, what: str = "vectors"
) -> IdList | None:
    """The ids in the file at `path`, one for each of `rows`; None without a path.

    Raises:
        DimensionError: the file holds more ids, or fewer.
    """
    if path is None:
        return None
    ids = read_ids(path, id_type, report)
    if len(ids) != rows:
        raise DimensionError(f"{rows} {what} need {rows} ids, {path} holds {len(ids)}")
    return ids


def read_ids(path: str, id_type: str | None, report: Report) -> IdList:
    """Ids: a .npy array of integers or strings, a .jsonl file of JSON values, or a text file with one id a line.

    Args:
        id_type: "int64" or "str"; None: as the file says, where text is int64 if every line is a whole number of the
            form ``-?(0|[1-9][0-9]*)``.

    Raises:
        CorpusFileError: the file cannot be read as one of these.
        InvalidIdError: an id cannot be one of `id_type`.
    """
    if path.endswith(".npy"):
        return of_type(_read_npy(path), id_type, path, report.note)
    if path.endswith(".jsonl"):
        return of_type(_from_json(path), id_type, path, report.note)
    return _from_text(path, id_type)


def as_ids(words: Sequence[str], id_type: str) -> list[Any]:
    """Words of the command line as ids of the kind that an index has.

    Raises:
        InvalidIdError: a word is no whole number, and the index has int64 ids.
    """
    return list(words) if id_type == "str" else [_number(word, "this index has int64 ids") for word in words]


def of_type(ids: Any, id_type: str | None, where: str, note: Callable[[str], object]) -> Any:
    """Ids of a source that says their type itself, as ids of another type if that is wanted; then `note` tells it.

    Raises:
        InvalidIdError: they cannot be of that type.
    """
    if id_type is None or len(ids) == 0 or isinstance(ids, list) == (id_type == "str"):
        return ids
    import numpy as np

    if id_type == "str":
        note(f"{where} holds ids that are numbers: they are taken as text, {int(ids[0])} as {str(ids[0])!r}")
        return [str(number) for number in ids.tolist()]
    numbers = [_number(name, f"{where} holds strings, and int64 ids are asked for") for name in ids]
    note(f"{where} holds ids that are strings: they are taken as numbers, {ids[0]!r} as {numbers[0]}")
    return np.array(numbers, dtype=np.int64)


def refuse_repeated(parts: Callable[[], Iterator[Any] | None], where: str, advice: str = "") -> None:
    """Find an id that is given twice before any work is done with them.

    Args:
        parts: begins to read the ids, block by block.

    Raises:
        DuplicateIdError: names the id and both rows.
    """
    import numpy as np

    blocks = parts()
    keys = [] if blocks is None else [_keys(block) for block in blocks]
    if not keys:
        return
    ordered = np.sort(np.concatenate(keys))
    suspects = set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())
    if not suspects:
        return
    seen: dict[Any, int] = {}
    for row, value in enumerate(_each(parts() or ())):
        if (hash(value) if isinstance(value, str) else value) in suspects:
            if value in seen:
                raise DuplicateIdError(
                    f"id {value!r} is given twice, in rows {seen[value]} and {row} of {where}{advice}"
                )
            seen[value] = row


def _keys(block: Any) -> npt.NDArray[Any]:
    """A number for each id: the id itself, or its hash."""
    import numpy as np

    return np.fromiter(map(hash, block), np.int64, len(block)) if isinstance(block, list) else np.asarray(block)


def _each(blocks: Iterable[Any]) -> Iterator[Any]:
    for block in blocks:
        yield from block if isinstance(block, list) else block.tolist()


def _number(text: str, why: str) -> int:
    if _WHOLE.fullmatch(text) is None:
        raise InvalidIdError(f"{why}, {text!r} is none: whole numbers are written as 0, 17, -5")
    number = int(text)
    if not -(2**63) <= number < 2**63:
        raise InvalidIdError(f"{why}, {text!r} is beyond them")
    return number


def _from_text(path: str, id_type: str | None) -> IdList:
    import numpy as np

    names = []
    for number, line in enumerate(read_lines(path), 1):
        if not line:
            raise CorpusFileError(f"{path}: line {number} is empty: an id has at least one character")
        try:
            names.append(line.decode())
        except UnicodeDecodeError as error:
            raise CorpusFileError(f"{path}: line {number}: text in UTF-8 expected, got {error.reason}") from error
    if id_type == "str" or (id_type is None and not all(map(_WHOLE.fullmatch, names))):
        return names
    why = "every line is a whole number, so these are int64 ids (--id-type str takes them as text)"
    numbers = [
        _number(name, f"{path}, line {number}: {'int64 ids are meant' if id_type else why}")
        for number, name in enumerate(names, 1)
    ]
    return np.array(numbers, dtype=np.int64)


def _read_npy(path: str) -> IdList:
    import numpy as np

    from pqstore.interop.corpus.array_files import map_array
    from pqstore.interop.corpus.whole_numbers import whole_numbers

    array = map_array(path, "ids")
    if array.ndim != 1 or array.dtype.kind not in "iuUf":
        raise CorpusFileError(
            f"{path}: integers or strings of shape (n,) expected, got {array.dtype} of shape {array.shape}"
        )
    if array.dtype.kind == "U":
        return array.tolist()
    if array.dtype.kind != "f":
        return np.array(array)
    numbers, other = whole_numbers(array)
    if other is not None:
        raise CorpusFileError(f"{path}: integers or strings expected, got {array[other]} in row {other}")
    return numbers


def _from_json(path: str) -> IdList:
    import json

    import numpy as np

    values: list[Any] = []
    for number, line in enumerate(read_lines(path), 1):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
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
