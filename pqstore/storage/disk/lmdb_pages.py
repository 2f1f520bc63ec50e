"""The pages of a data file of LMDB, read with plain reads: what LMDB would trust must be right before it is used.

The layout is that of LMDB's data format 1 (`mdb.c`, MDB_page, MDB_node, MDB_db) on a 64-bit machine.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable, Collection, Iterator
from itertools import pairwise
from typing import BinaryIO, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Meta", "meta_of", "newest_meta", "pages_freed_after", "tree_problem"]

_MAGIC = 0xBEEFC0DE
# A meta page: page header, magic, version, address, map size, two trees, last page, transaction
_META = struct.Struct("=16x I I 16x I 36x Q 40x Q Q Q")
_HEADER = 16  # of a page: number u64, padding u16, kind u16, end of node pointers u16, start of nodes u16
_NODE_HEADER = 8  # four u16: size or page (low, high), flags or page (highest), key bytes
_TREE = struct.Struct("=4x H 34x Q")  # MDB_db: flags, root
_BRANCH, _LEAF = 1, 2
_BIG, _SUBTREE = 1, 2
_NO_PAGE = 2**64 - 1
_BATCH = 1024  # pages looked at together

I64: TypeAlias = "npt.NDArray[np.int64]"
U64: TypeAlias = "npt.NDArray[np.uint64]"
U8: TypeAlias = "npt.NDArray[np.uint8]"


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
    if magic != _MAGIC or version != 1 or not 512 <= page_size <= 65_536 or page_size % 8:
        return None
    return Meta(transaction, page_size, last_page, free_root, main_root)


def tree_problem(
    file: BinaryIO, meta: Meta, size: int, *, only: Collection[str] | None = None, leave: Collection[str] = ()
) -> str | None:
    """Follow all trees; what is wrong with them or lies beyond `size` bytes, in words, or None.

    It is what keeps LMDB from reading outside the file or outside a page. The records are checked elsewhere. `only` and
    `leave` name databases that are followed, or left out.
    """
    walk = _Walk(file, meta, size)
    try:
        if only is None:
            # Keys of free pages are integers in the machine's order; all others are ordered as bytes.
            walk.follow([meta.free_root], ordered=False)
        databases = [(name.decode(errors="replace"), root) for name, root in walk.follow([meta.main_root])]
        chosen = [root for name, root in databases if (only is None or name in only) and name not in leave]
        if walk.follow(chosen):
            return "a database holds another one"
    except _DamagedError as error:
        return str(error)
    return None


def pages_freed_after(file: BinaryIO, meta: Meta, size: int, transaction: int) -> int:
    """How many pages commits after this transaction have freed and nobody has used again. The trees must be sound."""
    total = 0
    walk = _Walk(file, meta, size)
    for nodes in walk.nodes([meta.free_root]):
        for freed_by, first_bytes in nodes.entries(walk.value_in_own_pages):
            if int.from_bytes(freed_by, sys.byteorder) > transaction:
                total += int.from_bytes(first_bytes, sys.byteorder)  # a list of pages begins with their number
    return total


class _DamagedError(Exception):
    """Says what is wrong with a page."""


class _Walk:
    """Goes through trees from their roots down, many pages at a time, and looks at no page twice."""

    def __init__(self, file: BinaryIO, meta: Meta, size: int) -> None:
        self._descriptor = file.fileno()
        self._page_size = meta.page_size
        self._size = size
        self._seen = np.zeros(size // meta.page_size, dtype=np.bool_)
        self._seen[:2] = True  # the meta pages

    def follow(self, roots: list[int], *, ordered: bool = True) -> list[tuple[bytes, int]]:
        """Check the trees of these roots; (name, root) of the trees that they name."""
        named: list[tuple[bytes, int]] = []
        for nodes in self.nodes(roots):
            if ordered:
                nodes.check_order()
            nodes.check_large_values(self._size)
            named += nodes.trees()
        return named

    def nodes(self, roots: list[int]) -> Iterator[_Nodes]:
        """All nodes of the trees of these roots."""
        waiting = np.array([root for root in roots if root != _NO_PAGE], dtype=np.uint64)
        while len(waiting):
            numbers, waiting = np.sort(waiting[-_BATCH:]), waiting[:-_BATCH]
            self._mark(numbers)
            nodes = _Nodes(self._read(numbers.astype(np.int64)), numbers, self._page_size)
            yield nodes
            waiting = np.concatenate((waiting, nodes.children()))

    def value_in_own_pages(self, first: int) -> bytes:
        """The first 8 bytes of a large value."""
        return os.pread(self._descriptor, 8, first * self._page_size + _HEADER)

    def _mark(self, numbers: U64) -> None:
        beyond = numbers[numbers >= len(self._seen)]
        if len(beyond):
            raise _DamagedError(f"page {beyond[0]} is missing")
        again = numbers[self._seen[numbers]].tolist() + numbers[1:][numbers[1:] == numbers[:-1]].tolist()
        if again:
            raise _DamagedError(f"page {again[0]} is used twice")
        self._seen[numbers] = True

    def _read(self, numbers: I64) -> bytes:
        """The bytes of pages, one after another; numbers ascend."""
        bounds = np.concatenate(([0], np.flatnonzero(np.diff(numbers) != 1) + 1, [len(numbers)]))
        size, parts = self._page_size, []
        for start, stop in pairwise(bounds.tolist()):
            parts.append(os.pread(self._descriptor, (stop - start) * size, int(numbers[start]) * size))
            if len(parts[-1]) != (stop - start) * size:
                raise _DamagedError(f"page {numbers[stop - 1]} is missing")
        return b"".join(parts)


class _Nodes:
    """The nodes of some pages, which lie inside their pages."""

    def __init__(self, content: bytes, numbers: U64, page_size: int) -> None:
        self._bytes = np.frombuffer(content, dtype=np.uint8)
        self._numbers = numbers
        self._page_size = page_size
        pages = self._bytes.reshape(len(numbers), page_size)
        words = pages.view(np.uint16)
        kind, lower, upper = words[:, 5:8].astype(np.int64).T
        sound = (pages[:, :8].copy().view(np.uint64)[:, 0] == numbers) & ((kind == _BRANCH) | (kind == _LEAF))
        sound &= (lower > _HEADER) & (lower <= upper) & (upper <= page_size) & (lower % 2 == 0)
        self._require(sound, np.arange(len(numbers)), "is not a page of a tree")
        counts = (lower - _HEADER) // 2
        self._first = np.cumsum(counts) - counts  # of the nodes of a page
        self._page = page = np.repeat(np.arange(len(numbers)), counts)
        pointers = words[page, _HEADER // 2 + np.arange(len(page)) - self._first[page]].astype(np.int64)
        inside = (pointers >= upper[page]) & (pointers + _NODE_HEADER <= page_size) & (pointers % 2 == 0)
        self._require(inside, page, "has nodes outside of it")
        low, high, self._flags, self._key_size = words[page, pointers // 2 + np.arange(4)[:, None]].astype(np.int64)
        self._sizes = low | high << 16
        self._in_branch = kind[page] == _BRANCH
        self._keys = page * page_size + pointers + _NODE_HEADER  # where keys begin in all bytes, and values
        self._values = self._keys + self._key_size
        self._big = ~self._in_branch & (self._flags == _BIG)
        ends = self._values + np.where(self._in_branch, 0, np.where(self._big, 8, self._sizes))
        allowed = self._in_branch | ((self._flags & ~(_BIG | _SUBTREE)) == 0)
        self._require(allowed & (ends <= (page + 1) * page_size), page, "has keys or values that run out of it")

    def _require(self, sound: npt.NDArray[np.bool_], page: I64, problem: str) -> None:
        if not sound.all():
            raise _DamagedError(f"page {self._numbers[page[np.argmin(sound)]]} {problem}")

    def children(self) -> U64:
        """The pages that branches refer to."""
        return (self._sizes | self._flags << 32)[self._in_branch].astype(np.uint64)

    def check_large_values(self, size: int) -> None:
        """Values that have pages of their own must lie inside the file, of `size` bytes."""
        firsts = self._bytes[self._values[self._big][:, None] + np.arange(8)].view(np.uint64)[:, 0]
        last = np.maximum(size - _HEADER - self._sizes[self._big], 0) // self._page_size
        self._require(
            (firsts >= 2) & (firsts <= last.astype(np.uint64)), self._page[self._big], "refers to missing pages"
        )

    def trees(self) -> list[tuple[bytes, int]]:
        """(name, root) of the trees that leaves name."""
        found = []
        for at in np.flatnonzero(~self._in_branch & (self._flags == _SUBTREE)).tolist():
            name, value = self._key(at), self._bytes[self._values[at] :][: self._sizes[at]].tobytes()
            flags, root = _TREE.unpack(value) if len(value) == _TREE.size else (-1, 0)
            if flags:
                number = self._numbers[self._page[at]]
                raise _DamagedError(f"page {number} describes a tree of a kind that is not used here")
            found.append((name, root))
        return found

    def entries(self, elsewhere: Callable[[int], bytes]) -> Iterator[tuple[bytes, bytes]]:
        """(key, first 8 bytes of the value) of every record; `elsewhere` reads those of a large one by its page."""
        for at in np.flatnonzero(~self._in_branch).tolist():
            head = self._bytes[self._values[at] :][:8].tobytes()
            yield self._key(at), elsewhere(int.from_bytes(head, sys.byteorder)) if self._big[at] else head

    def check_order(self) -> None:
        """The keys of a page must ascend: a search for a key passes over one that stands in the wrong place."""
        # The first key of a branch stands for all that is less.
        first = self._first[self._page]
        at = np.flatnonzero(np.arange(len(first)) > first + self._in_branch)
        long = (np.maximum(self._key_size[at], self._key_size[at - 1]) > 16).tolist()
        (high, low), (high_before, low_before) = self._short_keys(at), self._short_keys(at - 1)
        ascends = (high_before < high) | (high_before == high) & (
            (low_before < low) | (low_before == low) & (self._key_size[at - 1] < self._key_size[at])
        )
        for place in np.flatnonzero(long).tolist():
            ascends[place] = self._key(at[place] - 1) < self._key(at[place])
        self._require(ascends, self._page[at], "has keys out of order")

    def _key(self, at: int) -> bytes:
        return self._bytes[self._keys[at] : self._values[at]].tobytes()

    def _short_keys(self, at: I64) -> list[U64]:
        """The first 16 bytes of keys, zeros after their ends, as two numbers that are ordered as the bytes are."""
        padded = np.concatenate((self._bytes, np.zeros(16, dtype=np.uint8)))
        # Eight bytes from any place on, read as one number
        numbers = np.ndarray(len(self._bytes) + 9, dtype=">u8", buffer=padded, strides=(1,))
        found = []
        for start in (0, 8):
            beyond = np.clip(start + 8 - self._key_size[at], 0, 8).astype(np.uint64) * np.uint64(8)  # bits to clear
            number = numbers[self._keys[at] + start].astype(np.uint64)
            found.append(np.where(beyond < 64, number >> beyond << beyond, 0))
        return found
