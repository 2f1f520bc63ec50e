"""The two meta pages of a data file of LMDB: where the trees of the last two transactions begin.

The layout is that of LMDB's data format 1 (MDB_page, MDB_meta, MDB_db) on a 64-bit machine.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import NamedTuple

__all__ = [
    "INTEGER_KEYS",
    "NO_PAGE",
    "PAGE_SIZE",
    "TREE_BYTES",
    "DamagedFileError",
    "Meta",
    "Tree",
    "newest_number",
    "read_metas",
]

PAGE_SIZE = min(mmap.PAGESIZE, 32_768)  # as LMDB chooses it
NO_PAGE = 2**64 - 1
INTEGER_KEYS = 8  # flag of a tree whose keys are numbers in the machine's order: the list of free pages
_MAGIC = 0xBEEFC0DE
_META_PAGE = 8
_LARGEST_MAP = 1 << 40
_MAX_DEPTH = 32  # LMDB's cursors hold so many pages
_TREE = struct.Struct("=I H H Q Q Q Q Q")
TREE_BYTES = _TREE.size
# Page number, padding, kind, not used; magic, version, address, map size, two trees, last page, transaction
_META = struct.Struct("=Q 2x H 4x I I Q 8x 48s 48s Q Q")
_FIRST_NUMBER = _META.size - 8
_NUMBERS = struct.Struct(f"=Q {PAGE_SIZE - 8}x Q")


class DamagedFileError(Exception):
    """Says what is wrong with the pages of a data file."""


class Tree(NamedTuple):
    """What is recorded of a tree (MDB_db)."""

    pad: int
    flags: int
    depth: int
    branch_pages: int
    leaf_pages: int
    overflow_pages: int
    entries: int
    root: int

    @classmethod
    def unpack(cls, content: bytes) -> Tree:
        return cls._make(_TREE.unpack(content))

    def problem(self, *, flags: int = 0, pad: int = 0) -> str | None:
        """Why no tree of this kind can be so, in words, or None."""
        if self.flags != flags or self.pad != pad:
            return "a tree of a kind that is not used here"
        if self.root == NO_PAGE:
            return "an empty tree that has pages" if any(self[2:7]) else None
        if not 1 <= self.depth <= _MAX_DEPTH:
            return f"a tree of {self.depth} levels"
        return None


class Meta(NamedTuple):
    """What a meta page says, in an order in which the newest is the largest."""

    transaction: int
    last_page: int
    free: Tree
    main: Tree


def read_metas(descriptor: int) -> tuple[Meta, Meta]:
    """Both meta pages, the newest first; raises `DamagedFileError` when they do not go together.

    LMDB rewrites one of them in each commit, by turns, so both are whole after any death of a writer.
    """
    first, second = (_read_meta(descriptor, number) for number in (0, 1))
    if abs(first.transaction - second.transaction) != 1:
        raise DamagedFileError(
            f"its meta pages are of transactions {first.transaction} and {second.transaction}, which do not follow "
            "each other"
        )
    return max(first, second), min(first, second)


def newest_number(descriptor: int) -> int:
    """The higher transaction number of the two, nothing of them checked: cheap enough for each commit."""
    content = os.pread(descriptor, _NUMBERS.size, _FIRST_NUMBER)
    return max(_NUMBERS.unpack(content.ljust(_NUMBERS.size, b"\0")))  # the file may have been cut short


def _read_meta(descriptor: int, number: int) -> Meta:
    head = os.pread(descriptor, _META.size, number * PAGE_SIZE)
    if len(head) < _META.size:
        raise DamagedFileError(f"page {number} is missing")
    its_number, kind, magic, version, address, free, main, last_page, transaction = _META.unpack(head)
    if magic != _MAGIC or kind != _META_PAGE or its_number != number:
        raise DamagedFileError(f"page {number} does not begin as a data file of LMDB does")
    if version != 1:
        raise DamagedFileError(f"page {number} is of LMDB's data format {version}, not 1")
    meta = Meta(transaction, last_page, Tree.unpack(free), Tree.unpack(main))
    if meta.free.pad != PAGE_SIZE:
        raise DamagedFileError(
            f"page {number} speaks of pages of {meta.free.pad} bytes; those of this machine have {PAGE_SIZE}"
        )
    problem = meta.free.problem(flags=INTEGER_KEYS, pad=PAGE_SIZE) or meta.main.problem()
    if problem:
        raise DamagedFileError(f"page {number} describes {problem}")
    if address != 0 or transaction % 2 != number or not 1 <= last_page < _LARGEST_MAP // PAGE_SIZE:
        raise DamagedFileError(
            f"page {number} cannot be so: transaction {transaction}, last page {last_page}, address {address}"
        )
    return meta
