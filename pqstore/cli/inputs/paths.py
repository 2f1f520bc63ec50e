"""Paths as arguments of the command."""

from __future__ import annotations

import os.path

__all__ = ["path"]


def path(text: str) -> str:
    """What a path argument means: ``~`` is the home directory also where no shell has seen it (``--out=~/x``)."""
    return os.path.expanduser(text)  # noqa: PTH111 # "a/" and patterns stay as they are
