"""Records looked up in the pages of LMDB with plain reads, where nothing vouches for the pages: one small record, or
where large ones lie."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Sequence

from pqstore.storage.disk.lmdb_meta import NO_PAGE, PAGE_SIZE, TREE_BYTES, Meta, Tree

__all__ = ["places_of_values", "stored_value"]

_HEADER = 16
_BRANCH, _LEAF = 1, 2
_IN_PAGES_OF_ITS_OWN = 1


def stored_value(descriptor: int, meta: Meta, database: str, key: bytes) -> bytes | None:
    """The value of a key; None when no way leads to it. The value is not checked, nor is any page but by its number."""
    try:
        value = _value(descriptor, meta.main, database.encode())
        if value is None or len(value) != TREE_BYTES:
            return None
        return _value(descriptor, Tree.unpack(value), key)
    except (struct.error, OverflowError, OSError):  # numbers that lie: beyond a page, or beyond any file
        return None


def _value(descriptor: int, tree: Tree, key: bytes) -> bytes | None:
    number = tree.root
    for _ in range(min(tree.depth, 32) if tree.root != NO_PAGE else 0):
        page = os.pread(descriptor, PAGE_SIZE, number * PAGE_SIZE)
        its_number, kind, lower = struct.unpack_from("=Q 2x H H", page)
        if its_number != number or kind not in (_BRANCH, _LEAF) or not _HEADER < lower <= PAGE_SIZE:
            return None
        nodes = [_node(page, at) for at in struct.unpack_from(f"={(lower - _HEADER) // 2}H", page, _HEADER)]
        if kind == _LEAF:
            return next((_content(descriptor, page, node) for node in nodes if node[3] == key), None)
        # The first key of a branch stands for all that is less.
        low, high, highest, _, _ = next((node for node in reversed(nodes[1:]) if node[3] <= key), nodes[0])
        number = low | high << 16 | highest << 32
    return None


def places_of_values(descriptor: int, meta: Meta, database: str, keys: Sequence[bytes]) -> list[tuple[int, int]]:
    """(offset in the file, bytes) of values in pages of their own; keys that lead to none are left out.

    Good for nothing but asking for pages ahead: nothing that is read is checked.
    """
    places = []
    pages: dict[int, bytes] = {}
    try:
        value = _value(descriptor, meta.main, database.encode())
        if value is None or len(value) != TREE_BYTES:
            return []
        tree = Tree.unpack(value)
        for key in keys:
            place = _place(descriptor, tree, key, pages)
            if place is not None:
                places.append(place)
    except (struct.error, OverflowError, OSError):
        pass
    return places


def _place(descriptor: int, tree: Tree, key: bytes, pages: dict[int, bytes]) -> tuple[int, int] | None:
    number = tree.root
    for _ in range(min(tree.depth, 32) if tree.root != NO_PAGE else 0):
        page = pages.get(number)
        if page is None:
            page = pages[number] = os.pread(descriptor, PAGE_SIZE, number * PAGE_SIZE)
        its_number, kind, lower = struct.unpack_from("=Q 2x H H", page)
        if its_number != number or kind not in (_BRANCH, _LEAF) or not _HEADER < lower <= PAGE_SIZE:
            return None
        first, last = (1 if kind == _BRANCH else 0), (lower - _HEADER) // 2
        while first < last:  # the first node with a greater key
            middle = (first + last) // 2
            if _node(page, _at(page, middle))[3] <= key:
                first = middle + 1
            else:
                last = middle
        if first == 0:
            return None
        low, high, flags, its_key, begin = _node(page, _at(page, first - 1))
        if kind == _LEAF:
            if its_key != key or not flags & _IN_PAGES_OF_ITS_OWN:
                return None
            offset = int.from_bytes(page[begin : begin + 8], sys.byteorder) * PAGE_SIZE
            return offset, _HEADER + (low | high << 16)
        number = low | high << 16 | flags << 32
    return None


def _at(page: bytes, node: int) -> int:
    """Where a node begins."""
    return int.from_bytes(page[_HEADER + 2 * node : _HEADER + 2 * node + 2], sys.byteorder)


def _node(page: bytes, at: int) -> tuple[int, int, int, bytes, int]:
    """(size or page, in two parts, flags or highest part of the page, key, where the value begins)."""
    low, high, flags, size = struct.unpack_from("=4H", page, at)
    return low, high, flags, page[at + 8 : at + 8 + size], at + 8 + size


def _content(descriptor: int, page: bytes, node: tuple[int, int, int, bytes, int]) -> bytes:
    low, high, flags, _, begin = node
    size = low | high << 16
    if flags & _IN_PAGES_OF_ITS_OWN:
        first = int.from_bytes(page[begin : begin + 8], sys.byteorder)
        return os.pread(descriptor, min(size, 1 << 24), first * PAGE_SIZE + _HEADER)
    return page[begin : begin + size]
