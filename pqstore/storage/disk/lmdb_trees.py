"""The trees of a data file of LMDB, read with plain reads: whether LMDB may follow them.

A file may be cut short by others at any time, so nothing here is mapped; what is read lies in a buffer of our own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pqstore.arrays import I64, U8
from pqstore.native import native_loops
from pqstore.storage.disk.lmdb_meta import NO_PAGE, PAGE_SIZE, DamagedFileError, Meta, Tree
from pqstore.storage.disk.lmdb_pages import FREE, MAIN, NAMED, PAGE_HEADER, Keys, TreePages, large_value_pages

__all__ = ["TreeWalk"]

_BATCH = 1024  # pages looked at together
_FREE_BATCH = 1 << 16  # numbers of free pages looked at together
_LONG = 1 << 8  # pages of a value that is looked at by itself
_OVERFLOW_PAGE = 4
_WORD = 8


class _FreeList:
    """Where the numbers of pages lie that one transaction freed: in a page of the tree, or in pages of their own."""

    __slots__ = ("first_page", "freed_by", "inline", "size")

    def __init__(self, freed_by: int, size: int, inline: bytes, first_page: int) -> None:
        self.freed_by, self.size, self.inline, self.first_page = freed_by, size, inline, first_page


class TreeWalk:
    """Goes through the trees of one transaction level by level, many pages at a time, and looks at no page twice.

    `check_trees` is what keeps LMDB's reads inside the file and inside its pages; what it leaves out can be checked by
    a later call, if the transaction is still the newest. The records are checked elsewhere.
    """

    def __init__(self, meta: Meta, size: int) -> None:
        self.meta = meta
        self._limit = min(size // PAGE_SIZE, meta.last_page + 1)
        self._descriptor = -1
        self._seen = np.zeros(0, dtype=np.bool_)
        self._pages = np.empty(0, dtype=np.int64)  # of the trees that were followed
        self._trees: list[Tree] = []
        self.names: list[str] = []
        """The databases that the main tree names, once it has been followed."""
        self._left: list[tuple[bytes, Tree]] | None = None  # databases that were not followed yet; None: nothing was
        self._free: list[_FreeList] = []
        self._large: list[tuple[I64, I64, I64]] = []  # tree, first page, bytes of values in pages of their own

    def check_trees(self, descriptor: int, leave: Collection[str] = ()) -> None:
        """Raise `DamagedFileError` unless the trees of all databases but `leave` are sound."""
        with self._reading(descriptor):
            self._follow_all(leave)

    def check_allocation(self, descriptor: int, *, complete: bool = False) -> None:
        """Check all trees, and that no page is used twice, or used and free: what writing and copying need besides.

        With `complete` a page that is neither used nor free is a fault too: it is lost space, which harms nothing.
        """
        with self._reading(descriptor):
            self._follow_all()
            firsts, counts = self._large_values()
            allocation = _Allocation(self.meta.last_page)
            allocation.use(np.flatnonzero(self._seen))
            for start in range(0, len(firsts), _BATCH):
                allocation.use_ranges(firsts[start : start + _BATCH], counts[start : start + _BATCH])
            for freed_by, pages in self._free_pages():
                if not 1 <= freed_by <= self.meta.transaction:
                    raise DamagedFileError(f"transaction {freed_by}, which has not been yet, has freed pages")
                allocation.use(pages)
        if complete and allocation.left:
            raise DamagedFileError(f"{allocation.left} pages are neither used nor free")

    def pages_freed_after(self, descriptor: int, transaction: int) -> int:
        """How many pages commits after this transaction have freed and nobody has used again. For a new walk."""
        with self._reading(descriptor):
            for _ in self._follow([FREE], [self.meta.free]):
                pass
            return sum(len(pages) for _, pages in self._free_pages(after=transaction))

    @contextmanager
    def _reading(self, descriptor: int) -> Iterator[None]:
        """A byte for each page while it goes on; in between, the numbers of the pages of trees, which are few."""
        self._descriptor = descriptor
        self._seen = np.zeros(self._limit, dtype=np.bool_)
        self._seen[self._pages] = True
        yield
        self._pages, self._seen = np.flatnonzero(self._seen), self._seen[:0]

    def _follow_all(self, leave: Collection[str] = ()) -> None:
        """Check the main tree, those of the databases that it names but `leave`, and the list of free pages."""
        kinds, trees = [], []
        if self._left is None:
            self._left = []
            for pages in self._follow([MAIN], [self.meta.main]):
                self._left += pages.trees()
            self.names = [name.decode(errors="replace") for name, _ in self._left]
            kinds, trees = [FREE], [self.meta.free]
        chosen = [tree for name, tree in self._left if name.decode(errors="replace") not in leave]
        self._left = [(name, tree) for name, tree in self._left if name.decode(errors="replace") in leave]
        for _ in self._follow(kinds + [NAMED] * len(chosen), trees + chosen):
            pass

    def _keep_free(self, pages: TreePages, firsts: I64) -> None:
        """Remember where lists of free pages lie; they are not looked at yet."""
        for at in pages.of_free_list.tolist():
            if pages.in_leaf[at]:
                freed_by, size = int.from_bytes(pages.key(at), sys.byteorder), int(pages.sizes[at])
                if pages.is_large[at]:
                    first = int(firsts[np.count_nonzero(pages.is_large[:at])])
                    self._free.append(_FreeList(freed_by, size, b"", first))
                else:
                    self._free.append(_FreeList(freed_by, size, pages.value(at), 0))

    def _follow(self, kinds: list[int], trees: list[Tree]) -> Iterator[TreePages]:
        """The pages of trees, checked; what is recorded of a tree must hold at the end."""
        begun = len(self._trees)
        self._trees += trees
        level = _Level.of_roots(trees, np.array(kinds))
        found = np.zeros((3, len(trees)), dtype=np.int64)
        while len(level.numbers):
            below = []
            for pages, of_nodes, keys in self._pages_of(level):
                found += level.counts(pages, of_nodes)
                firsts = pages.large_values()
                self._keep_large(of_nodes[pages.is_large] + begun, firsts, pages.sizes[pages.is_large])
                self._keep_free(pages, firsts)
                yield pages
                inner = ~pages.in_leaf
                below.append((pages.children[inner], of_nodes[inner], keys[inner]))
            level = level.next(below)
        for tree, counted in zip(trees, found.T.tolist(), strict=True):
            if counted != [tree.branch_pages, tree.leaf_pages, tree.entries]:
                raise DamagedFileError(
                    f"the tree with root {tree.root} has {counted} branches, leaves and records, not those recorded"
                )

    def _pages_of(self, level: _Level) -> Iterator[tuple[TreePages, I64, Keys]]:
        """The pages of a level, the tree of each node, and the key that each node stands for from there on."""
        last, last_tree = None, -1
        for start in range(0, len(level.numbers), _BATCH):
            part = slice(start, start + _BATCH)
            numbers, of = level.numbers[part], level.trees[part]
            self._mark(numbers)
            pages = TreePages(self._read(numbers), numbers, level.kinds[of], level.depths[of] == level.depth)
            is_new = np.empty(len(of), dtype=np.bool_)
            is_new[0], is_new[1:] = of[0] != last_tree, of[1:] != of[:-1]
            keys = pages.check_order(level.separators[part], is_new, last)
            last, last_tree = keys[-1:], int(of[-1])
            yield pages, of[pages.page], keys

    def _mark(self, numbers: I64) -> None:
        beyond = numbers[(numbers < 2) | (numbers >= self._limit)]
        if len(beyond):
            raise DamagedFileError(f"page {beyond.view(np.uint64)[0]} is missing")
        ordered = np.sort(numbers)
        again = numbers[self._seen[numbers]].tolist() + ordered[1:][ordered[1:] == ordered[:-1]].tolist()
        if again:
            raise DamagedFileError(f"page {again[0]} is used twice")
        self._seen[numbers] = True

    def _read(self, numbers: I64) -> U8:
        """The content of pages, uint8 (n, PAGE_SIZE)."""
        content = np.empty((len(numbers), PAGE_SIZE), dtype=np.uint8)
        bounds = np.concatenate(([0], np.flatnonzero(np.diff(numbers) != 1) + 1, [len(numbers)]))
        for start, stop in pairwise(bounds.tolist()):
            wanted = content[start:stop].reshape(-1)
            if os.preadv(self._descriptor, [wanted.data], int(numbers[start]) * PAGE_SIZE) != len(wanted):
                raise DamagedFileError(f"page {numbers[stop - 1]} is missing")
        return content

    def _keep_large(self, trees: I64, firsts: I64, sizes: I64) -> None:
        """Values that have pages of their own must lie inside the file."""
        outside = (firsts < 2) | (firsts > self._limit - large_value_pages(sizes))
        if outside.any():
            raise DamagedFileError(f"a value refers to missing pages, from {firsts.view(np.uint64)[outside][0]} on")
        self._large.append((trees, firsts, sizes))

    def _large_values(self) -> tuple[I64, I64]:
        """(first page, pages) of the values that have pages of their own, as these say; checks both."""
        none = np.empty(0, dtype=np.int64)
        trees, firsts, sizes = map(np.concatenate, zip((none, none, none), *self._large, strict=True))
        words = self._heads(firsts).view(np.int64)
        kinds, counts = words[:, 1] >> 16 & 0xFFFF, words[:, 1] >> 32 & 0xFFFFFFFF
        if sys.byteorder == "big":
            kinds, counts = words[:, 1] >> 32 & 0xFFFF, words[:, 1] & 0xFFFFFFFF
        # A value that is written twice in a transaction keeps its pages, though it may have become shorter.
        sound = (words[:, 0] == firsts) & (kinds == _OVERFLOW_PAGE) & (counts >= large_value_pages(sizes))
        sound &= firsts <= self._limit - counts
        if not sound.all():
            raise DamagedFileError(f"page {firsts[np.argmin(sound)]} does not begin a value of its size")
        found = np.bincount(trees, weights=counts, minlength=len(self._trees)).astype(np.int64).tolist()
        for tree, pages in zip(self._trees, found, strict=True):
            if tree.overflow_pages != pages:
                raise DamagedFileError(
                    f"the tree with root {tree.root} has {pages} pages of large values, not {tree.overflow_pages}"
                )
        return firsts, counts

    def _heads(self, pages: I64) -> U8:
        """The headers of pages, uint8 (n, 16)."""
        heads = np.empty((len(pages), PAGE_HEADER), dtype=np.uint8)
        native = native_loops()
        if native is not None:
            complete = native.page_heads(self._descriptor, pages, PAGE_SIZE, heads)
        else:
            parts = [os.pread(self._descriptor, PAGE_HEADER, page * PAGE_SIZE) for page in pages.tolist()]
            complete = all(len(part) == PAGE_HEADER for part in parts)
            if complete:
                heads.reshape(-1)[:] = np.frombuffer(b"".join(parts), dtype=np.uint8)
        if not complete:
            raise DamagedFileError("pages of large values are missing")
        return heads

    def _free_pages(self, after: int = -1) -> Iterator[tuple[int, I64]]:
        """(freed by, numbers of pages) of what transactions later than `after` freed, in parts; checks the lists."""
        for listed in self._free:
            if listed.freed_by <= after:
                continue
            if listed.size % _WORD or listed.size == 0:
                raise DamagedFileError(f"the list of pages freed by {listed.freed_by} has {listed.size} bytes")
            count, length = int(self._numbers(listed, 0, 1)[0]), listed.size // _WORD - 1
            if count not in (0, length) or count > self.meta.last_page:
                raise DamagedFileError(f"the list of pages freed by {listed.freed_by} says {count} of {length}")
            before = self.meta.last_page + 1
            for start in range(0, count, _FREE_BATCH):
                pages = self._numbers(listed, start + 1, min(_FREE_BATCH, count - start))
                if pages[0] >= before or np.any(pages[1:] >= pages[:-1]) or pages[-1] < 2:
                    raise DamagedFileError(f"the list of pages freed by {listed.freed_by} is out of order or range")
                before = int(pages[-1])
                yield listed.freed_by, pages

    def _numbers(self, listed: _FreeList, start: int, count: int) -> I64:
        if listed.inline:
            content = listed.inline[start * _WORD : (start + count) * _WORD]
        else:
            at = listed.first_page * PAGE_SIZE + PAGE_HEADER + start * _WORD
            content = os.pread(self._descriptor, count * _WORD, at)
        if len(content) != count * _WORD:
            raise DamagedFileError(f"the list of pages freed by {listed.freed_by} is missing")
        return np.frombuffer(content, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class _Level:
    """The pages at one depth of some trees, in the order of the trees and of their keys."""

    depth: int
    numbers: I64
    trees: I64
    """Of each page, the place of its tree."""
    separators: Keys
    """Of each page, the key from which on it holds its tree."""
    depths: I64
    """Of each tree, where its leaves are."""
    kinds: I64

    @classmethod
    def of_roots(cls, trees: list[Tree], kinds: I64) -> _Level:
        filled = [at for at, tree in enumerate(trees) if tree.root != NO_PAGE]
        roots = np.array([trees[at].root for at in filled], dtype=np.uint64).view(np.int64)
        depths = np.array([tree.depth for tree in trees], dtype=np.int64)
        return cls(1, roots, np.array(filled, dtype=np.int64), Keys.before_all(len(filled)), depths, kinds)

    def next(self, below: list[tuple[I64, I64, Keys]]) -> _Level:
        """The level below, in parts: (pages, their trees, their separators)."""
        numbers, trees, separators = zip(*below, strict=True)
        return _Level(
            self.depth + 1,
            np.concatenate(numbers),
            np.concatenate(trees),
            Keys.concatenate(separators),
            self.depths,
            self.kinds,
        )

    def counts(self, pages: TreePages, of_nodes: I64) -> I64:
        """(branches, leaves, records) of each tree on some pages, int64 (3, trees)."""
        count = len(self.depths)
        firsts = np.bincount(of_nodes[pages.first], minlength=count)
        in_leaves = self.depths == self.depth
        records = np.bincount(of_nodes[pages.in_leaf], minlength=count)
        return np.stack((np.where(in_leaves, 0, firsts), np.where(in_leaves, firsts, 0), records))


class _Allocation:
    """Which pages up to the last one have an owner: a tree, a value, or the list of free pages."""

    def __init__(self, last_page: int) -> None:
        self._owned = np.zeros(last_page + 1, dtype=np.bool_)
        self._owned[:2] = True  # the meta pages
        self.left = last_page - 1
        """How many pages have none yet."""

    def use(self, pages: I64) -> None:
        """Pages, each named once."""
        again = pages[self._owned[pages]]
        if len(again):
            raise DamagedFileError(f"page {again[0]} is used twice, or used and free")
        self._owned[pages] = True
        self.left -= len(pages)

    def use_ranges(self, firsts: I64, counts: I64) -> None:
        """Runs of pages, each from a first one on."""
        order = np.argsort(firsts)
        firsts, counts = firsts[order], counts[order]
        over = firsts[1:][firsts[:-1] + counts[:-1] > firsts[1:]]
        if len(over):
            raise DamagedFileError(f"page {over[0]} is used twice")
        long = counts > _LONG
        for first, count in zip(firsts[long].tolist(), counts[long].tolist(), strict=True):
            for start in range(first, first + count, _FREE_BATCH):
                self.use(np.arange(start, min(start + _FREE_BATCH, first + count)))
        firsts, counts = firsts[~long], counts[~long]
        self.use(np.repeat(firsts - np.cumsum(counts) + counts, counts) + np.arange(int(counts.sum())))
