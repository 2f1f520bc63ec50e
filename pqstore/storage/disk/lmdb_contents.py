"""What the trees of a data file hold, read from its bytes without LMDB, which opens a file once a process only."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator

from pqstore.storage.disk.lmdb_meta import NO_PAGE, PAGE_SIZE, TREE_BYTES, DamagedFileError, Tree

__all__ = ["stored_items"]

_HEADER = 16
_BRANCH, _LEAF = 1, 2
_IN_PAGES_OF_ITS_OWN, _TREE = 1, 2
_NODE = struct.Struct("=4H")
_MOST_LEVELS = 32


def stored_items(content: memoryview, main: Tree, database: str) -> Iterator[tuple[bytes, memoryview]]:
    """(key, value) of the records of a database, in the order of keys; values are views of `content`, the file.

    Raises `DamagedFileError` where the pages are not sound, or are being written over: what came before it is good.
    """
    try:
        roots = [value for key, value in _items(content, main, _TREE) if key == database.encode()]
        if len(roots) != 1 or len(roots[0]) != TREE_BYTES:
            raise DamagedFileError(f"there is no database {database!r}")
        yield from _items(content, Tree.unpack(bytes(roots[0])), 0)
    except struct.error as error:  # a number that leads beyond the file
        raise DamagedFileError(f"a page of {database!r} is missing ({error})") from error


def _items(content: memoryview, tree: Tree, kind: int) -> Iterator[tuple[bytes, memoryview]]:
    """Records of a tree: large and small ones, or (kind 2) the descriptions of trees."""
    waiting = [] if tree.root == NO_PAGE else [(tree.root, 1)]
    left = tree.branch_pages + tree.leaf_pages
    while waiting:
        number, level = waiting.pop()
        page = content[number * PAGE_SIZE : (number + 1) * PAGE_SIZE]
        its_number, its_kind, lower = struct.unpack_from("=Q 2x H H", page)
        left -= 1
        if its_number != number or its_kind not in (_BRANCH, _LEAF) or level > _MOST_LEVELS or left < 0:
            raise DamagedFileError(f"page {number} is no page of its tree")
        if not _HEADER <= lower <= PAGE_SIZE:
            raise DamagedFileError(f"page {number} has nodes outside it")
        places = struct.unpack_from(f"={(lower - _HEADER) // 2}H", page, _HEADER)
        if its_kind == _BRANCH:
            below = [_NODE.unpack_from(page, at)[:3] for at in reversed(places)]
            waiting += [(low | high << 16 | highest << 32, level + 1) for low, high, highest in below]
            continue
        for at in places:
            low, high, flags, key_size = _NODE.unpack_from(page, at)
            begin = at + _NODE.size + key_size
            value = page[begin : begin + (low | high << 16)]
            if flags & _IN_PAGES_OF_ITS_OWN:
                first = int.from_bytes(page[begin : begin + 8], sys.byteorder) * PAGE_SIZE + _HEADER
                value = content[first : first + (low | high << 16)]
            if flags & _TREE == kind and len(value) == (low | high << 16):
                yield bytes(page[at + _NODE.size : begin]), value
