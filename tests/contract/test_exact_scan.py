"""The scan of originals: every set of kernels, NumPy's too, finds what the definition gives, to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest

from pqstore.kernels import Kernels, OriginalChunk, OriginalKind, available, get, unit_length
from pqstore.kernels.reference.originals import decode_originals, exact_distances
from tests.contract.cases import exact, unaligned

KINDS: tuple[OriginalKind, ...] = ("float32", "float16", "int8")
METRICS = ("l2", "dot", "cosine")


@pytest.fixture(params=available())
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return get(request.param)


@pytest.fixture
def sets() -> list[Kernels]:
    return [get(name) for name in available()]


def vectors(rng: np.random.Generator, n: int, D: int) -> npt.NDArray[np.float32]:
    """Of several sizes, some of them zero, some of them equal."""
    made = (rng.standard_normal((n, D)) * 4.0 ** rng.integers(-2, 2, (n, 1))).astype(np.float32)
    made[5::17] = 0
    made[3::11] = made[: len(made[3::11])]
    return made


def stored(kind: OriginalKind, values: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    n, D = values.shape
    if kind == "int8":
        levels = rng.integers(0, 256, (n, D), dtype=np.uint8)
        affine = np.stack((np.full(n, 0.01), rng.integers(-2, 2, n)), axis=1).astype("<f4")
        return np.concatenate((levels, affine.view(np.uint8)), axis=1)
    return values.astype("<f4" if kind == "float32" else "<f2").view(np.uint8)


def split(
    rng: np.random.Generator, originals: npt.NDArray[np.uint8], lengths: Sequence[int], dead: float = 0.2
) -> list[OriginalChunk]:
    """One chunk a length, every other one with a share of dead rows, with gaps between the row numbers."""
    chunks, start, first_row = [], 0, int(rng.integers(0, 1000))
    for i, rows in enumerate(lengths):
        bitmap = exact(np.packbits(rng.random(rows) < dead, bitorder="little")) if i % 2 else None
        chunks.append(OriginalChunk(exact(originals[start : start + rows]), first_row, bitmap))
        start += rows
        first_row += rows + int(rng.integers(0, 50))
    assert start == len(originals)
    return chunks


def defined(
    kind: OriginalKind, metric: str, chunks: Sequence[OriginalChunk], queries: npt.NDArray[np.float64], k: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Every distance by its definition, sorted."""
    rows = np.concatenate([np.empty(0, np.int64), *(c.first_row + np.arange(len(c.stored)) for c in chunks)])
    alive = np.ones(len(rows), dtype=bool)
    start = 0
    for chunk in chunks:
        size = len(chunk.stored)
        if chunk.dead is not None:
            alive[start : start + size] = np.unpackbits(chunk.dead, count=size, bitorder="little") == 0
        start += size
    rows = rows[alive]
    distances = np.full((len(queries), k), np.inf if metric == "l2" else -np.inf, dtype=np.float32)
    found = np.full((len(queries), k), -1, dtype=np.int64)
    if len(rows) == 0:
        return distances, found
    values = decode_originals(kind, queries.shape[1], np.concatenate([chunk.stored for chunk in chunks])[alive])
    for q, query in enumerate(queries):
        with np.errstate(invalid="ignore"):
            exactly = exact_distances(metric, values, query)
        farthest = np.float32(np.inf if metric == "l2" else -np.inf)
        exactly = np.where(np.isnan(exactly), farthest, exactly)
        order = np.lexsort((rows, exactly if metric == "l2" else -exactly))[:k]
        distances[q, : len(order)], found[q, : len(order)] = exactly[order], rows[order]
    return distances, found


def assert_as_defined(
    sets: Sequence[Kernels],
    kind: OriginalKind,
    metric: str,
    chunks: Sequence[OriginalChunk],
    queries: npt.NDArray[np.floating],
    k: int,
    threads: Sequence[int] = (1,),
) -> None:
    """Every set finds what the definition says, which takes longest: it is worked out once for all of them."""
    wide = queries.astype(np.float64)
    if metric == "cosine":
        wide = unit_length(wide)
    expected = defined(kind, metric, chunks, wide, k)
    for kernels, count in product(sets, threads):
        found = kernels.exact_scan(kind, metric, chunks, wide, k, count)
        case = f"{kernels.name}: {kind}, {metric}, D {queries.shape[1]}, {len(queries)} queries, k {k}, threads {count}"
        np.testing.assert_array_equal(found[1], expected[1], err_msg=case)
        np.testing.assert_array_equal(found[0].view(np.uint32), expected[0].view(np.uint32), err_msg=case)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_width(sets: Sequence[Kernels], rng: np.random.Generator, kind: OriginalKind, metric: str) -> None:
    for D in (*range(1, 71), 384, 1536):
        values = vectors(rng, 100, D)
        chunks = split(rng, stored(kind, values, rng), (0, 1, 16, 17, 33, 33))
        for n in (1, 2, 7):
            assert_as_defined(sets, kind, metric, chunks, vectors(rng, n, D), 1 + D % 20)


@pytest.mark.parametrize("metric", METRICS)
def test_every_number_of_queries(sets: Sequence[Kernels], rng: np.random.Generator, metric: str) -> None:
    chunks = split(rng, stored("float32", vectors(rng, 300, 9), rng), (150, 150))
    for n in range(35):
        assert_as_defined(sets, "float32", metric, chunks, rng.standard_normal((n, 9)).astype(np.float32), 5)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [1, 5])
def test_few_rows_and_large_k(sets: Sequence[Kernels], rng: np.random.Generator, n: int, metric: str) -> None:
    queries = rng.standard_normal((n, 12)).astype(np.float32)
    for lengths in ((), (0,), (0, 0), (1,), (15, 1), (16,), (31, 40)):
        chunks = split(rng, stored("float32", vectors(rng, sum(lengths), 12), rng), lengths)
        for k in (0, 1, 2, 16, 71, 100):
            assert_as_defined(sets, "float32", metric, chunks, queries, k)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dead", [0.5, 0.99, 1.0])
def test_dead_rows(
    sets: Sequence[Kernels], rng: np.random.Generator, dead: float, kind: OriginalKind, metric: str
) -> None:
    chunks = split(rng, stored(kind, vectors(rng, 1300, 20), rng), (1, 900, 7, 33, 350, 9), dead)
    for n in (1, 9):
        assert_as_defined(sets, kind, metric, chunks, vectors(rng, n, 20), 10)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [1, 8])
def test_equal_distances_go_by_row(sets: Sequence[Kernels], rng: np.random.Generator, n: int, metric: str) -> None:
    """Small whole numbers: every distance is shared by many rows. Chunks come in any order."""
    values = rng.integers(-1, 2, (700, 4)).astype(np.float32)
    chunks = split(rng, stored("float32", values, rng), (300, 100, 300))[::-1]
    for k in (1, 10, 200):
        assert_as_defined(sets, "float32", metric, chunks, rng.integers(-1, 2, (n, 4)).astype(np.float32), k)
    same = split(rng, stored("float32", np.ones((400, 4), np.float32), rng), (100, 300))
    assert_as_defined(sets, "float32", metric, same, np.ones((n, 4), np.float32), 50)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [1, 8])
def test_distances_closer_than_float32_tells(
    sets: Sequence[Kernels], rng: np.random.Generator, n: int, metric: str
) -> None:
    """Rows that differ in a last bit, around the query, near and far from the origin."""
    for offset in (0.0, 1.0, 1e4):
        base = rng.standard_normal(33) + offset
        values = np.tile(base.astype(np.float32), (500, 1))
        for _ in range(3):
            places = rng.integers(0, 33, 500)
            values[np.arange(500), places] = np.nextafter(values[np.arange(500), places], np.float32(np.inf))
        chunks = split(rng, stored("float32", values, rng), (300, 200))
        queries = (base + rng.standard_normal((n, 33)) * 10.0 ** rng.integers(-7, 1, (n, 1))).astype(np.float32)
        assert_as_defined(sets, "float32", metric, chunks, queries, 20)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [1, 8])
def test_sums_that_round_one_way(sets: Sequence[Kernels], rng: np.random.Generator, n: int, metric: str) -> None:
    """Every addition drops or adds the same part of a last place, so that a float32 sum is off by many of them, while
    rows get nearer by one of them at a time. As many rows lie on the other side of the origin."""
    step = np.arange(320)[:, None] // 40
    for D in (1024, 1536):
        for fraction in np.outer(2.0 ** -np.arange(13, 22, 2), (0.75, 1.1)).flat:
            if metric == "l2":
                values, queries = 1 + fraction - step * 2.0**-23 + np.zeros(D), np.zeros((n, D))
            elif metric == "dot":
                values, queries = 1 + step * 2.0**-23 + np.zeros(D), np.full((n, D), 1 + fraction)
            else:  # at an angle that gets smaller
                values = (1 + fraction) * (1 + np.sqrt((9 - step) * 2.0**-22) * (-1.0) ** np.arange(D))
                queries = np.ones((n, D))
            values[1::2] *= -1
            chunks = split(rng, stored("float32", values.astype(np.float32), rng), (320,))
            assert_as_defined(sets, "float32", metric, chunks, queries.astype(np.float32), 10)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [1, 8])
@pytest.mark.parametrize("of_rows", [1e-45, 1e-40, 1e-25, 1e-18, 1.0, 1e15, 1e19, 1e30, 1e38])
def test_values_of_every_size(
    sets: Sequence[Kernels], rng: np.random.Generator, of_rows: float, n: int, metric: str
) -> None:
    """Float32 sums vanish, lose their bits, or overflow, on either side."""
    for of_queries in (1e-44, 1e-30, 1.0, 1e18, 1e30, 1e38):
        with np.errstate(over="ignore"):
            values = (rng.uniform(-3, 3, (200, 11)) * of_rows).astype(np.float32)
            queries = (rng.uniform(-3, 3, (n, 11)) * of_queries).astype(np.float32)
        chunks = split(rng, stored("float32", values, rng), (90, 110))
        for k in (1, 15):
            assert_as_defined(sets, "float32", metric, chunks, queries, k)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [1, 8])
def test_sizes_beside_one_another(sets: Sequence[Kernels], rng: np.random.Generator, n: int, metric: str) -> None:
    values = (rng.standard_normal((600, 21)) * 10.0 ** rng.uniform(-44, 37, (600, 1))).astype(np.float32)
    queries = (rng.standard_normal((n, 21)) * 10.0 ** rng.uniform(-30, 30, (n, 1))).astype(np.float32)
    chunks = split(rng, stored("float32", values, rng), (300, 300))
    for k in (1, 30, 550):
        assert_as_defined(sets, "float32", metric, chunks, queries, k)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [1, 8])
def test_damaged_values(sets: Sequence[Kernels], rng: np.random.Generator, n: int, metric: str) -> None:
    """What is not a number is infinitely far; an infinite value is as near or far as it says."""
    values = vectors(rng, 300, 8)
    values[rng.random(300) < 0.2, 3] = np.nan
    values[rng.random(300) < 0.2, 4] = np.inf
    values[rng.random(300) < 0.2, 5] = -np.inf
    chunks = split(rng, stored("float32", values, rng), (150, 150))
    for k in (1, 20, 300):
        assert_as_defined(sets, "float32", metric, chunks, vectors(rng, n, 8), k)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [1, 8])
def test_queries_between_float32(sets: Sequence[Kernels], rng: np.random.Generator, n: int, metric: str) -> None:
    """The quick pass rounds a query; where it lies between two numbers must not matter."""
    values = (1000 + rng.integers(0, 3, (400, 6)) * 2.0**-14).astype(np.float32)
    queries = 1000 + rng.random((n, 6)) * 2.0**-13
    chunks = split(rng, stored("float32", values, rng), (200, 200))
    assert_as_defined(sets, "float32", metric, chunks, queries, 25)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 8])
def test_views_of_any_kind(kernels: Kernels, rng: np.random.Generator, n: int, kind: OriginalKind) -> None:
    """Read-only, at odd addresses, with other bytes between the rows: as files hold them."""
    originals = stored(kind, vectors(rng, 90, 13), rng)
    queries = vectors(rng, n, 13)
    expected = kernels.exact_scan(kind, "l2", [OriginalChunk(originals, 7)], queries.astype(np.float64), 12)
    wide = np.concatenate((originals, rng.integers(0, 256, (90, 5), dtype=np.uint8)), axis=1)
    for view in (unaligned(originals), exact(wide)[:, : originals.shape[1]], unaligned(wide)[:, : originals.shape[1]]):
        assert not view.flags.writeable
        found = kernels.exact_scan(kind, "l2", [OriginalChunk(view, 7)], queries.astype(np.float64), 12)
        np.testing.assert_array_equal(found[0].view(np.uint32), expected[0].view(np.uint32))
        np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
def test_threads(sets: Sequence[Kernels], rng: np.random.Generator, kind: OriginalKind, metric: str) -> None:
    """Enough rows that a scan is worth several threads, and many ties, which they meet in different orders."""
    values = rng.integers(-2, 3, (9000, 64)).astype(np.float32)
    chunks = split(rng, stored(kind, values, rng), (4000, 1, 4999))
    for n in (1, 20):
        queries = rng.integers(-2, 3, (n, 64)).astype(np.float32)
        assert_as_defined(sets, kind, metric, chunks, queries, 25, (1, 2, 5))


def test_what_does_not_fit_is_refused(kernels: Kernels) -> None:
    if kernels.name == "numpy":
        pytest.skip("for the compiled module")
    originals, queries = np.zeros((9, 12), np.uint8), np.zeros((1, 3))
    good = ("float32", "l2", [OriginalChunk(originals, 0, np.zeros(2, np.uint8))], queries, 2)
    assert kernels.exact_scan(*good)[1].tolist() == [[0, 1]]  # type: ignore[arg-type]
    for at, wrong in (
        (0, "float64"),
        (1, "l1"),
        (2, [OriginalChunk(np.zeros((9, 11), np.uint8), 0)]),
        (2, [OriginalChunk(np.zeros(12, np.uint8), 0)]),
        (2, [OriginalChunk(originals[:, ::-1], 0)]),
        (2, [OriginalChunk(originals[::-1], 0)]),
        (2, [OriginalChunk(np.zeros((9, 3), np.float32), 0)]),  # type: ignore[arg-type]
        (2, [OriginalChunk(originals, -1)]),
        (2, [OriginalChunk(originals, 2**63 - 5)]),
        (2, [OriginalChunk(originals, 0, np.zeros(1, np.uint8))]),
        (2, [(originals, 0)]),
        (3, np.zeros((1, 0))),
    ):
        arguments: list[object] = [*good]
        arguments[at] = wrong
        with pytest.raises(ValueError, match=r"."):
            kernels.exact_scan(*arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="threads"):
        kernels.exact_scan(*good, threads=0)  # type: ignore[arg-type]
