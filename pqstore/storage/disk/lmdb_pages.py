"""Pages of LMDB's trees, many at a time: what LMDB reads of them without looking must be right before it does.

The layout is that of LMDB's data format 1 (MDB_page, MDB_node). docs/format.md lists what is checked.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U8, U64
from pqstore.storage.disk.lmdb_meta import PAGE_SIZE, TREE_BYTES, DamagedFileError, Tree

__all__ = ["FREE", "MAIN", "NAMED", "PAGE_HEADER", "Keys", "TreePages", "large_value_pages"]

PAGE_HEADER = 16  # number u64, padding u16, kind u16, end of node pointers u16, start of nodes u16
_NODE_HEADER = 8  # four u16: size or page (low, high), flags or page (highest), key bytes
_BRANCH, _LEAF = 1, 2
_BIG, _SUBTREE = 1, 2
_MAX_KEY = 511
_MAX_NODE = ((PAGE_SIZE - PAGE_HEADER) // 2 & -2) - 2  # a leaf node that is larger has its value in pages of its own
FREE, MAIN, NAMED = 0, 1, 2  # kinds of trees: the list of free pages, the databases by name, a database

Bools: TypeAlias = npt.NDArray[np.bool_]


def large_value_pages(sizes: I64) -> I64:
    """How many pages values of so many bytes take that have pages of their own."""
    return (PAGE_HEADER - 1 + sizes) // PAGE_SIZE + 1


class Keys:
    """Keys in an order of their own: their first 16 bytes as two numbers, and their lengths; -1 is before any key."""

    __slots__ = ("high", "length", "low")

    def __init__(self, high: U64, low: U64, length: I64) -> None:
        self.high, self.low, self.length = high, low, length

    @classmethod
    def before_all(cls, count: int) -> Keys:
        zeros = np.zeros(count, dtype=np.uint64)
        return cls(zeros, zeros, np.full(count, -1, dtype=np.int64))

    @classmethod
    def concatenate(cls, parts: Sequence[Keys]) -> Keys:
        return cls(
            np.concatenate([keys.high for keys in parts]),
            np.concatenate([keys.low for keys in parts]),
            np.concatenate([keys.length for keys in parts]),
        )

    def __getitem__(self, at: I64 | Bools | slice) -> Keys:
        return Keys(self.high[at], self.low[at], self.length[at])

    def put(self, at: I64, others: Keys) -> None:
        self.high[at], self.low[at], self.length[at] = others.high, others.low, others.length

    def less(self, others: Keys) -> Bools:
        """Element by element. Keys that differ only after 16 bytes count as less either way."""
        undecided = (self.length > 16) & (others.length > 16)
        return (self.high < others.high) | (self.high == others.high) & (
            (self.low < others.low) | (self.low == others.low) & ((self.length < others.length) | undecided)
        )


class TreePages:
    """Pages of one level of some trees, in the order of the trees and of their keys, and the nodes on them.

    `content` is uint8 (pages, PAGE_SIZE); `kinds` says FREE, MAIN or NAMED of the tree of each page, and `are_leaves`
    whether it must be a leaf. MAIN stands alone. Raises `DamagedFileError` for the first page that cannot be so.
    """

    def __init__(self, content: U8, numbers: I64, kinds: I64, are_leaves: Bools) -> None:
        self._bytes = content.reshape(-1)
        self._numbers = numbers
        self._is_main = bool(kinds[0] == MAIN)
        words = content.view(np.uint16)
        flags, lower, upper = words[:, 5:8].astype(np.int64).T
        counts = (lower - PAGE_HEADER) // 2
        sound = content[:, :8].copy().view(np.int64)[:, 0] == numbers
        sound &= flags == np.where(are_leaves, _LEAF, _BRANCH)
        sound &= (lower <= upper) & (upper <= PAGE_SIZE) & (lower % 2 == 0) & (counts >= np.where(are_leaves, 1, 2))
        self._require(sound, np.arange(len(numbers)), "is not a page of a tree, or not at its depth")
        self.first = np.cumsum(counts) - counts
        """Of the nodes of each page, the place in all nodes."""
        self.page = page = np.repeat(np.arange(len(numbers)), counts)
        """Of each node, the place of its page."""
        self.of_free_list = np.flatnonzero(kinds[page] == FREE)
        """The nodes of the list of free pages, whose keys are numbers in the machine's order."""
        pointers = words[page, PAGE_HEADER // 2 + np.arange(len(page)) - self.first[page]].astype(np.int64)
        inside = (pointers >= upper[page]) & (pointers + _NODE_HEADER <= PAGE_SIZE) & (pointers % 2 == 0)
        self._require(inside, page, "has nodes outside of it")
        low, high, flags, self._key_size = words[page, pointers // 2 + np.arange(4)[:, None]].astype(np.int64)
        self.sizes = low | high << 16
        """Of a node of a leaf, the bytes of its value."""
        self.in_leaf = are_leaves[page]
        self.children = self.sizes | flags << 32
        """Of a node of a branch, the page that it refers to."""
        self._starts = page * PAGE_SIZE + pointers
        self._values = self._starts + _NODE_HEADER + self._key_size
        self.is_large = self.in_leaf & (flags == _BIG)
        """Whether the value of a node has pages of its own."""
        self._check_nodes(flags)

    def _check_nodes(self, flags: I64) -> None:
        """Flags, key sizes and lengths of nodes, each inside its page and no two on the same bytes."""
        in_leaf, size = self.in_leaf, self._key_size
        sound = (size > 0) & (size <= _MAX_KEY)
        sound[self.of_free_list] = size[self.of_free_list] == 8
        # The first key of a branch stands for all that is less, and may be empty.
        sound[self.first[~in_leaf[self.first] & (size[self.first] == 0)]] = True
        sound &= ~in_leaf | ((flags == _SUBTREE) & (self.sizes == TREE_BYTES) if self._is_main else flags <= _BIG)
        self._require(sound, self.page, "has nodes of a kind that cannot be in it")
        lengths = _NODE_HEADER + size + np.where(in_leaf, np.where(self.is_large, 8, self.sizes), 0)
        ends = self._starts + lengths
        fits = (lengths <= np.where(in_leaf, _MAX_NODE, PAGE_SIZE)) & (ends <= (self.page + 1) * PAGE_SIZE)
        self._require(fits, self.page, "has keys or values that run out of it")
        order = np.argsort(self._starts)
        self._require(ends[order[:-1]] <= self._starts[order[1:]], self.page[order[1:]], "has nodes over one another")

    def _require(self, sound: Bools, page: I64, problem: str) -> None:
        if not sound.all():
            raise DamagedFileError(f"page {self._numbers[page[np.argmin(sound)]]} {problem}")

    def check_order(self, separators: Keys, new_tree: Bools, last: Keys | None) -> Keys:
        """Check that the keys of each tree ascend; gives the key that each node stands for from there on.

        `separators` are the keys that led to each page, `new_tree` says which page is the first of its tree, and `last`
        is the last key before these pages.
        """
        self._check_long_keys()
        keys, first = self._keys(), self.first
        in_leaf = self.in_leaf[first]
        self._require(
            separators[in_leaf].less(keys[first[in_leaf]]) | _same(separators[in_leaf], keys[first[in_leaf]]),
            np.flatnonzero(in_leaf),
            "has keys that belong on another",
        )
        effective = Keys(keys.high.copy(), keys.low.copy(), keys.length.copy())
        effective.put(first[~in_leaf], separators[~in_leaf])
        ascends = np.ones(len(self.page), dtype=np.bool_)
        ascends[1:] = effective[:-1].less(effective[1:])
        ascends[first[new_tree]] = True
        before = first[1:][~new_tree[1:]]
        below = np.ones(len(self.page), dtype=np.bool_)
        below[before] = keys[before - 1].less(separators[1:][~new_tree[1:]])
        if last is not None and not new_tree[0]:
            below[0] = bool(last.less(separators[:1])[0])
        self._require(ascends & below, self.page, "has keys out of order")
        return effective

    def _check_long_keys(self) -> None:
        """Order within a page of keys that are longer than `Keys` compares."""
        long = np.flatnonzero(self._key_size > 16)
        if len(long) == 0:
            return
        for at in long[np.isin(long - 1, long) & (self.page[long] == self.page[np.maximum(long - 1, 0)])].tolist():
            is_second_of_branch = at - 1 == self.first[self.page[at]] and not self.in_leaf[at]
            if not is_second_of_branch and self.key(at - 1) >= self.key(at):
                raise DamagedFileError(f"page {self._numbers[self.page[at]]} has keys out of order")

    def _keys(self) -> Keys:
        """Of all nodes. Keys of free pages are numbers in the machine's order; all others are ordered as bytes."""
        padded = np.concatenate((self._bytes, np.zeros(16, dtype=np.uint8)))
        # Eight bytes from any place on, read as one number
        numbers = np.ndarray(len(self._bytes) + 9, dtype=">u8", buffer=padded, strides=(1,))
        at, size, parts = self._starts + _NODE_HEADER, self._key_size, []
        for start in (0, 8):
            beyond = (np.minimum(np.maximum(start + 8 - size, 0), 8) * 8).view(np.uint64)  # bits to clear
            number = numbers[at + start].astype(np.uint64)
            parts.append(np.where(beyond < 64, number >> beyond << beyond, np.uint64(0)))
        if sys.byteorder == "little":
            parts[0][self.of_free_list] = parts[0][self.of_free_list].byteswap()
        return Keys(parts[0], parts[1], size)

    def key(self, at: int) -> bytes:
        """The key of one node."""
        return self._bytes[self._starts[at] + _NODE_HEADER : self._values[at]].tobytes()

    def value(self, at: int) -> bytes:
        """The value of one node that lies in its page."""
        return self._bytes[self._values[at] :][: self.sizes[at]].tobytes()

    def large_values(self) -> I64:
        """The first pages of the values that have pages of their own, in the order of their nodes."""
        return self._bytes[self._values[self.is_large][:, None] + np.arange(8)].view(np.int64)[:, 0]

    def trees(self) -> list[tuple[bytes, Tree]]:
        """(name, tree) of the databases that leaves name."""
        found = []
        for at in np.flatnonzero(self.in_leaf).tolist():
            tree = Tree.unpack(self.value(at))
            problem = tree.problem()
            if problem:
                raise DamagedFileError(f"page {self._numbers[self.page[at]]} describes {problem}")
            found.append((self.key(at), tree))
        return found


def _same(some: Keys, others: Keys) -> Bools:
    return (some.high == others.high) & (some.low == others.low) & (some.length == others.length)
