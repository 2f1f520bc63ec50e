"""Ray itself, and what its errors say."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Final

from pqstore.errors import MissingDependencyError, PQStoreError

__all__ = ["REFUSALS", "ray_library", "reason_of"]

REFUSALS: Final = (PQStoreError, ValueError, TypeError)
"""What refuses a call, and would again: tasks and actors hand it back, since Ray tries again what raises."""


def ray_library() -> Any:
    """Ray, when it is used.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "ray":
            raise
        raise MissingDependencyError("collections on Ray need it: pip install 'pqstore[ray]'") from error


def reason_of(error: Exception) -> str:
    """The line of an error of Ray that says why."""
    cause = getattr(error, "cause", None) or error
    lines: Sequence[str] = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[-1] if lines else 'no reason is known'}"[:300]
