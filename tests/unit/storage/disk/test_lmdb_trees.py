"""Crafted pages: each number that LMDB would follow without looking is refused first, by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pqstore.errors import CorruptIndexError
from pqstore.storage import Store
from pqstore.storage.disk.data_file import DATA_FILE
from pqstore.storage.disk.directory import generation_path
from tests.forked import in_child
from tests.fuzz.damage import PAGE, Pages
from tests.fuzz.indexes import PACKING, Sound, build
from tests.unit.storage.attached import attached

BRANCH, LEAF = 1, 2


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """With a tree that has a branch."""
    return build(tmp_path_factory.mktemp("sound") / "index.pqs", "int64", 90)


def data_file(path: Path) -> Path:
    return generation_path(path, 1) / DATA_FILE


def key_of(pages: Pages, node: int) -> bytes:
    return bytes(pages.content[node + 8 : node + 8 + pages.get(node + 6, "H")])


def value_of(pages: Pages, node: int) -> int:
    return node + 8 + pages.get(node + 6, "H")


def main_root(pages: Pages) -> int:
    return pages.get(pages.newest_meta() * PAGE + 128, "Q")


def tree(pages: Pages, name: bytes) -> int:
    """Where what is recorded of a database lies."""
    nodes = [at for page in pages.walk(main_root(pages)) for at in pages.nodes(page)]
    return next(value_of(pages, at) for at in nodes if key_of(pages, at) == name)


def root(pages: Pages, name: bytes) -> int:
    return pages.get(tree(pages, name) + 40, "Q")


def branch(pages: Pages) -> int:
    """A branch of a database."""
    return next(page for page in pages.live() if pages.get(page * PAGE + 10, "H") == BRANCH)


def small(pages: Pages) -> int:
    """The root of a database that is a leaf with several records in it."""
    return root(pages, b"meta")


def node(pages: Pages, page: int, at: int = 0) -> int:
    return pages.nodes(page)[at]


def large(pages: Pages) -> int:
    """A node whose value has pages of its own."""
    return next(n for n in pages.nodes(root(pages, b"rowids")) if pages.get(n + 4, "H") == 1)


def large_head(pages: Pages) -> int:
    """Where the pages of a large value begin."""
    return pages.get(value_of(pages, large(pages)), "Q") * PAGE


def free_list(pages: Pages) -> int:
    """Where the list lies of the pages that some transaction freed."""
    newest = pages.newest_meta() * PAGE
    nodes = [n for p in pages.walk(pages.get(newest + 80, "Q")) for n in pages.nodes(p)]
    chosen = max(nodes, key=lambda n: pages.get(n, "I"))
    at = value_of(pages, chosen)
    return pages.get(at, "Q") * PAGE + 16 if pages.get(chosen + 4, "H") & 1 else at


def newest(pages: Pages) -> int:
    return pages.newest_meta() * PAGE


Craft = Callable[[Pages], None]


def put(at: Callable[[Pages], int], form: str, value: int | Callable[[Pages], int], offset: int = 0) -> Craft:
    def craft(pages: Pages) -> None:
        pages.put(at(pages) + offset, form, value(pages) if callable(value) else value)

    return craft


def start(page: Callable[[Pages], int]) -> Callable[[Pages], int]:
    return lambda pages: page(pages) * PAGE


def one_node(pages: Pages) -> None:
    pages.put(branch(pages) * PAGE + 12, "H", 18)


def swapped_pointers(pages: Pages) -> None:
    at = small(pages) * PAGE + 16
    one, other = pages.get(at, "H"), pages.get(at + 2, "H")
    pages.put(at, "H", other)
    pages.put(at + 2, "H", one)


def one_node_twice(pages: Pages) -> None:
    pages.put(small(pages) * PAGE + 18, "H", pages.get(small(pages) * PAGE + 16, "H"))


def leaf_below_leaf(pages: Pages) -> None:
    """A tree that says that it is one level higher than it is."""
    at = tree(pages, b"meta")
    pages.put(at + 6, "H", pages.get(at + 6, "H") + 1)


def children_swapped(pages: Pages) -> None:
    first, second = (node(pages, branch(pages), at) for at in (0, 1))
    one, other = bytes(pages.content[first : first + 6]), bytes(pages.content[second : second + 6])
    pages.content[first : first + 6], pages.content[second : second + 6] = other, one


def child_twice(pages: Pages) -> None:
    first, second = (node(pages, branch(pages), at) for at in (0, 1))
    pages.content[second : second + 6] = pages.content[first : first + 6]


def metas_of_one_transaction(pages: Pages) -> None:
    good = bytes(pages.content[newest(pages) :][:152])
    other = PAGE - newest(pages)
    pages.content[other : other + 152] = good
    pages.put(other, "Q", other // PAGE)


AT_OPEN: dict[str, tuple[Craft, str]] = {
    "page number": (put(start(small), "Q", 5), "not a page of a tree"),
    "page of another kind": (put(start(small), "H", 0x22, 10), "not a page of a tree"),
    "dirty page": (put(start(small), "H", 0x12, 10), "not a page of a tree"),
    "pointers before the page": (put(start(small), "H", 8, 12), "not a page of a tree"),
    "pointers beyond the nodes": (put(start(small), "H", PAGE, 12), "not a page of a tree"),
    "odd pointers": (put(start(small), "H", 21, 12), "not a page of a tree"),
    "no node": (put(start(small), "H", 16, 12), "not a page of a tree"),
    "nodes beyond the page": (put(start(small), "H", PAGE + 2, 14), "not a page of a tree"),
    "branch of one node": (one_node, "not a page of a tree"),
    "node outside": (put(start(small), "H", PAGE - 4, 16), "nodes outside"),
    "node among the pointers": (put(start(small), "H", 16, 16), "nodes outside"),
    "odd node": (put(start(small), "H", lambda p: node(p, small(p)) % PAGE + 1, 16), "nodes outside"),
    "one node twice": (one_node_twice, "over one another"),
    "node flags": (put(lambda p: node(p, small(p)), "H", 4, 4), "kind that cannot"),
    "tree in a database": (put(lambda p: node(p, small(p)), "H", 2, 4), "kind that cannot"),
    "tree in pages of its own": (put(lambda p: node(p, main_root(p)), "H", 3, 4), "kind that cannot"),
    "record among the trees": (put(lambda p: node(p, main_root(p)), "H", 0, 4), "kind that cannot"),
    "tree of another size": (put(lambda p: node(p, main_root(p)), "H", 47), "kind that cannot"),
    "no key": (put(lambda p: node(p, small(p)), "H", 0, 6), "kind that cannot"),
    "long key": (put(lambda p: node(p, small(p)), "H", 512, 6), "kind that cannot"),
    "long value": (put(lambda p: node(p, small(p)), "H", 60_000), "run out of it"),
    "larger than LMDB lets in": (put(lambda p: min(pages_of(p)), "H", 2040), "run out of it|over one another"),
    "keys out of order": (swapped_pointers, "out of order"),
    "child before the file": (put(lambda p: node(p, branch(p)), "H", 1), "is missing"),
    "child beyond the file": (put(lambda p: node(p, branch(p)), "H", 0xFFFF, 4), "is missing"),
    "child twice": (child_twice, "used twice"),
    "children in another order": (children_swapped, "order|belong"),
    "depth": (leaf_below_leaf, "not at its depth"),
    "depth of a cursor": (put(lambda p: tree(p, b"codes"), "H", 33, 6), "33 levels"),
    "duplicates": (put(lambda p: tree(p, b"codes"), "H", 4, 4), "kind that is not used"),
    "padding": (put(lambda p: tree(p, b"codes"), "I", 8), "kind that is not used"),
    "branches recorded": (put(lambda p: tree(p, b"meta"), "Q", 1, 8), "not those recorded"),
    "leaves recorded": (put(lambda p: tree(p, b"meta"), "Q", 0, 16), "not those recorded"),
    "records recorded": (put(lambda p: tree(p, b"meta"), "Q", 99, 32), "not those recorded"),
    "empty with a depth": (put(lambda p: tree(p, b"meta"), "Q", 2**64 - 1, 40), "empty tree"),
    "root beyond the file": (put(lambda p: tree(p, b"meta"), "Q", 2**40, 40), "is missing"),
    "root is a meta page": (put(lambda p: tree(p, b"meta"), "Q", 1, 40), "is missing"),
    "one root for two": (put(lambda p: tree(p, b"meta"), "Q", lambda p: root(p, b"codes"), 40), "used twice|recorded"),
    "value before the file": (put(lambda p: value_of(p, large(p)), "Q", 1), "missing pages"),
    "value beyond the file": (put(lambda p: value_of(p, large(p)), "Q", 2**63), "missing pages"),
    "value longer than the file": (put(large, "H", 0xFFFF, 2), "missing pages"),
    "magic": (put(newest, "I", 1, 16), "does not begin"),
    "data format": (put(newest, "I", 3, 20), "data format 3"),
    "meta page's number": (put(newest, "Q", 7), "does not begin"),
    "meta page's kind": (put(newest, "H", 9, 10), "does not begin"),
    "page size": (put(newest, "I", 2 * PAGE, 40), f"pages of {2 * PAGE} bytes"),
    "fixed address": (put(newest, "Q", 4096, 24), "address 4096"),
    "flags of the free list": (put(newest, "H", 0, 44), "kind that is not used"),
    "flags of the main tree": (put(newest, "H", 4, 92), "kind that is not used"),
    "last page": (put(newest, "Q", 3, 136), "is missing|missing pages"),
    "last page beyond any map": (put(newest, "Q", 2**50, 136), "cannot be so"),
    "transaction of the other page": (put(newest, "Q", lambda p: p.get(newest(p) + 144, "Q") + 1, 144), "cannot be so"),
    "transaction far away": (put(newest, "Q", lambda p: p.get(newest(p) + 144, "Q") + 8, 144), "do not follow"),
    "transaction gone back": (put(newest, "Q", lambda p: p.get(newest(p) + 144, "Q") - 2, 144), "leads to the state"),
    "metas of one transaction": (metas_of_one_transaction, "cannot be so"),
    "free list: key": (put(lambda p: node(p, p.get(newest(p) + 80, "Q")), "H", 7, 6), "kind that cannot"),
}

BEFORE_WRITING: dict[str, tuple[Craft, str]] = {
    "kind of a value's page": (put(large_head, "H", 12, 10), "does not begin a value"),
    "pages of a value": (put(large_head, "I", 2**31, 12), "does not begin a value"),
    "fewer pages than bytes": (put(large_head, "I", 0, 12), "does not begin a value"),
    "overflow pages recorded": (put(lambda p: tree(p, b"rowids"), "Q", 1, 24), "pages of large values"),
    "free: count": (put(free_list, "Q", 2**60), "says"),
    "free: used page": (put(free_list, "Q", main_root, 8), "used twice, or used and free|order or range"),
    "free: page beyond": (put(free_list, "Q", 2**40, 8), "order or range"),
    "free: meta page": (put(free_list, "Q", lambda p: p.get(free_list(p) + 8, "Q"), 16), "order or range"),
}  # fmt: skip


def pages_of(pages: Pages) -> list[int]:
    return pages.nodes(root(pages, b"quantizer"))


def crafted(sound: Sound, tmp_path: Path, craft: Craft) -> Path:
    path = Path(shutil.copytree(sound.path, tmp_path / "crafted.pqs"))
    pages = Pages(bytearray(data_file(path).read_bytes()))
    craft(pages)
    data_file(path).write_bytes(pages.content)
    return path


@pytest.mark.parametrize(("craft", "words"), AT_OPEN.values(), ids=AT_OPEN)
def test_refused_when_opened(sound: Sound, tmp_path: Path, craft: Craft, words: str) -> None:
    path = crafted(sound, tmp_path, craft)

    def work() -> None:
        with pytest.raises(CorruptIndexError, match=words):
            Store.open(path, lambda _: PACKING)

    assert in_child(work) == 0


@pytest.mark.parametrize(("craft", "words"), BEFORE_WRITING.values(), ids=BEFORE_WRITING)
def test_refused_before_writing_and_copying(sound: Sound, tmp_path: Path, craft: Craft, words: str) -> None:
    """It does no harm to who reads, and is found by `verify(deep=True)`."""
    path = crafted(sound, tmp_path, craft)

    def work() -> None:
        with Store.open(path, lambda _: PACKING) as store:
            with pytest.raises(CorruptIndexError, match=words):
                store.write()
            with pytest.raises(CorruptIndexError, match=words):
                store.backup(tmp_path / "backup.pqs")
            assert 1 in {problem.invariant for problem in store.verify(deep=True)}

    assert in_child(work) == 0


def test_every_bit_of_the_newest_meta_page(sound: Sound, tmp_path: Path) -> None:
    """A flipped bit is named, or the state is still the newest one, whole."""
    path = Path(shutil.copytree(sound.path, tmp_path / "index.pqs"))
    content = data_file(path).read_bytes()
    with Store.open(path, lambda _: PACKING) as store:
        commits = store.stats().commits
    begin = newest(Pages(bytearray(content)))
    noticed = []

    def work() -> None:
        with data_file(path).open("r+b", buffering=0) as file:
            for bit in range(8 * 152):
                at = begin + bit // 8
                file.seek(at)
                file.write(bytes([content[at] ^ 1 << bit % 8]))
                try:
                    with Store.open(path, lambda _: PACKING) as store, store.read() as snapshot:
                        assert snapshot.records.state.commit == commits, f"bit {bit}: an older state"
                        assert snapshot.live_rows == len(sound.rows)
                except CorruptIndexError:
                    noticed.append(bit)
                file.seek(at)
                file.write(content[at : at + 1])
        # Unnoticed are padding, bounds that a meta page does not have, the size of the map, which each process chooses,
        # a last page that is too large, and pages of large values, which only writing looks at.
        assert len(noticed) > 900

    assert in_child(work) == 0


def test_the_state_before_a_commit_whose_meta_page_was_never_written(sound: Sound, tmp_path: Path) -> None:
    """That is what a loss of power leaves of a commit that was not acknowledged."""
    path = Path(shutil.copytree(sound.path, tmp_path / "index.pqs"))
    before = data_file(path).read_bytes()
    with Store.open(path, lambda _: PACKING) as store:
        commits = store.stats().commits
        code = np.zeros((1, 8), dtype=np.uint8)
        with store.write() as txn:
            txn.append(code, np.array([10**7]), **attached(code))
    pages = Pages(bytearray(data_file(path).read_bytes()))
    begin = newest(pages)
    pages.content[begin : begin + PAGE] = before[begin : begin + PAGE]
    data_file(path).write_bytes(pages.content)
    with Store.open(path, lambda _: PACKING) as store:
        assert store.stats().commits == commits
        assert store.verify(deep=True) == []
