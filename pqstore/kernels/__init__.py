"""Scan, encode, assign on plain arrays: a NumPy reference that defines correct, and compiled kernels that equal it."""

from pqstore.kernels.chunk import CodeChunk, OriginalChunk, OriginalKind
from pqstore.kernels.code_layout import BLOCK_ROWS, CodeLayout
from pqstore.kernels.contract import Kernels, Searcher
from pqstore.kernels.dispatch import active, available, get
from pqstore.kernels.exact import nearest_in_blocks
from pqstore.kernels.lists import AskChunks, ListGrid, Lists, ReadChunk, list_grid
from pqstore.kernels.originals import OriginalFormat, as_halves, nearest_originals, nearest_stored, unit_length
from pqstore.kernels.reference.list_search import list_order
from pqstore.kernels.threads import resolve_threads

__all__ = [
    "BLOCK_ROWS",
    "AskChunks",
    "CodeChunk",
    "CodeLayout",
    "Kernels",
    "ListGrid",
    "Lists",
    "OriginalChunk",
    "OriginalFormat",
    "OriginalKind",
    "ReadChunk",
    "Searcher",
    "active",
    "as_halves",
    "available",
    "get",
    "list_grid",
    "list_order",
    "nearest_in_blocks",
    "nearest_originals",
    "nearest_stored",
    "resolve_threads",
    "unit_length",
]
