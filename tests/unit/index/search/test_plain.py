"""Plain searches in one compiled call: same bits as the way of all searches, and never of another state."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.native import native_loops
from tests.forked import in_child

pytestmark = pytest.mark.skipif(native_loops() is None, reason="there is no compiled code, or it is not to be used")
KINDS = np.eye(8, dtype=np.float32)


@pytest.fixture(scope="module")
def pq() -> pqstore.PQ:
    sample = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    return pqstore.PQ(M=2, Ks=16, verbose=False).fit(sample, iter=2)


@pytest.fixture
def index(tmp_path: Path, pq: pqstore.PQ):
    """Three hundred vectors under ids in no order, of which many are equally near."""
    rng = np.random.default_rng(1)
    with pqstore.Index.create(tmp_path / "index", pq) as made:
        made.add(KINDS[rng.integers(0, 8, 300)], rng.permutation(1000)[:300])
        yield made


def plain(index: pqstore.Index, queries: np.ndarray, k: object = 10, threads: object = None) -> object:
    """The compiled search of a state that two searches have gone to before; None: it leaves the search to others."""
    for _ in range(2):
        index.search(queries, k=3)
    return index._plain.search(queries, k, threads)


def check_same(index: pqstore.Index, queries: np.ndarray, k: int, threads: int | None = None) -> None:
    found = plain(index, queries, k, threads)
    with index.snapshot() as snapshot:
        wanted = snapshot.search(queries, k=k)
    assert type(found) is pqstore.SearchResult
    for mine, others in zip(found, wanted, strict=True):
        assert mine.dtype == others.dtype
        assert mine.shape == others.shape
        assert mine.tobytes() == others.tobytes()
        assert mine.flags.writeable
    assert index._store._reference.shared()._active == {}


@pytest.mark.parametrize("metric", ["l2", "dot"])
@pytest.mark.parametrize("ids", ["automatic", "in no order"])
@pytest.mark.parametrize("k", [1, 7, 100])
def test_same_bits(ids: str, metric: str, k: int, pq: pqstore.PQ, tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4), "little")
    print("seed", seed)
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(300, 8)).astype(np.float32)
    vectors[200:] = vectors[rng.integers(0, 20, 100)]
    numbers = None if ids == "automatic" else rng.permutation(1000)[:300]
    with pqstore.Index.create(tmp_path / "index", pq, metric=metric) as index:
        given = index.add(vectors, numbers)
        index.remove(given[rng.permutation(300)[:50]])
        check_same(index, vectors[0], k)
        check_same(index, vectors[3:9] + np.float32(0.01), k, threads=2)


WAYS = [{}, {"scan": 60}, {"nprobe": 3}, {"rerank": 40}, {"rerank": 20, "scan": 90}, {"rerank": 30, "nprobe": "all"}]


def check_way(index: pqstore.Index, queries: np.ndarray, k: int, **way: object) -> None:
    """What compiled code finds is what others find; to them it leaves ties where ids are in no order."""
    with index.snapshot() as snapshot:
        wanted = snapshot.search(queries, k=k, **way)
    for _ in range(4):
        index.search(queries, k=k, **way)
    rerank, effort = way.get("rerank"), (way.get("nprobe"), way.get("scan"), way.get("recall"))
    found = index._plain.ranked(queries, k, None, rerank, effort)
    if found is None and not way:
        found = index._plain.search(queries, k, None)
    if found is None:
        assert not index._ask(lambda reading: reading.rows_follow_ids), way
        found = index.search(queries, k=k, **way)
    for mine, others in zip(found, wanted, strict=True):
        assert (mine.dtype, mine.shape) == (others.dtype, others.shape)
        assert mine.tobytes() == others.tobytes(), way
    assert index._store._reference.shared()._active == {}


@pytest.mark.parametrize("kind", ["PQ", "OPQ"])
@pytest.mark.parametrize("metric", ["l2", "dot", "cosine"])
@pytest.mark.parametrize("ids", ["automatic", "in no order"])
@pytest.mark.parametrize("lists", [False, True])
def test_same_bits_by_lists_and_re_ranked(lists: bool, ids: str, metric: str, kind: str, tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4), "little")
    print("seed", seed)
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(400, 8)).astype(np.float32)
    vectors[300:350] = vectors[:50]
    quantizer = getattr(pqstore, kind)(M=2, Ks=16, metric=metric, verbose=False).fit(vectors)
    with pqstore.Index.create(tmp_path / "index", quantizer, originals="float16") as index:
        given = index.add(vectors, None if ids == "automatic" else rng.permutation(1000)[:400])
        index.remove(given[rng.permutation(400)[:30]])
        if lists:
            index.partition(6)
            index.add(vectors[:20] + np.float32(0.1), None if ids == "automatic" else np.arange(2000, 2020))
        for way in WAYS:
            if lists or not {"scan", "nprobe"} & set(way):
                check_way(index, vectors[7] + np.float32(0.01), 5, **way)
                check_way(index, vectors[20:29] * np.float32(1.1), 5, **way)


def test_same_bits_at_a_recall(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(3000, 8)).astype(np.float32)
    quantizer = pqstore.PQ(M=4, Ks=16, verbose=False).fit(vectors, iter=2)
    with pqstore.Index.create(tmp_path / "index", quantizer, originals="float16") as index:
        index.add(vectors)
        index.partition(16)
        with pytest.warns(pqstore.FewQueriesWarning):
            index.calibrate(vectors[:60] + np.float32(0.05), recall=0.9, k=5)
        check_way(index, vectors[1] + np.float32(0.02), 5, recall=0.9)
        assert index._plain.ranked(vectors[1], 5, None, None, (None, None, 0.9)) is not None
        check_way(index, vectors[:9], 5, recall=0.8)
        check_way(index, vectors[:9], 5, rerank="auto")


def test_what_only_looks_alike_is_another_way(index: pqstore.Index) -> None:
    index.partition(4)
    check_way(index, KINDS[0], 1, scan=1)
    for wrong in (True, 1.0, [1], np.ones(1)):
        assert index._plain.ranked(KINDS[0], 1, None, None, (None, wrong, None)) is None
    with pytest.raises(TypeError):
        index.search(KINDS[0], k=1, scan=True)


def test_a_damaged_original_is_told(tmp_path: Path, pq: pqstore.PQ) -> None:
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(200, 8)).astype(np.float32)
    with pqstore.Index.create(tmp_path / "index", pq, originals="float16") as index:
        index.add(vectors)
        check_way(index, vectors[0], 3, rerank=50)
        (file,) = (tmp_path / "index").rglob("segment-*")
        content = bytearray(file.read_bytes())
        content[0] ^= 1
        with file.open("r+b") as changed:
            changed.write(content)
        assert index._plain.ranked(vectors[0], 3, None, 50, (None, None, None)) is None
        with pytest.raises(pqstore.CorruptIndexError, match="row 0"):
            index.search(vectors[0], k=3, rerank=50)


def test_a_zero_vector_has_no_direction(tmp_path: Path) -> None:
    vectors = np.random.default_rng(5).normal(size=(100, 8)).astype(np.float32)
    quantizer = pqstore.PQ(M=2, Ks=16, metric="cosine", verbose=False).fit(vectors, iter=2)
    with pqstore.Index.create(tmp_path / "index", quantizer, originals="float16") as index:
        index.add(vectors)
        check_way(index, vectors[0], 3, rerank=20)
        for wrong in (np.zeros(8, np.float32), np.full(8, np.nan, np.float32), np.zeros(7, np.float32)):
            with pytest.raises((pqstore.InvalidVectorError, pqstore.DimensionError)):
                index.search(wrong, k=3, rerank=20)


def test_more_places_than_rows(index: pqstore.Index) -> None:
    check_same(index, KINDS[0], 400)
    check_same(index, KINDS[:3], 400)
    index.clear()
    check_same(index, KINDS[0], 2)


def test_ties_that_a_deeper_scan_decides(pq: pqstore.PQ, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    with pqstore.Index.create(tmp_path / "index", pq) as index:
        index.add(KINDS[np.arange(90) % 8], rng.permutation(90))
        check_same(index, KINDS[0], 5)
        check_same(index, KINDS[:5], 5)
        index.add(KINDS[np.zeros(200, dtype=int)], rng.permutation(200) + 100)
        assert plain(index, KINDS[0], 5) is None, "all of them are equally near: others find the first by id"
        assert index.search(KINDS[0], k=5).ids.tolist() == sorted(index.search(KINDS[0], k=200).ids.tolist())[:5]


@pytest.mark.parametrize(
    ("queries", "k", "threads"),
    [
        (KINDS[0].tolist(), 10, None),
        (KINDS[0].astype(np.float64), 10, None),
        (KINDS[0].astype(">f4"), 10, None),
        (KINDS[:, 0][:7], 10, None),
        (np.zeros((8, 16), dtype=np.float32)[:, ::2], 10, None),
        (np.zeros((0, 8), dtype=np.float32), 10, None),
        (np.zeros((1, 1, 8), dtype=np.float32), 10, None),
        (np.full(8, np.nan, dtype=np.float32), 10, None),
        (np.full(8, 3e38, dtype=np.float32), 10, None),
        (np.ma.masked_array(KINDS[0]), 10, None),
        (np.frombuffer(b"\0" * 33, dtype=np.uint8)[1:].view(np.float32), 10, None),
        (KINDS[0], 0, None),
        (KINDS[0], -1, None),
        (KINDS[0], 2**70, None),
        (KINDS[0], True, None),
        (KINDS[0], np.int64(3), None),
        (KINDS[0], "3", None),
        (KINDS[0], 10, 0),
        (KINDS[0], 10, 2**40),
        (KINDS[0], 10, "2"),
    ],
)
def test_left_to_others(index: pqstore.Index, queries: object, k: object, threads: object) -> None:
    index.search(KINDS[0])
    index.search(KINDS[0])
    assert index._plain.search(queries, k, threads) is None
    assert index._store._reference.shared()._active == {}


def test_threads_of_the_environment(index: pqstore.Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PQSTORE_NUM_THREADS", "none")
    assert plain_after(index, monkeypatch) is None
    with pytest.raises(ValueError, match="PQSTORE_NUM_THREADS"):
        index.search(KINDS[0])
    assert index.search(KINDS[0], threads=1).ids.shape == (10,)


def plain_after(index: pqstore.Index, monkeypatch: pytest.MonkeyPatch) -> object:
    with monkeypatch.context() as usual:
        usual.delenv("PQSTORE_NUM_THREADS")
        index.search(KINDS[0])
        index.search(KINDS[0])
    return index._plain.search(KINDS[0], 10, None)


@pytest.mark.parametrize("kind", ["str ids", "cosine", "lists", "dim", "rows without a vector"])
def test_states_that_are_not_plain(kind: str, pq: pqstore.PQ, tmp_path: Path) -> None:
    arguments = {"str ids": {"id_type": "str"}, "cosine": {"metric": "cosine"}, "dim": {"dim": 8}}.get(kind, {})
    with pqstore.Index.create(tmp_path / "index", None if kind == "dim" else pq, **arguments) as index:
        index.add(KINDS, [f"n{n}" for n in range(8)] if kind == "str ids" else None)
        if kind == "lists":
            index.partition(2)
        if kind == "rows without a vector":
            index.add(None, payloads=[{"a": 1}])
        assert plain(index, KINDS[0]) is None
        assert index.search(KINDS[0], k=8).ids.shape == (8,)


def test_what_another_handle_commits_is_seen(index: pqstore.Index) -> None:
    assert plain(index, KINDS[0]) is not None
    with pqstore.Index.open(index.path) as other:
        (new,) = other.add(KINDS[:1] * 0.5, [5000])
    found = index._plain.search(KINDS[0] * 0.5, 300, None)
    assert found is None
    assert new in index.search(KINDS[0] * 0.5, k=301).ids
    check_same(index, KINDS[0], 10)


def test_what_another_process_commits_is_seen(index: pqstore.Index) -> None:
    assert plain(index, KINDS[0]) is not None
    program = "import sys, pqstore\nwith pqstore.Index.open(sys.argv[1]) as index:\n index.clear(); index.compact()"
    subprocess.run([sys.executable, "-c", program, str(index.path)], check=True)
    assert index._plain.search(KINDS[0], 10, None) is None
    assert index.search(KINDS[0]).ids.tolist() == [-1] * 10
    check_same(index, KINDS[0], 10)


def test_closed(index: pqstore.Index) -> None:
    plain(index, KINDS[0])
    search = index._plain.search
    index.close()
    assert search(KINDS[0], 10, None) is None
    with pytest.raises(pqstore.IndexClosedError):
        index.search(KINDS[0])


def test_forked(index: pqstore.Index) -> None:
    wanted = plain(index, KINDS[0])
    before = index._plain.search

    def in_the_child() -> None:
        assert before(KINDS[0], 10, None) is None, "the map of the parent"
        check_same(index, KINDS[0], 10)
        assert index.search(KINDS[0]).ids.tolist() == wanted.ids.tolist()

    assert in_child(in_the_child) == 0
    assert index.search(KINDS[0]).ids.tolist() == wanted.ids.tolist()


def test_compacted_here(index: pqstore.Index) -> None:
    wanted = plain(index, KINDS[0])
    index.compact()
    assert index._plain.search(KINDS[0], 10, None) is None
    assert index.search(KINDS[0]).ids.tolist() == wanted.ids.tolist()
    check_same(index, KINDS[0], 10)


def test_searches_beside_changes(index: pqstore.Index) -> None:
    """Threads search while others add, compact, and open and close handles: every answer is one of some state."""
    kept, stop, faults = set(index), threading.Event(), []

    def searching() -> None:
        try:
            while not stop.is_set():
                found = index.search(KINDS, k=5, threads=1)
                assert set(found.ids.ravel().tolist()) <= kept | set(range(2000, 2100))
                assert np.isfinite(found.distances).all()
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=searching) for _ in range(3)]
    for thread in threads:
        thread.start()
    for n in range(12):
        with pqstore.Index.open(index.path) as other:
            other.add(KINDS[n % 8], [2000 + n])
        if n % 4 == 3:
            index.compact()
    stop.set()
    for thread in threads:
        thread.join()
    assert not faults
    assert index._store._reference.shared()._active == {}
