"""Exact distances of originals: every compiled kernel gives the bits of the reference."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from pqstore.kernels import OriginalFormat, as_halves, get, nearest_originals, nearest_stored
from pqstore.kernels import originals as originals_module
from pqstore.kernels.reference.originals import decode_originals, exact_distances, unit_length


def originals(kind: str, n: int, D: int, rng: np.random.Generator) -> np.ndarray:
    """uint8 (n, row_bytes), with values of every size."""
    vectors = (rng.standard_normal((n, D)) * 10.0 ** rng.integers(-6, 4, (n, 1))).astype(np.float32)
    vectors[:: max(1, n // 5)] = 0
    if kind == "float32":
        return vectors.view(np.uint8)
    if kind == "float16":
        return vectors.astype("<f2").view(np.uint8)
    affine = rng.standard_normal((n, 2)).astype("<f4")
    return np.concatenate((rng.integers(0, 256, (n, D), dtype=np.uint8), affine.view(np.uint8)), axis=1)


@pytest.mark.parametrize("metric", ["l2", "dot", "cosine"])
@pytest.mark.parametrize("kind", ["float32", "float16", "int8"])
@pytest.mark.parametrize("D", [1, 7, 8, 9, 24, 100, 128, 387])
def test_distances_to_the_bit(kernels, monkeypatch, rng, kind: str, metric: str, D: int) -> None:
    monkeypatch.setattr(originals_module, "active", lambda: kernels)
    stored = originals(kind, 60, D, rng)
    query = rng.standard_normal(D).astype(np.float32).astype(np.float64)
    if metric == "cosine":
        query = unit_length(query[None])[0]
    places = rng.permutation(60)[:50]
    places[7] = places[3]  # equal distances, under two rows
    rows = rng.permutation(1000)[:50]
    expected = exact_distances(metric, decode_originals(kind, D, stored[places]), query)
    order = np.lexsort((rows, expected if metric == "l2" else -expected))
    for k in (1, 10, 50):
        distances, found = nearest_originals(kind, metric, stored, places, rows, query, k)
        np.testing.assert_array_equal(distances.view(np.uint32), expected[order][:k].view(np.uint32))
        np.testing.assert_array_equal(found, rows[order][:k])


@pytest.mark.parametrize("metric", ["l2", "dot", "cosine"])
@pytest.mark.parametrize("kind", ["float32", "float16", "int8"])
def test_where_they_lie(kernels, monkeypatch, rng, kind: str, metric: str) -> None:
    """Candidates of several queries in files of segments: as copied and compared one query after another."""
    monkeypatch.setattr(originals_module, "active", lambda: kernels)
    D, rows = 37, 40
    numbers = {3: np.arange(120, 160), 0: np.arange(40), 7: np.arange(280, 300)}
    files = {}
    for segment, its in numbers.items():
        stored = originals(kind, len(its), D, rng)
        sums = [zlib.crc32(one.tobytes(), int(at)) for at, one in zip(its, stored, strict=True)]
        files[segment] = np.concatenate((stored, np.array(sums, dtype="<u4").view(np.uint8).reshape(-1, 4)), axis=1)
    everything = np.ascontiguousarray(np.concatenate([files[segment] for segment in numbers])[:, :-4])
    of_rows = np.concatenate(list(numbers.values()))
    queries = rng.standard_normal((5, D))
    queries = unit_length(queries) if metric == "cosine" else queries
    wanted = np.stack([rng.permutation(len(of_rows))[:30] for _ in queries])
    candidates = of_rows[wanted]
    candidates[2, 4:] = -1
    for threads, k in ((1, 1), (2, 12), (3, 31)):
        found = nearest_stored(kind, metric, files, rows, candidates, queries, k, threads)
        if kernels.name == "numpy":
            assert found is None
            return
        for q, query in enumerate(queries):
            mine = np.flatnonzero(candidates[q] >= 0)
            some = min(k, len(mine))
            expected = nearest_originals(kind, metric, everything, wanted[q, mine], candidates[q, mine], query, some)
            np.testing.assert_array_equal(found[0][q, :some].view(np.uint32), expected[0].view(np.uint32))
            np.testing.assert_array_equal(found[1][q, :some], expected[1])
            assert (found[1][q, some:] == -1).all()
            assert (found[0][q, some:] == (np.inf if metric == "l2" else -np.inf)).all()
    elsewhere = candidates.copy()
    elsewhere[1, 5] = 9 * rows
    assert nearest_stored(kind, metric, files, rows, elsewhere, queries, 3) is None
    elsewhere[1, 5] = 7 * rows + 20  # beyond the end of its file
    assert nearest_stored(kind, metric, files, rows, elsewhere, queries, 3) is None
    row = int(candidates[4, 9])
    files[row // rows] = files[row // rows].copy()
    files[row // rows][row % rows, 3] ^= 1
    assert nearest_stored(kind, metric, files, rows, candidates, queries, 3) is None
    assert nearest_stored(kind, metric, files, rows, candidates[:0], queries[:0], 3)[1].shape == (0, 3)


@pytest.mark.parametrize("metric", ["l2", "dot"])
def test_distances_beyond_float32(kernels, monkeypatch, metric: str) -> None:
    monkeypatch.setattr(originals_module, "active", lambda: kernels)
    stored = np.array([[3e38, -3e38], [1, 1], [-3e38, 3e38]], dtype=np.float32).view(np.uint8)
    query = np.array([-3e38, 3e38], dtype=np.float32).astype(np.float64)
    places = np.arange(3)
    distances, found = nearest_originals("float32", metric, stored, places, places, query, 3)
    reference = exact_distances(metric, stored.view(np.float32), query)
    np.testing.assert_array_equal(distances, reference[found])
    assert found.tolist() == ([2, 0, 1] if metric == "l2" else [2, 1, 0])


def test_every_half(kernels, monkeypatch) -> None:
    monkeypatch.setattr(originals_module, "active", lambda: kernels)
    halves = np.arange(65_536, dtype=np.uint16).view(np.float16)
    finite = np.sort(halves[np.isfinite(halves)])
    stored = finite[:, None].view(np.uint8)
    places = np.arange(len(finite))
    distances, _ = nearest_originals("float16", "dot", stored, places, places, np.array([1.0]), len(finite))
    np.testing.assert_array_equal(distances, finite[::-1].astype(np.float32))


@pytest.mark.parametrize("kind", ["float32", "float16", "int8"])
@pytest.mark.parametrize("D", [1, 7, 8, 9, 100, 387])
def test_decoding(kernels, monkeypatch, rng, kind: str, D: int) -> None:
    monkeypatch.setattr(originals_module, "active", lambda: kernels)
    stored = originals(kind, 61, D, rng)
    wide = np.concatenate((stored, np.zeros((61, 3), dtype=np.uint8)), axis=1)
    for given in (stored, wide[:, : stored.shape[1]], stored[:0], stored[::-2]):
        expected = decode_originals(kind, D, given)
        given.flags.writeable = False
        found = OriginalFormat(kind, D).decode(given)
        np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("count", [1, 7, 8, 1001])
def test_halves(kernels, monkeypatch, rng, count: int) -> None:
    monkeypatch.setattr(originals_module, "active", lambda: kernels)
    values = (rng.standard_normal((count, 3)) * 10.0 ** rng.uniform(-9, 4, (count, 3))).astype(np.float32)
    values.flat[0], values.flat[-1] = 65_519.9, 2.0**-25  # the last that are rounded to a finite one, and to zero
    halves, finite = as_halves(values)
    assert finite
    np.testing.assert_array_equal(halves.view(np.uint16), values.astype(np.float16).view(np.uint16))
    for place in (0, values.size // 2, values.size - 1):
        for large in (65_520.0, -1e30):
            beyond = values.copy()
            beyond.flat[place] = large
            halves, finite = as_halves(beyond)
            assert not finite
            assert np.isinf(halves.flat[place])


def test_what_does_not_fit_is_refused(kernels) -> None:
    if get(kernels.name).name == "numpy":
        pytest.skip("for the compiled module")
    stored, places = np.zeros((2, 8), np.uint8), np.array([0, 1])
    good = ("float32", "l2", stored, places, places, np.zeros(2), 2)
    assert nearest_originals(*good)[0].tolist() == [0, 0]
    for at, wrong in (
        (0, "float64"),
        (1, "l1"),
        (2, np.zeros((2, 9), np.uint8)),
        (3, np.array([0, 2])),
        (3, np.array([0, -1])),
        (4, np.array([0])),
        (6, 3),
    ):
        arguments = [*good]
        arguments[at] = wrong
        with pytest.raises(ValueError, match=r"."):
            nearest_originals(*arguments)
