"""Warnings that point at the line of the caller, not at one of ours."""

from __future__ import annotations

import sys
import warnings

__all__ = ["warn_caller"]


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn, as from the innermost line that is not in this package."""
    depth, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "pqstore":
        depth, frame = depth + 1, frame.f_back
    warnings.warn(message, category, stacklevel=depth)
