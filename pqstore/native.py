"""The compiled module, where there is one."""

from __future__ import annotations

import importlib
import os
from functools import cache
from types import ModuleType

__all__ = ["native_loops", "native_module"]

_NAME = "pqstore._native"


@cache
def native_module() -> ModuleType | None:
    """The compiled module, or None where it was never built. One that was built and does not load is an error."""
    try:
        return importlib.import_module(_NAME)
    except ModuleNotFoundError as error:
        if error.name != _NAME:
            raise
        return None


@cache
def native_loops() -> ModuleType | None:
    """The compiled module for loops that NumPy can run as well: None also where ``PQSTORE_KERNEL`` asks for NumPy."""
    return None if os.environ.get("PQSTORE_KERNEL") == "numpy" else native_module()
