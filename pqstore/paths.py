"""Paths as callers give them, checked once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pqstore.errors import InvalidPathError

__all__ = ["as_path"]


def as_path(path: Any) -> Path:
    """A path with ``~`` at its beginning replaced by the home directory.

    Raises:
        TypeError: no path at all.
        InvalidPathError: no file system could hold it: it is empty, has a zero byte or is not valid Unicode.
    """
    try:
        text = os.fsdecode(path)
    except TypeError:
        raise TypeError(f"a path is a str or a Path, got {type(path).__name__}") from None
    except UnicodeDecodeError as error:
        raise InvalidPathError(f"the path {path!r} cannot be the name of a file: {error}") from error
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        raise InvalidPathError(f"the path {text!r} cannot be the name of a file: {error}") from error
    if not text or "\0" in text:
        raise InvalidPathError(f"the path {text!r} cannot be the name of a file: it is empty or has a zero byte")
    return Path(os.path.expanduser(text))  # noqa: PTH111 # that of Path raises where there is no such user
