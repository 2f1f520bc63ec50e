"""Scan, encode, assign on plain arrays: a NumPy reference that defines correct, and compiled kernels that equal it."""

from pqstore.kernels.chunk import CodeChunk
from pqstore.kernels.code_layout import BLOCK_ROWS, CodeLayout
from pqstore.kernels.contract import Kernels
from pqstore.kernels.dispatch import active, available, get
from pqstore.kernels.originals import OriginalKind, as_halves, decode_originals, nearest_originals, unit_length
from pqstore.kernels.searching import Searcher
from pqstore.kernels.threads import resolve_threads

__all__ = [
    "BLOCK_ROWS",
    "CodeChunk",
    "CodeLayout",
    "Kernels",
    "OriginalKind",
    "Searcher",
    "active",
    "as_halves",
    "available",
    "decode_originals",
    "get",
    "nearest_originals",
    "resolve_threads",
    "unit_length",
]
