"""Paths as callers give them: checked once, so that no system call has to."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path

from pqstore.errors import InvalidPathError

__all__ = ["as_path"]


def as_path(path: str | PathLike[str]) -> Path:
    """`path` as a `Path`. Names of bytes that are no text, as `os.fsdecode` gives them, are names like any other.

    Raises:
        InvalidPathError: nothing can have this name: it holds a NUL, or what the file system cannot encode.
        TypeError: no path at all.
    """
    checked = Path(path)
    try:
        has_null = b"\0" in os.fsencode(checked)
    except UnicodeEncodeError as error:
        raise InvalidPathError(f"the path {str(path)!r} cannot be the name of a file: {error.reason}") from error
    if has_null:
        raise InvalidPathError(f"the path {str(path)!r} cannot be the name of a file: it holds a NUL")
    return checked
