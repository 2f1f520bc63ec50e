"""nanopq side by side: same names, same dtypes, same results."""

from __future__ import annotations

import inspect
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest

import pqstore.quantizer as ours
from pqstore.interop.nanopq import from_nanopq, load_nanopq_pickle
from tests.effort import tries

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # nanopq imports faiss where it is installed
    nanopq = pytest.importorskip("nanopq")

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "data"


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.load(EXAMPLES / "train.npy")[:4000].astype(np.float32)


@pytest.fixture(scope="module", params=[("PQ", "l2"), ("PQ", "dot"), ("OPQ", "l2"), ("OPQ", "dot")])
def pair(request: pytest.FixtureRequest, x: np.ndarray) -> tuple:
    """(theirs, ours) with the same codewords and rotation."""
    kind, metric = request.param
    mine = getattr(ours, kind)(8, 64, metric, verbose=False).fit(x, 5) if kind == "PQ" else None
    if mine is None:
        mine = ours.OPQ(8, 64, metric, verbose=False).fit(x, pq_iter=5, rotation_iter=3)
    theirs = getattr(nanopq, kind)(8, 64, metric, verbose=False)
    inner = theirs if kind == "PQ" else theirs.pq
    inner.codewords, inner.Ds = mine.codewords, mine.Ds
    if kind == "OPQ":
        theirs.R = mine.R
    return theirs, mine


@pytest.mark.parametrize("kind", ["PQ", "OPQ", "DistanceTable"])
def test_every_public_name_is_there(kind: str) -> None:
    theirs, mine = getattr(nanopq, kind), getattr(ours, kind)
    names = [name for name in dir(theirs) if not name.startswith("_")]
    assert set(names) <= set(dir(mine))
    for name in ["__init__", *names]:
        method = getattr(theirs, name)
        if inspect.isfunction(method):
            wanted = inspect.signature(method).parameters
            given = inspect.signature(getattr(mine, name)).parameters
            assert list(given)[: len(wanted)] == list(wanted), f"{kind}.{name}"
            assert [given[p].default for p in wanted] == [p.default for p in wanted.values()], f"{kind}.{name}"


def test_attributes(pair: tuple) -> None:
    theirs, mine = pair
    for name in ("M", "Ks", "verbose", "code_dtype", "Ds"):
        assert getattr(mine, name) == getattr(theirs, name), name
    np.testing.assert_array_equal(mine.codewords, theirs.codewords)


def test_codes_are_equal_up_to_ties(pair: tuple, x: np.ndarray) -> None:
    theirs, mine = pair
    wanted, given = theirs.encode(x), mine.encode(x)
    assert given.dtype == wanted.dtype
    assert given.shape == wanted.shape
    ready = x if isinstance(mine, ours.PQ) else mine.rotate(x)
    for row, m in np.argwhere(wanted != given):
        part = ready[row, m * 16 : m * 16 + 16].astype(np.float64)
        distances = ((part - mine.codewords[m].astype(np.float64)) ** 2).sum(axis=1)
        assert distances[given[row, m]] == pytest.approx(distances[wanted[row, m]], rel=1e-5)


def test_decode(pair: tuple, x: np.ndarray) -> None:
    theirs, mine = pair
    codes = mine.encode(x[:100])
    wanted, given = theirs.decode(codes), mine.decode(codes)
    assert given.dtype == wanted.dtype
    np.testing.assert_allclose(given, wanted, rtol=1e-5, atol=1e-3)
    if isinstance(mine, ours.PQ):
        np.testing.assert_array_equal(given, wanted)


def test_dtable_and_adist(pair: tuple, x: np.ndarray) -> None:
    theirs, mine = pair
    codes = mine.encode(x)
    wanted, given = theirs.dtable(x[7]), mine.dtable(x[7])
    assert given.dtable.dtype == wanted.dtable.dtype
    largest = np.abs(wanted.dtable).max()
    np.testing.assert_allclose(given.dtable, wanted.dtable, rtol=1e-5, atol=1e-5 * largest)
    # The same table: the same bits.
    np.testing.assert_array_equal(ours.DistanceTable(wanted.dtable).adist(codes), wanted.adist(codes))
    assert given.adist(codes).dtype == wanted.adist(codes).dtype


def test_rotate(pair: tuple, x: np.ndarray) -> None:
    theirs, mine = pair
    if isinstance(mine, ours.OPQ):
        for vectors in (x, x[0]):
            wanted, given = theirs.rotate(vectors), mine.rotate(vectors)
            assert given.dtype == wanted.dtype
            np.testing.assert_allclose(given, wanted, rtol=1e-5, atol=1e-3)


def test_training_is_as_good(x: np.ndarray) -> None:
    def error(quantizer: object) -> float:
        return float(((quantizer.decode(quantizer.encode(x)) - x) ** 2).sum(axis=1).mean())

    x = x[:2000]
    # Two starts of the same algorithm: neither is better but by chance.
    assert error(ours.PQ(8, 32, verbose=False).fit(x)) < 1.02 * error(nanopq.PQ(8, 32, verbose=False).fit(x))
    # Codewords carried from rotation to rotation: at most nanopq's error.
    for settings in ({"pq_iter": 5, "rotation_iter": 4}, {})[: tries(1, 2)]:
        mine = ours.OPQ(8, 32, verbose=False).fit(x, **settings)
        theirs = nanopq.OPQ(8, 32, verbose=False).fit(x, **settings)
        assert error(mine) <= error(theirs)


def test_their_arrays_can_be_set_here(x: np.ndarray) -> None:
    theirs = nanopq.OPQ(8, 32, verbose=False).fit(x, pq_iter=2, rotation_iter=2)
    mine = ours.OPQ(8, 32, verbose=False)
    mine.codewords, mine.R = theirs.codewords, theirs.R
    assert (mine.encode(x) == theirs.encode(x)).mean() > 0.9999


@pytest.mark.parametrize("kind", ["PQ", "OPQ"])
def test_their_objects_and_pickles_become_ours(kind: str, x: np.ndarray, tmp_path: Path) -> None:
    theirs = getattr(nanopq, kind)(8, 32, "dot" if kind == "PQ" else "l2", verbose=False)
    theirs.fit(x, **({"iter": 2} if kind == "PQ" else {"pq_iter": 2, "rotation_iter": 2}))
    mine = from_nanopq(theirs)
    assert (mine.kind, mine.metric) == (kind, "dot" if kind == "PQ" else "l2")
    assert (mine.encode(x) == theirs.encode(x)).mean() > 0.9999
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "q.pkl").write_bytes(pickle.dumps(theirs, protocol))
        assert load_nanopq_pickle(tmp_path / "q.pkl") == mine
