"""Payloads and filters as the command reads them: JSON, one object a line, and JSON on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pqstore.cli.inputs.lines import read_lines
from pqstore.errors import CorpusFileError, DimensionError, InvalidFilterError

__all__ = ["PAYLOADS_HELP", "WHERE_HELP", "as_where", "check_payloads", "read_payloads"]

PAYLOADS_HELP = "a JSON object (or null) a line, one for each vector"
WHERE_HELP = """only vectors whose payload fulfils this, as '{"lang": "de", "year": {"$gte": 2020}}'"""


def check_payloads(path: str, rows: int) -> None:
    """Count the lines, before anything is written.

    Raises:
        CorpusFileError: the file is no text.
        DimensionError: there is not one for each of `rows`.
    """
    lines = sum(1 for _ in read_lines(path))
    if lines != rows:
        raise DimensionError(f"{rows} vectors need {rows} payloads, {path} holds {lines} lines")


def read_payloads(path: str, skip: int = 0) -> Iterator[dict[str, Any] | None]:
    """The payloads from line `skip` on, read as they are taken.

    Raises:
        CorpusFileError: a line is no JSON object, nor null.
    """
    import json

    for number, line in enumerate(read_lines(path), 1):
        if number <= skip:
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise CorpusFileError(f"{path}: line {number}: a JSON object expected: {error}") from error
        if value is not None and not isinstance(value, dict):
            raise CorpusFileError(f"{path}: line {number}: a JSON object expected, got {type(value).__name__}")
        yield value


def as_where(text: str | None) -> Any:
    """A filter from the command line; None: none.

    Raises:
        InvalidFilterError: it is no JSON object.
    """
    if text is None:
        return None
    import json

    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidFilterError(f"--where: a JSON object expected: {error}") from error
    if not isinstance(value, dict):
        raise InvalidFilterError(f"--where: a JSON object expected, got {type(value).__name__}")
    return value
