"""The compiled helpers of this room, where there are any: loops over rows that Python is too slow for."""

from __future__ import annotations

import importlib
import os
from functools import cache
from types import ModuleType
from typing import Any

__all__ = ["native_module", "new_id_parts"]

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


def new_id_parts() -> Any:
    """An empty mapping of segments or chunks to int64 ids, as ``take_ids`` reads it; a dict where nothing does."""
    native = native_module()
    return {} if native is None else native.IdParts()
