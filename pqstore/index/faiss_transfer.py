"""Whole indexes to Faiss and back: what `Index.to_faiss` and `Index.from_faiss` do, as functions."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy.typing as npt

from pqstore.index.index import Index

__all__ = ["export_index", "import_index"]


def export_index(index: Index, path: str | PathLike[str] | None = None, mapping: list[str] | None = None) -> Any:
    """`Index.to_faiss`."""
    return index.to_faiss(path, mapping)


def import_index(
    path: str | PathLike[str], source: Any, ids: npt.ArrayLike | Sequence[str] | None = None, **settings: Any
) -> Index:
    """`Index.from_faiss`; `settings` go to ``Index.create``."""
    return Index.from_faiss(path, source, ids, **settings)
