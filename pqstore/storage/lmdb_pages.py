"""The pages of a data file of LMDB, read with plain reads: what LMDB would trust must be right before it is used.

The layout is that of LMDB's data format 1 (`mdb.c`, MDB_page, MDB_node, MDB_db) on a 64-bit machine.
"""

from __future__ import annotations

import struct
import sys
from itertools import pairwise
from typing import BinaryIO, NamedTuple

import numpy as np

__all__ = ["Meta", "meta_of", "newest_meta", "tree_problem"]

_MAGIC = 0xBEEFC0DE
# A meta page: page header, magic, version, address, map size, two trees, last page, transaction
_META = struct.Struct("=16x I I 16x I 36x Q 40x Q Q Q")
_PAGE = struct.Struct("=Q H H H H")  # number, padding, flags, end of node pointers, start of nodes
_NODE_HEADER = 8  # four u16: size or page (low, high), flags or page (highest), key bytes
_HEADER = _PAGE.size
_FIELDS = np.arange(4)[:, None]
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
    return max(_metas(file), default=None)


def meta_of(file: BinaryIO, transaction: int) -> Meta | None:
    """The meta page of a transaction, which must be one of the last two."""
    return next((meta for meta in _metas(file) if meta.transaction == transaction), None)


def _metas(file: BinaryIO) -> list[Meta]:
    first = _read_meta(file, 0)
    # The second page begins where the first one says that it ends; without a first one, at the usual size.
    second = _read_meta(file, first.page_size if first else 4096)
    return [meta for meta in (first, second) if meta]


def _read_meta(file: BinaryIO, offset: int) -> Meta | None:
    file.seek(offset)
    head = file.read(_META.size)
    if len(head) < _META.size:
        return None
    magic, version, page_size, free_root, main_root, last_page, transaction = _META.unpack(head)
    if magic != _MAGIC or version != 1 or not 512 <= page_size <= 65_536:
        return None
    return Meta(transaction, page_size, last_page, free_root, main_root)


def tree_problem(file: BinaryIO, meta: Meta, size: int) -> str | None:
    """Follow all trees; what is wrong with them or lies beyond `size` bytes, in words, or None.

    It is what keeps LMDB from reading outside the file or outside a page. The records are checked elsewhere, and
    there are few pages of trees: about one for every hundred records, and records are large.
    """
    seen: set[int] = set()
    # Keys of free pages are integers in the machine's order; all others are ordered as bytes.
    return _tree_problem(file, meta, size, meta.free_root, seen, ordered=False) or _tree_problem(
        file, meta, size, meta.main_root, seen, ordered=True
    )


def _tree_problem(file: BinaryIO, meta: Meta, size: int, root: int, seen: set[int], *, ordered: bool) -> str | None:
    """Follow one tree, and those that it names."""
    waiting = [root] if root != _NO_PAGE else []
    while waiting:
        number = waiting.pop()
        if number in seen:
            return f"page {number} is used twice"
        seen.add(number)
        if number < 2 or (number + 1) * meta.page_size > size:
            return f"page {number} is missing"
        file.seek(number * meta.page_size)
        page = file.read(meta.page_size)
        problem = _follow(page, number, meta, size, waiting)
        if problem:
            return problem
        if ordered and not _in_order(page):
            return f"page {number} has keys out of order"
    return None


def _in_order(page: bytes) -> bool:
    """Whether the keys of a sound page ascend: a search for a key passes over one that stands in the wrong place."""
    _, _, kind, lower, _ = _PAGE.unpack_from(page)
    words = memoryview(page).cast("H")
    pointers = words[_HEADER // 2 : lower // 2].tolist()
    keys = [page[at + _NODE_HEADER : at + _NODE_HEADER + words[at // 2 + 3]] for at in pointers]
    if kind == _BRANCH:
        keys = keys[1:]  # the first stands for all that is less
    return all(a < b for a, b in pairwise(keys))


def _follow(  # noqa: PLR0911 - a list of checks
    page: bytes, number: int, meta: Meta, size: int, waiting: list[int]
) -> str | None:
    """Check a page of a tree and its nodes, and add the pages that they refer to."""
    its_number, _, kind, lower, upper = _PAGE.unpack_from(page)
    if its_number != number or kind not in (_BRANCH, _LEAF) or not _HEADER <= lower <= upper <= len(page) or lower % 2:
        return f"page {number} is not a page of a tree"
    words = np.frombuffer(page, dtype="=u2")
    pointers = words[_HEADER // 2 : lower // 2].astype(np.int64)
    if (
        len(pointers) == 0
        or pointers.min() < upper
        or pointers.max() + _NODE_HEADER > len(page)
        or (pointers & 1).any()
    ):
        return f"page {number} has nodes outside of it"
    low, high, flags, key_size = words[(pointers >> 1) + _FIELDS].astype(np.int64)
    values = pointers + _NODE_HEADER + key_size
    sizes = low | high << 16
    if kind == _BRANCH:
        waiting += (sizes | flags << 32).tolist()
        return None if values.max() <= len(page) else f"page {number} has keys that run out of it"
    big = flags == _BIG
    if (flags & ~(_BIG | _SUBTREE)).any() or (values + np.where(big, 8, sizes)).max() > len(page):
        return f"page {number} has values that run out of it"
    for at, length in zip(values[big].tolist(), sizes[big].tolist(), strict=True):
        first = int.from_bytes(page[at : at + 8], sys.byteorder)
        if first < 2 or first * meta.page_size + _HEADER + length > size:
            return f"page {first} or what follows it is missing"
    for at in values[flags == _SUBTREE].tolist():
        tree_flags, root = struct.unpack_from("=4x H 34x Q", page, at)
        if tree_flags:
            return f"page {number} describes a tree of a kind that is not used here"
        if root != _NO_PAGE:
            waiting.append(root)
    return None
