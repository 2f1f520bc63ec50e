"""The compiled helpers of this room, where there are any: loops over rows that Python is too slow for."""

from __future__ import annotations

import importlib
import os
from functools import cache
from types import ModuleType

__all__ = ["native_module"]

_NAME = "pqstore.storage._native"


@cache
def native_module() -> ModuleType | None:
    """The compiled module, or None where it was never built, or ``PQSTORE_KERNEL`` asks for NumPy.

    One that was built and does not load is an error.
    """
    if os.environ.get("PQSTORE_KERNEL") == "numpy":
        return None
    try:
        return importlib.import_module(_NAME)
    except ModuleNotFoundError as error:
        if error.name != _NAME:
            raise
        return None
