"""Scans equal the reference: the same rows, the same distances to the bit."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

import numpy as np
import pytest

from pqstore.kernels import CodeChunk, CodeLayout, Kernels, reference
from tests.contract.cases import assert_same_scan, chunks, codes, exact, tables, unaligned

KINDS = {"block8": 256, "block4": 16, "rows16": 300, "rows32": 65_537}
WIDTHS = [*range(1, 131)]
# Batches take different paths by their size: one, few, up to 8, 16, 32 queries at a time, and several groups.
BATCHES = (1, 3, 7, 12, 33, 50)


def batches(kind: str) -> tuple[int, ...]:
    """Fewer queries where one table takes megabytes, and all batches take one path."""
    return (1, 3) if kind == "rows32" else BATCHES


@pytest.mark.parametrize("M", WIDTHS)
def test_every_width(sets: Sequence[Kernels], rng: np.random.Generator, M: int) -> None:
    for kind in ("block8", "block4", "rows16"):
        layout = CodeLayout(M, KINDS[kind])
        pieces = chunks(rng, layout, (0, 1, 31, 32, 33, 163))
        for n in (1, int(rng.choice(BATCHES[1:-1])) if kind == "block8" else 5):
            assert_same_scan(sets, pieces, layout, tables(rng, layout, n), int(rng.integers(1, 40)))


@pytest.mark.parametrize("M", [1, 2, 5, 16, 31, 48, 96])
@pytest.mark.parametrize("kind", ["block8", "block4"])
def test_enough_rows_for_the_bounds_to_work(
    sets: Sequence[Kernels], rng: np.random.Generator, kind: str, M: int
) -> None:
    layout = CodeLayout(M, KINDS[kind])
    pieces = chunks(rng, layout, (5000, 77, 4096, 3001))
    for n, k in ((1, 1), (1, 10), (1, 100), (3, 10), (7, 10), (12, 100), (33, 10)):
        assert_same_scan(sets, pieces, layout, tables(rng, layout, n), k)


@pytest.mark.parametrize("M", [3, 40])
@pytest.mark.parametrize("kind", ["block8", "block4"])
def test_more_rows_than_a_scan_begins_with(
    sets: Sequence[Kernels], rng: np.random.Generator, kind: str, M: int
) -> None:
    layout = CodeLayout(M, KINDS[kind])
    pieces = chunks(rng, layout, (9000, 25_000, 77, 8000))
    for n, k in ((1, 10), (6, 100), (12, 10), (33, 100)):
        assert_same_scan(sets, pieces, layout, tables(rng, layout, n), k)


@pytest.mark.parametrize("kind", ["block8", "block4"])
def test_more_codes_than_caches_hold(sets: Sequence[Kernels], rng: np.random.Generator, kind: str) -> None:
    layout = CodeLayout(300, KINDS[kind])
    # Over 4 MiB of either kind. Beyond the opening lie chunks of odd and of even numbers of blocks.
    pieces = chunks(rng, layout, (33_000, 1, 1056, 33, 64, 2017))
    for n, k in ((1, 10), (1, 300), (2, 10)):
        assert_same_scan(sets, pieces, layout, tables(rng, layout, n), k)


@pytest.mark.parametrize("kind", ["block8", "block4"])
@pytest.mark.parametrize("order", ["nearest first", "nearest last", "nearest dead"])
def test_first_rows_that_tell_nothing_of_the_rest(
    sets: Sequence[Kernels], rng: np.random.Generator, kind: str, order: str
) -> None:
    # Limits are guessed from the rows that come first: here they are far nearer than the rest, or farther, or dead.
    layout = CodeLayout(16, KINDS[kind])
    many, k = 12_000, 40
    all_codes = codes(rng, layout, many)
    scanned = tables(rng, layout, 15)
    distances = reference.adist(scanned[0], all_codes)
    ranks = np.argsort(distances)
    dead = np.zeros(many, dtype=bool)
    if order == "nearest last":
        ranks = ranks[::-1]
    if order == "nearest dead":
        dead[: many // 2] = True
    packed, bitmap = exact(layout.pack(all_codes[ranks])), exact(np.packbits(dead, bitorder="little"))
    pieces = (CodeChunk(packed, many, 7, bitmap),)
    for n in (1, 2, 3, 15):
        # Queries that are much alike, so that the order suits all of them.
        alike = scanned[:1] * (1 + rng.random((n, 1, 1)) / 100).astype(np.float32)
        assert_same_scan(sets, pieces, layout, exact(alike), k)
    assert_same_scan(sets, pieces, layout, scanned, k)


@pytest.mark.parametrize("M", [8, 20, 21, 40, 41, 96])
@pytest.mark.parametrize("kind", ["block8", "block4"])
def test_many_queries_over_several_tiles(sets: Sequence[Kernels], rng: np.random.Generator, kind: str, M: int) -> None:
    layout = CodeLayout(M, KINDS[kind])
    pieces = chunks(rng, layout, (2001, 33, 1200, 3000))
    for n, k, threads in ((4, 10, 1), (13, 200, 1), (40, 10, 1), (130, 1, 1), (13, 30, 8)):
        assert_same_scan(sets, pieces, layout, tables(rng, layout, n), k, (threads,))


@pytest.mark.parametrize("Ks", [2, 17, 64, 200])
@pytest.mark.parametrize("n", [1, 5, 20])
def test_labels_without_a_codeword_are_infinitely_far(
    sets: Sequence[Kernels], rng: np.random.Generator, Ks: int, n: int
) -> None:
    layout = CodeLayout(12, Ks)
    scanned = tables(rng, layout, n)
    scanned[:, :, Ks:] = np.inf
    assert_same_scan(sets, chunks(rng, layout, (7000, 100)), layout, scanned, 30)


@pytest.mark.parametrize("kind", KINDS)
def test_every_k(sets: Sequence[Kernels], rng: np.random.Generator, kind: str) -> None:
    layout = CodeLayout(1 if kind == "rows32" else 3, KINDS[kind])
    few, more = (33, 12), (33, 12, 240)  # the few are summed without bounds
    for pieces, k in [
        *((chunks(rng, layout, few), k) for k in range(1, 45 + 6)),
        *((chunks(rng, layout, more), k) for k in (*range(1, 20), 100, *range(280, 285 + 6))),
    ]:
        assert_same_scan(sets, pieces, layout, tables(rng, layout, 1 + k % (2 if kind == "rows32" else 9)), k)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [0, 1, 31, 32, 33, 256, 257, 289])
def test_one_chunk_of_few_rows(sets: Sequence[Kernels], rng: np.random.Generator, kind: str, rows: int) -> None:
    layout = CodeLayout(4, KINDS[kind])
    for n in batches(kind):
        assert_same_scan(sets, chunks(rng, layout, (rows,)), layout, tables(rng, layout, n), 5)


@pytest.mark.parametrize("kind", KINDS)
def test_no_chunks_and_no_queries(sets: Sequence[Kernels], rng: np.random.Generator, kind: str) -> None:
    layout = CodeLayout(4, KINDS[kind])
    assert_same_scan(sets, (), layout, tables(rng, layout, 2), 3)
    # Several threads divided their work by the number of queries.
    for rows in (40, 4000):
        assert_same_scan(sets, chunks(rng, layout, (rows,)), layout, tables(rng, layout, 0), 3, (1, 2, 8))


@pytest.mark.parametrize("kind", KINDS)
def test_all_distances_equal(sets: Sequence[Kernels], rng: np.random.Generator, kind: str) -> None:
    layout = CodeLayout(9, KINDS[kind])
    pieces = chunks(rng, layout, (3000, 100, 2000))
    for value in (0.0, 0.1, -7.5):
        for n in (1, 12):
            same = np.full((n, layout.M, layout.table_size), value, dtype=np.float32)
            for k in (1, 100):
                # Ties go to the lowest row, wherever its chunk comes in the list.
                assert_same_scan(sets, pieces[::-1], layout, same, k)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan, 3e38, 1e-42])
def test_extreme_entries(sets: Sequence[Kernels], rng: np.random.Generator, kind: str, special: float) -> None:
    layout = CodeLayout(2 if kind == "rows32" else 10, KINDS[kind])
    pieces = chunks(rng, layout, (2500, 33))
    for share in (0.02, 0.5, 1.0):
        for n in (1, 3 if kind == "rows32" else 9):
            scanned = tables(rng, layout, n)
            scanned[rng.random(scanned.shape) < share] = special
            assert_same_scan(sets, pieces, layout, scanned, 20)


@pytest.mark.parametrize("kind", ["block8", "block4"])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_scale_and_cancellation(
    sets: Sequence[Kernels], rng: np.random.Generator, kind: str, scale: float, offset: float
) -> None:
    # Entries of either sign, as for "dot", and distances that differ by little more than rounding.
    layout = CodeLayout(24, KINDS[kind])
    pieces = chunks(rng, layout, (6000,))
    for n in (1, 12):
        scanned = ((tables(rng, layout, n) - 0.4) * scale + offset * scale).astype(np.float32)
        assert_same_scan(sets, pieces, layout, scanned, 10)
        assert_same_scan(sets, pieces, layout, -scanned, 10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dead", [0.5, 0.999, 1.0])
def test_dead_rows(sets: Sequence[Kernels], rng: np.random.Generator, kind: str, dead: float) -> None:
    layout = CodeLayout(1 if kind == "rows32" else 6, KINDS[kind])
    pieces = tuple(chunk for chunk in chunks(rng, layout, (1, 4001, 1, 95, 1, 33), dead) if chunk.dead is not None)
    assert len(pieces) == 3
    for n in (1, 3 if kind == "rows32" else 12):
        assert_same_scan(sets, pieces, layout, tables(rng, layout, n), 10)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_come_sorted_by_distance(sets: Sequence[Kernels], rng: np.random.Generator, kind: str) -> None:
    # The limit stays high to the end, or falls with every row.
    layout = CodeLayout(8, KINDS[kind])
    rows = codes(rng, layout, 3000)
    scanned = tables(rng, layout, 1)
    order = np.argsort(reference.adist(scanned[0], rows), kind="stable")
    for ordered in (rows[order], rows[order[::-1]]):
        pieces = (CodeChunk(layout.pack(ordered), len(ordered), 0),)
        for n in (1, 8):
            assert_same_scan(sets, pieces, layout, np.repeat(scanned, n, axis=0), 10)


@pytest.mark.parametrize("kind", KINDS)
def test_unaligned_codes(sets: Sequence[Kernels], rng: np.random.Generator, kind: str) -> None:
    layout = CodeLayout(7, KINDS[kind])
    pieces = tuple(
        CodeChunk(
            unaligned(chunk.packed), chunk.rows, chunk.first_row, None if chunk.dead is None else unaligned(chunk.dead)
        )
        for chunk in chunks(rng, layout, (700, 4099))
    )
    for n in batches(kind):
        assert_same_scan(sets, pieces, layout, unaligned(tables(rng, layout, n)), 10)


@pytest.mark.parametrize(("kind", "M"), [("block8", 5), ("block8", 6), ("block4", 5), ("block4", 6)])
def test_padding_is_never_looked_at(sets: Sequence[Kernels], rng: np.random.Generator, kind: str, M: int) -> None:
    # A damaged file could hold anything in the rows and the sub-space that pad blocks.
    layout = CodeLayout(M, KINDS[kind])
    rows = 1000 * 32 + 7
    whole = codes(rng, CodeLayout(M + M % 2, KINDS[kind]), rows + 25)
    packed = exact(CodeLayout(M + M % 2, KINDS[kind]).pack(whole))
    assert len(packed) == layout.packed_size(rows)
    for n in (1, 12):
        assert_same_scan(sets, (CodeChunk(packed, rows, 0),), layout, tables(rng, layout, n), 10)


@pytest.mark.parametrize(("Ks", "largest"), [(300, 65_535), (65_536, 65_535), (65_537, 2**32 - 1)])
def test_damaged_labels_stay_inside_the_tables(
    sets: Sequence[Kernels], rng: np.random.Generator, Ks: int, largest: int
) -> None:
    layout = CodeLayout(3, Ks)
    damaged = codes(rng, layout, 200)
    damaged[rng.random(damaged.shape) < 0.2] = largest
    damaged[5] = Ks - 1
    pieces = (CodeChunk(exact(layout.pack(damaged)), 200, 0),)
    assert_same_scan(sets, pieces, layout, exact(tables(rng, layout, 2)), 205)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 5, 40])
def test_results_do_not_depend_on_threads(sets: Sequence[Kernels], rng: np.random.Generator, kind: str, n: int) -> None:
    layout = CodeLayout(2 if kind == "rows32" else 16, KINDS[kind])
    # Enough rows that a scan is worth several threads, few enough for the reference.
    pieces = chunks(rng, layout, (20_000, 16_384, 9_999) if n == 1 else (6000, 1024, 2047))
    scanned = tables(rng, layout, n)
    scanned = np.round(scanned, 1)  # many ties, which threads meet in different orders
    assert_same_scan(sets, pieces, layout, scanned, 25, (1, 2, 3, 8))


def test_threads_after_fork(kernels: Kernels, rng: np.random.Generator) -> None:
    layout = CodeLayout(16, 256)
    pieces = chunks(rng, layout, (40_000, 40_000))
    scanned = tables(rng, layout, 1)
    before = kernels.scan(pieces, layout, scanned, 10, threads=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside threads is just what is tested
        child = os.fork()
    if child == 0:
        after = kernels.scan(pieces, layout, scanned, 10, threads=2)
        os._exit(0 if np.array_equal(before[1], after[1]) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
