"""Damage of pages that knows what they are made of: each function changes the bytes of a data file in one way."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable

import numpy as np

__all__ = ["DAMAGES", "Pages"]

PAGE = mmap.PAGESIZE
_EDGES = (0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 48, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)


class Pages:
    """The bytes of a data file, and where its nodes are."""

    def __init__(self, content: bytearray) -> None:
        self.content = content
        self.count = len(content) // PAGE
        self.trees = [page for page in range(2, self.count) if self._is_tree(page)]

    def get(self, at: int, form: str) -> int:
        return int(struct.unpack_from("=" + form, self.content, at)[0])

    def put(self, at: int, form: str, value: int) -> None:
        struct.pack_into("=" + form, self.content, at, value & (1 << 8 * struct.calcsize(form)) - 1)

    def _is_tree(self, page: int) -> bool:
        return self.get(page * PAGE, "Q") == page and self.get(page * PAGE + 10, "H") in (1, 2)

    def newest_meta(self) -> int:
        """The page of the newest meta page."""
        return int(self.get(144, "Q") < self.get(PAGE + 144, "Q"))

    def nodes(self, page: int) -> list[int]:
        """Where the nodes of a page begin, in the file."""
        count = max(0, min((self.get(page * PAGE + 12, "H") - 16) // 2, PAGE // 2 - 8))
        starts = [self.get(page * PAGE + 16 + 2 * at, "H") for at in range(count)]
        return [page * PAGE + start for start in starts if start + 8 <= PAGE]

    def walk(self, root: int) -> list[int]:
        """The pages that lead from a root to leaves, all of them."""
        found, waiting = [], [root]
        while waiting and len(found) < self.count:
            page = waiting.pop()
            if 2 <= page < self.count and self._is_tree(page):
                found.append(page)
                if self.get(page * PAGE + 10, "H") == 1:
                    waiting += [self.get(node, "I") | self.get(node + 4, "H") << 32 for node in self.nodes(page)]
        return found

    def live(self) -> list[int]:
        """The pages of the trees that the newest meta page leads to, so that damage of them matters."""
        meta = self.newest_meta() * PAGE
        main = self.walk(self.get(meta + 128, "Q"))
        found = [*main, *self.walk(self.get(meta + 80, "Q"))]
        for page in main:
            for node in self.nodes(page):
                if self.get(node + 4, "H") & 2:
                    found += self.walk(self.get(node + 8 + self.get(node + 6, "H") + 40, "Q"))
        return found or self.trees


Rng = np.random.Generator


def some_number(rng: Rng, pages: Pages, bits: int, old: int) -> int:
    """An edge, a page, a neighbour, one bit flipped, or anything."""
    kind = rng.integers(6)
    if kind == 0:
        return int(rng.choice(_EDGES))
    if kind == 1:
        return int(rng.integers(pages.count + 2))
    if kind == 2:
        return old + int(rng.choice([-2, -1, 1, 2, 8, -8]))
    if kind == 3:
        return old ^ 1 << int(rng.integers(bits))
    if kind == 4:
        return (1 << bits) - 1 - int(rng.integers(3))
    return int.from_bytes(rng.bytes(bits // 8), "little")


def change(rng: Rng, pages: Pages, at: int, form: str) -> None:
    old = pages.get(at, form)
    pages.put(at, form, some_number(rng, pages, 8 * struct.calcsize(form), old))


def page_header(rng: Rng, pages: Pages) -> None:
    offset, form = [(0, "Q"), (8, "H"), (10, "H"), (12, "H"), (14, "H")][rng.integers(5)]
    change(rng, pages, int(rng.choice(pages.live())) * PAGE + offset, form)


def node_pointer(rng: Rng, pages: Pages) -> None:
    page = int(rng.choice(pages.live()))
    nodes = pages.nodes(page)
    at = page * PAGE + 16 + 2 * int(rng.integers(len(nodes) or 1))
    if rng.integers(2) and nodes:
        pages.put(at, "H", int(rng.choice(nodes)) % PAGE)  # two pointers to one node
    else:
        change(rng, pages, at, "H")


def node_header(rng: Rng, pages: Pages) -> None:
    nodes = pages.nodes(int(rng.choice(pages.live())))
    if nodes:
        change(rng, pages, int(rng.choice(nodes)) + 2 * int(rng.integers(4)), "H")


def node_key(rng: Rng, pages: Pages) -> None:
    nodes = pages.nodes(int(rng.choice(pages.live())))
    if nodes:
        change(rng, pages, int(rng.choice(nodes)) + 8 + int(rng.integers(16)), "B")


def node_value(rng: Rng, pages: Pages) -> None:
    """The number of a large value's page, or the start of a small value."""
    nodes = [node for page in pages.live() for node in pages.nodes(page)]
    if nodes:
        node = int(rng.choice(nodes))
        change(rng, pages, min(node + 8 + pages.get(node + 6, "H"), len(pages.content) - 8), "Q")


def recorded_tree(rng: Rng, pages: Pages) -> None:
    """A field of what is recorded of a tree."""
    offset, form = [(0, "I"), (4, "H"), (6, "H"), (8, "Q"), (16, "Q"), (24, "Q"), (32, "Q"), (40, "Q")][rng.integers(8)]
    meta = pages.newest_meta() * PAGE
    places = [meta + 40, meta + 88]
    for page in pages.walk(pages.get(meta + 128, "Q")):
        places += [node + 8 + pages.get(node + 6, "H") for node in pages.nodes(page)]
    change(rng, pages, min(int(rng.choice(places)) + offset, len(pages.content) - 8), form)


def meta_page(rng: Rng, pages: Pages) -> None:
    offset, form = [
        (0, "Q"), (10, "H"), (16, "I"), (20, "I"), (24, "Q"), (32, "Q"), (136, "Q"), (144, "Q"), (40, "I"), (44, "H")
    ][rng.integers(10)]  # fmt: skip
    change(rng, pages, int(rng.integers(2)) * PAGE + offset, form)


def meta_bit(rng: Rng, pages: Pages) -> None:
    at = pages.newest_meta() * PAGE + int(rng.integers(152))
    pages.content[at] ^= 1 << int(rng.integers(8))


def meta_copied(rng: Rng, pages: Pages) -> None:
    """Both meta pages say the same, and each that it is in its place."""
    source = int(rng.integers(2))
    other, good = 1 - source, bytes(pages.content[source * PAGE : source * PAGE + 152])
    pages.content[other * PAGE : other * PAGE + 152] = good
    pages.put(other * PAGE, "Q", other)
    if rng.integers(2):
        pages.put(other * PAGE + 144, "Q", pages.get(other * PAGE + 144, "Q") + int(rng.choice([-1, 1])))


def free_list(rng: Rng, pages: Pages) -> None:
    """A number in the list of free pages."""
    leaves = pages.walk(pages.get(pages.newest_meta() * PAGE + 80, "Q"))
    nodes = [node for page in leaves for node in pages.nodes(page)]
    if nodes:
        node = int(rng.choice(nodes))
        size = pages.get(node, "I")
        value = node + 8 + pages.get(node + 6, "H")
        if pages.get(node + 4, "H") & 1:
            value = pages.get(value, "Q") * PAGE + 16
        at = min(value + 8 * int(rng.integers(max(1, size // 8))), len(pages.content) - 8)
        pages.put(at, "Q", int(rng.choice(pages.live()))) if rng.integers(2) else change(rng, pages, at, "Q")


def large_value_header(rng: Rng, pages: Pages) -> None:
    heads = [
        page
        for page in range(2, pages.count)
        if pages.get(page * PAGE, "Q") == page and pages.get(page * PAGE + 10, "H") == 4
    ]
    if heads:
        offset, form = [(0, "Q"), (10, "H"), (12, "I")][rng.integers(3)]
        change(rng, pages, int(rng.choice(heads)) * PAGE + offset, form)


def stale_page(rng: Rng, pages: Pages) -> None:
    """A page as it was elsewhere, with or without the number of its new place."""
    source, target = int(rng.choice(pages.trees)), int(rng.choice(pages.live()))
    pages.content[target * PAGE : (target + 1) * PAGE] = pages.content[source * PAGE : (source + 1) * PAGE]
    if rng.integers(2):
        pages.put(target * PAGE, "Q", target)


def swapped_pages(rng: Rng, pages: Pages) -> None:
    one, other = (int(page) * PAGE for page in rng.choice(pages.live(), 2))
    pages.content[one : one + PAGE], pages.content[other : other + PAGE] = (
        pages.content[other : other + PAGE],
        pages.content[one : one + PAGE],
    )


def wrong_child(rng: Rng, pages: Pages) -> None:
    """A root, or the page that a branch refers to, is another page of a tree."""
    meta = pages.newest_meta() * PAGE
    places = [meta + 80, meta + 128]
    for page in pages.walk(pages.get(meta + 128, "Q")):
        places += [node + 8 + pages.get(node + 6, "H") + 40 for node in pages.nodes(page)]
    pages.put(min(int(rng.choice(places)), len(pages.content) - 8), "Q", int(rng.choice(pages.trees)))


def shortened(rng: Rng, pages: Pages) -> None:
    del pages.content[int(rng.integers(len(pages.content))) :]


def random_bytes(rng: Rng, pages: Pages) -> None:
    page, size = int(rng.choice(pages.live())), int(rng.integers(1, 64))
    at = page * PAGE + int(rng.integers(PAGE - size))
    pages.content[at : at + size] = rng.bytes(size)


DAMAGES: tuple[Callable[[Rng, Pages], None], ...] = (
    page_header, node_pointer, node_header, node_key, node_value, recorded_tree, meta_page, meta_bit, meta_copied,
    free_list, large_value_header, stale_page, swapped_pages, wrong_child, shortened, random_bytes,
)  # fmt: skip
