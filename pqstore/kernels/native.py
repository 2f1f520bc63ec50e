"""The compiled module, where there is one."""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType

__all__ = ["native_module"]

_NAME = "pqstore.kernels._native"


@cache
def native_module() -> ModuleType | None:
    """The compiled module, or None where it was never built. One that was built and does not load is an error."""
    try:
        return importlib.import_module(_NAME)
    except ModuleNotFoundError as error:
        if error.name != _NAME:
            raise
        return None
