"""Searches of inverted lists equal the reference: rows, float bits, what was read; over all lists, the flat scan."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pqstore.kernels import CodeChunk, CodeLayout, Kernels, Lists, list_grid
from pqstore.kernels.reference import scan_labels
from pqstore.kernels.reference.list_search import list_order
from pqstore.kernels.reference.searching import ReferenceSearcher
from tests.contract.cases import codes, codewords, exact

SEGMENT_ROWS = 256


class Run:
    """A run in memory, of rows whose partitions are given."""

    def __init__(self, layout: CodeLayout, coded: Any, rows: Any, partitions: Any, P: int, chunk_rows: int) -> None:
        order = np.lexsort((rows, partitions))
        self.offsets = np.searchsorted(partitions[order], np.arange(P + 1)).astype(np.uint32)
        self.first_row, self.chunk_rows, self.prepared = int(rows.min(initial=0)), chunk_rows, None
        numbers = (rows[order] - self.first_row).astype(np.uint32)
        bounds = [*range(0, len(rows), chunk_rows), len(rows)]
        self.chunks = [(exact(layout.pack(coded[order][a:b])), exact(numbers[a:b])) for a, b in pairwise(bounds)]


def reader(runs: Sequence[Run], asked: list[Any] | None = None) -> Any:
    def read(run: int, ordinal: int) -> Any:
        if asked is not None:
            asked.append(ordinal)
        return runs[run].chunks[ordinal]

    return read


def made(
    rng: np.random.Generator, layout: CodeLayout, D: int, rows: int, P: int, G: int, *, dot: bool, dead: float = 0.1
) -> tuple[Lists, list[CodeChunk]]:
    """Lists, and all their rows as chunks of a flat scan. Some segments are gone, some are in no list."""
    segments = np.sort(rng.choice(3 * rows // SEGMENT_ROWS + 5, rows // SEGMENT_ROWS, replace=False))
    coded = codes(rng, layout, len(segments) * SEGMENT_ROWS) % min(layout.Ks, 7)  # ties
    numbers = (segments[:, None] * SEGMENT_ROWS + np.arange(SEGMENT_ROWS)).reshape(-1)
    partitions = rng.integers(0, P, len(numbers)) * (rng.random(len(numbers)) < 0.8)  # one long list
    bitmaps = [exact(np.packbits(rng.random(SEGMENT_ROWS) < dead, bitorder="little")) for _ in segments]
    bitmaps = [None if at % 3 == 0 else bitmap for at, bitmap in enumerate(bitmaps)]
    there = np.flatnonzero(rng.random(len(segments)) < 0.9)
    listed = rng.integers(0, 4, len(segments))  # in which run; 3: in none
    chunks = [
        CodeChunk(
            exact(layout.pack(coded[at * SEGMENT_ROWS : (at + 1) * SEGMENT_ROWS])),
            SEGMENT_ROWS,
            int(segments[at]) * SEGMENT_ROWS,
            bitmaps[at],
        )
        for at in there.tolist()
    ]
    of_rows = np.repeat(listed, SEGMENT_ROWS)
    runs = [Run(layout, coded[of_rows == r], numbers[of_rows == r], partitions[of_rows == r], P, 96) for r in range(3)]
    first = np.sort(np.concatenate(([0, P], rng.integers(0, P + 1, G - 1))))
    grid = list_grid(
        rng.standard_normal((P, D)).astype(np.float32),
        rng.random(P),
        rng.standard_normal((G, D)).astype(np.float32),
        first,
        dot=dot,
    )
    flat = [chunk for chunk, at in zip(chunks, there.tolist(), strict=True) if listed[at] == 3]
    lists = Lists(grid, runs, flat, segments[there], [bitmaps[at] for at in there.tolist()], SEGMENT_ROWS)
    return lists, chunks


def searchers(kernels: Kernels, layout: CodeLayout, words: Any, *, dot: bool) -> tuple[Any, Any]:
    labels = scan_labels(words) if layout.kind == "block8" else None
    return ReferenceSearcher(layout, words, labels, dot), kernels.searcher(layout, words, labels, dot=dot)


@pytest.mark.parametrize("Ks", [16, 256, 300])
@pytest.mark.parametrize("dot", [False, True])
def test_search_of_lists(kernels: Kernels, rng: np.random.Generator, Ks: int, dot: bool) -> None:
    for M, Ds, rows, P, G in ((3, 5, 2000, 1, 1), (8, 2, 6000, 64, 1), (5, 3, 5000, 1100, 6)):
        layout, words = CodeLayout(M, Ks), codewords(rng, M, Ks, Ds)
        reference, searcher = searchers(kernels, layout, words, dot=dot)
        lists, _ = made(rng, layout, M * Ds, rows, P, G, dot=dot)
        read = reader(lists.runs)
        asked = (rng.standard_normal((5, M * Ds)) * [[1], [1], [1], [0], [1e6]]).astype(np.float32)
        for k, *limits in (
            (10, 1, 10**9, 10),
            (10, P, 300, 5),
            (1, 7, 900, 1),
            (3000, 2, 10**9, 60),
            (40, P, 10**9, 0),
        ):
            expected = reference.search_lists(asked, reference.prepare_lists(lists), read, k, *limits)
            prepared = searcher.prepare_lists(lists)
            for threads in (1, 2):
                _equal(
                    searcher.search_lists(asked, prepared, read, k, *limits, threads),
                    expected,
                )
            _equal(
                searcher.search_lists(asked[:1], prepared, read, k, *limits, 2),
                [part[:1] for part in expected],
            )


@pytest.mark.parametrize("Ks", [16, 256, 300])
@pytest.mark.parametrize("dead", [0.3, 0.9, 0.999])
def test_search_of_lists_of_which_most_rows_are_dead(
    kernels: Kernels, rng: np.random.Generator, Ks: int, dead: float
) -> None:
    """Lists without a live row are passed over, and more are read until there are enough live ones."""
    for M, Ds, rows, P, G in ((3, 5, 4000, 1, 1), (8, 2, 9000, 64, 1), (5, 3, 9000, 1100, 6)):
        layout, words = CodeLayout(M, Ks), codewords(rng, M, Ks, Ds)
        reference, searcher = searchers(kernels, layout, words, dot=False)
        lists = made(rng, layout, M * Ds, rows, P, G, dot=False, dead=dead)[0]
        lists = lists._replace(selected=True, dead=[_never(bitmap) for bitmap in lists.dead])
        read, asked = reader(lists.runs), rng.standard_normal((5, M * Ds)).astype(np.float32)
        prepared = searcher.prepare_lists(lists)
        for k, *limits in ((10, 1, 10**9, 10), (10, P, 300, 0), (3, P, 300, 150), (700, 3, 40, 60), (1, P, 10**9, 0)):
            expected = reference.search_lists(asked, lists, read, k, *limits)
            for threads in (1, 2):
                _equal(searcher.search_lists(asked, prepared, read, k, *limits, threads), expected)
        everything = searcher.search_lists(asked, prepared, read, 20, P, 10**9, 0)
        plain = searcher.prepare_lists(lists._replace(selected=False))
        _equal(everything[:2], searcher.search_lists(asked, plain, read, 20, P, 10**9, 0)[:2])


def _never(bitmap: Any) -> Any:
    """A segment without any live row in the place of one in which all are."""
    return exact(np.full(SEGMENT_ROWS // 8, 0xFF, dtype=np.uint8)) if bitmap is None else bitmap


@pytest.mark.parametrize("Ks", [9, 16, 100, 256, 300])
@pytest.mark.parametrize("dot", [False, True])
def test_all_lists_are_the_flat_scan(kernels: Kernels, rng: np.random.Generator, Ks: int, dot: bool) -> None:
    for dead, rows in ((0.1, 20_000), (0.97, 8000)):
        layout, words = CodeLayout(6, Ks), codewords(rng, 6, Ks, 2)
        _, searcher = searchers(kernels, layout, words, dot=dot)
        lists, chunks = made(rng, layout, 12, rows, 130, 1, dot=dot, dead=dead)
        read = reader(lists.runs)
        asked = rng.standard_normal((4, 12)).astype(np.float32)
        for k in (1, 10, 500):
            flat = searcher.search(asked, searcher.prepare(chunks), k)
            found = searcher.search_lists(asked, searcher.prepare_lists(lists), read, k, 130, 10**9, 0)
            _equal(found[:2], flat)
            assert found[2][:, 0].tolist() == [130] * 4


def test_long_lists(kernels: Kernels, rng: np.random.Generator) -> None:
    """Enough blocks for every stage of a scan, in few long lists."""
    for Ks in (16, 256):
        layout, words = CodeLayout(16, Ks), codewords(rng, 16, Ks, 4)
        labels = scan_labels(words) if Ks == 256 else None
        searcher = kernels.searcher(layout, words, labels, dot=False)
        coded = kernels.encode(rng.standard_normal((120_000, 64)).astype(np.float32), words)
        coded = coded.astype(np.uint8) if labels is None else labels[np.arange(16), coded]
        rows = np.arange(len(coded)) + 77
        run = Run(layout, coded, rows, rng.integers(0, 9, len(coded)), 9, 1632)
        grid = list_grid(
            rng.standard_normal((9, 64)).astype(np.float32),
            np.zeros(9),
            np.zeros((1, 64), dtype=np.float32),
            np.array([0, 9]),
            dot=False,
        )
        bitmap = exact(np.packbits(rng.random(1 << 17) < 0.05, bitorder="little"))
        dead = np.unpackbits(bitmap, bitorder="little")[77:][: len(rows)]
        flat = [CodeChunk(layout.pack(coded), len(coded), 77, np.packbits(dead, bitorder="little"))]
        asked = rng.standard_normal((3, 64)).astype(np.float32)
        lists = searcher.prepare_lists(Lists(grid, [run], [], np.array([0]), [bitmap], 1 << 17))
        read: list[int] = []
        for k in (1, 10, 100):
            found = searcher.search_lists(asked, lists, reader([run], read), k, 9, 10**9, k, 2)
            _equal(found[:2], searcher.search(asked, searcher.prepare(flat), k))
        assert sorted(read) == list(range(len(run.chunks)))  # each was read once


def test_first_list_nearer_than_the_nearest_rows(kernels: Kernels, rng: np.random.Generator) -> None:
    """A scan began with a limit that bounds of enough rows were within, but not so many rows, and lost those beyond."""
    for Ks, share in ((256, 0.01), (256, 0.04), (16, 0.04)):
        layout, words = CodeLayout(16, Ks), codewords(rng, 16, Ks, 4)
        labels = scan_labels(words) if Ks == 256 else None
        searcher = kernels.searcher(layout, words, labels, dot=False)
        coded = kernels.encode(rng.standard_normal((30_000, 64)).astype(np.float32), words)
        coded = coded.astype(np.uint8) if labels is None else labels[np.arange(16), coded]
        query = rng.standard_normal((1, 64)).astype(np.float32)
        chunks = [CodeChunk(layout.pack(coded), len(coded), 0)]
        order = searcher.search(query, searcher.prepare(chunks), len(coded))[1][0]
        partitions = np.ones(len(coded), dtype=np.int64)
        first = int(share * len(order))
        partitions[order[first : first + 40]] = 0
        rows = np.arange(len(coded))
        run = Run(layout, coded, rows, partitions, 2, 1632)
        centroids = np.concatenate((query, query + 1))
        grid = list_grid(centroids, np.zeros(2), query, np.array([0, 2]), dot=False)
        lists = searcher.prepare_lists(Lists(grid, [run], [], np.array([0]), [None], 1 << 15))
        for k in (50, 150, 300):
            found = searcher.search_lists(query, lists, reader([run]), k, 2, 10**9, 0)
            _equal(found[:2], searcher.search(query, searcher.prepare(chunks), k))


def test_rows_that_are_infinitely_far(kernels: Kernels, rng: np.random.Generator) -> None:
    """Codes that no codeword has, as a damaged file may hold: fewer rows than are wanted are at a finite distance."""
    for Ks, M in ((100, 6), (9, 6)):
        layout, words = CodeLayout(M, Ks), codewords(rng, M, Ks, 2)
        reference, searcher = searchers(kernels, layout, words, dot=False)
        coded = rng.integers(0, 256 if Ks == 100 else 16, (20_000, M)).astype(np.uint8)
        rows = np.arange(len(coded))
        run = Run(layout, coded, rows, rng.integers(0, 40, len(rows)), 40, 1632)
        centroids = rng.standard_normal((40, 2 * M)).astype(np.float32)
        grid = list_grid(centroids, np.zeros(40), centroids[:1], np.array([0, 40]), dot=False)
        lists = Lists(grid, [run], [], np.array([0]), [None], 1 << 15)
        asked = rng.standard_normal((3, 2 * M)).astype(np.float32)
        for k in (1, 10, 200, 3000):
            expected = reference.search_lists(asked, lists, reader([run]), k, 40, 10**9, 0)
            found = searcher.search_lists(asked, searcher.prepare_lists(lists), reader([run]), k, 40, 10**9, 0)
            _equal(found, expected)
        assert np.isinf(found[0]).any()


def test_order_of_lists(rng: np.random.Generator) -> None:
    """Nearly that of distances between floats, wide lists later; inner products under "dot"; groups looked at first."""
    centroids = rng.standard_normal((300, 20)).astype(np.float32)
    query = rng.standard_normal(20).astype(np.float32)
    one = np.zeros((1, 20), dtype=np.float32), np.array([0, 300])
    flat = np.zeros(300)
    distances = ((centroids - query) ** 2).sum(axis=1)
    order = list_order(list_grid(centroids, flat, *one, dot=False), query)
    assert sorted(order) == list(range(300))
    assert np.all(np.diff(distances[order]) > -0.05)
    order = list_order(list_grid(centroids, flat, *one, dot=True), 1000 * query)
    assert np.all(np.diff(-(centroids @ query)[order]) > -0.05)
    spreads = flat.copy()
    spreads[np.argmin(distances)] = 1000
    assert list_order(list_grid(centroids, spreads, *one, dot=False), query)[-1] == np.argmin(distances)
    many = rng.standard_normal((2000, 20)).astype(np.float32)
    first = np.linspace(0, 2000, 9).astype(np.int64)
    groups = np.stack([many[a:b].mean(axis=0) for a, b in pairwise(first)])
    grid = list_grid(many, np.zeros(2000), groups, first, dot=False)
    looked = {np.searchsorted(first, p, side="right") for p in list_order(grid, query)[: 3 * 250]}
    assert grid.looked == 3
    assert len(looked) == 3


def test_queries_that_are_not_finite(kernels: Kernels, rng: np.random.Generator) -> None:
    layout, words = CodeLayout(3, 16), codewords(rng, 3, 16, 2)
    reference, searcher = searchers(kernels, layout, words, dot=False)
    lists, _ = made(rng, layout, 6, 2000, 5, 1, dot=False)
    read = reader(lists.runs)
    asked = np.full((2, 6), np.nan, dtype=np.float32)
    assert reference.search_lists(asked, reference.prepare_lists(lists), read, 3, 1, 9, 3) is None
    assert searcher.search_lists(asked, searcher.prepare_lists(lists), read, 3, 1, 9, 3) is None


def _equal(found: Any, expected: Any) -> None:
    assert found is not None
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(_bits(mine), _bits(theirs))


def _bits(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array.view(np.uint32) if array.dtype == np.float32 else array
