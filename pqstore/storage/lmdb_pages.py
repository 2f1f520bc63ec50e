"""How far into a data file of LMDB the pages in use reach, read with plain reads: a short file must not be mapped.

The layout is that of LMDB's data format 1 (`mdb.c`, MDB_page, MDB_node, MDB_db) on a 64-bit machine.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

__all__ = ["Meta", "newest_meta", "pages_beyond"]

_MAGIC = 0xBEEFC0DE
# A meta page: page header, magic, version, address, map size, two trees, last page, transaction
_META = struct.Struct("=16x I I 16x I 36x Q 40x Q Q Q")
_TREE_ROOT = 40  # offset of the root in the 48 bytes that describe a tree
_PAGE = struct.Struct("=Q H H H H")  # number, padding, flags, end of node pointers, start of nodes
_NODE = struct.Struct("=H H H H")  # size or page (low, high), flags or page (highest), key bytes
_HEADER = _PAGE.size
_BRANCH, _LEAF = 1, 2
_BIG, _SUBTREE = 1, 2
_NO_PAGE = 2**64 - 1


class Meta(NamedTuple):
    """What a meta page says, in an order in which the newest is the largest."""

    transaction: int
    page_size: int
    last_page: int
    free_root: int
    main_root: int


def newest_meta(file: BinaryIO) -> Meta | None:
    """The meta page that counts; None when there is no sound one."""
    first = _read_meta(file, 0)
    # The second page begins where the first one says that it ends; without a first one, at the usual size.
    second = _read_meta(file, first.page_size if first else 4096)
    return max((meta for meta in (first, second) if meta), default=None)


def _read_meta(file: BinaryIO, offset: int) -> Meta | None:
    file.seek(offset)
    head = file.read(_META.size)
    if len(head) < _META.size:
        return None
    magic, version, page_size, free_root, main_root, last_page, transaction = _META.unpack(head)
    if magic != _MAGIC or version != 1 or not 512 <= page_size <= 65_536:
        return None
    return Meta(transaction, page_size, last_page, free_root, main_root)


def pages_beyond(file: BinaryIO, meta: Meta, size: int) -> str | None:
    """The first page in use that does not lie wholly within `size` bytes, in words; None when all do."""
    waiting = [root for root in (meta.free_root, meta.main_root) if root != _NO_PAGE]
    seen: set[int] = set()
    while waiting:
        number = waiting.pop()
        if number in seen:
            return f"page {number} is used twice"
        seen.add(number)
        if (number + 1) * meta.page_size > size:
            return f"page {number} is missing"
        file.seek(number * meta.page_size)
        page = file.read(meta.page_size)
        problem = _follow(page, number, meta, size, waiting)
        if problem:
            return problem
    return None


def _follow(page: bytes, number: int, meta: Meta, size: int, waiting: list[int]) -> str | None:
    """Add the pages that a page refers to, and check the large values that it does."""
    its_number, _, flags, lower, _ = _PAGE.unpack_from(page)
    if its_number != number or not flags & (_BRANCH | _LEAF) or not _HEADER <= lower <= len(page):
        return f"page {number} is not part of a tree"
    for pointer in struct.unpack_from(f"={(lower - _HEADER) // 2}H", page, _HEADER):
        if pointer + _NODE.size > len(page):
            return f"page {number} has a node outside of it"
        low, high, node_flags, key_size = _NODE.unpack_from(page, pointer)
        if flags & _BRANCH:
            waiting.append(low | high << 16 | node_flags << 32)
            continue
        value = pointer + _NODE.size + key_size
        if node_flags & _SUBTREE and value + 48 <= len(page):
            (root,) = struct.unpack_from("=Q", page, value + _TREE_ROOT)
            if root != _NO_PAGE:
                waiting.append(root)
        elif node_flags & _BIG and value + 8 <= len(page):
            (first,) = struct.unpack_from("=Q", page, value)
            if first * meta.page_size + _HEADER + (low | high << 16) > size:
                return f"page {first} and what follows it are missing"
    return None
