"""Scan, encode, assign on plain arrays: a NumPy reference that defines correct, and compiled kernels that equal it."""

from pqstore.kernels.chunk import CodeChunk
from pqstore.kernels.code_layout import BLOCK_ROWS, CodeLayout
from pqstore.kernels.contract import Kernels, Searcher
from pqstore.kernels.dispatch import active, available, get
from pqstore.kernels.exact import nearest_vectors
from pqstore.kernels.originals import OriginalFormat, OriginalKind, as_halves, nearest_originals, unit_length
from pqstore.kernels.threads import resolve_threads

__all__ = [
    "BLOCK_ROWS",
    "CodeChunk",
    "CodeLayout",
    "Kernels",
    "OriginalFormat",
    "OriginalKind",
    "Searcher",
    "active",
    "as_halves",
    "available",
    "get",
    "nearest_originals",
    "nearest_vectors",
    "resolve_threads",
    "unit_length",
]
