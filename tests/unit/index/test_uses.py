"""What is in use is closed by its last user; what is being closed begins no other use."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.index.uses import Uses
from tests.effort import tries


def test_the_last_user_closes() -> None:
    closed: list[str] = []
    uses = Uses(lambda: closed.append("closed"))
    with uses, uses:
        uses.close()
        uses.close()
        assert closed == []
        with pytest.raises(pqstore.IndexClosedError), uses:
            pass
    assert closed == ["closed"]
    uses.close()
    assert closed == ["closed"]


def test_a_failing_use_ends_too() -> None:
    closed: list[str] = []
    uses = Uses(lambda: closed.append("closed"))
    with pytest.raises(ZeroDivisionError), uses:
        raise ZeroDivisionError
    uses.close()
    assert closed == ["closed"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("uses") / "index"
    x = np.random.default_rng(0).standard_normal((60_000, 8)).astype(np.float32)
    pq = pqstore.PQ(M=8, Ks=256, verbose=False).fit(x[:2000], iter=2)
    with pqstore.Index.create(path, pq, originals="float16", fields=["n"]) as index:
        index.add(x, payloads=[{"n": n % 7} for n in range(len(x))])
    return path


Q = np.random.default_rng(1).standard_normal((40, 8)).astype(np.float32)
CALLS = {
    "search": lambda view: view.search(Q, k=10, threads=1),
    "search exactly": lambda view: view.search(Q[0], k=10, rerank=200, where={"n": 3}, include=("payload", "vector")),
    "range search": lambda view: view.range_search(Q[:3], 1.0, rerank=100),
    "scroll": lambda view: view.scroll({"n": 2}, limit=2000, include=("payload", "vector")),
    "iterate": lambda view: (list(view), list(view.iter_codes(5000))),
    "get": lambda view: (view.get(list(range(0, 3000, 7))), view.codes([5]), view.reconstruct([7])),
    "measure": lambda view: view.recall_report(Q, (50,)),
}


@pytest.mark.parametrize("call", CALLS)
def test_closing_while_others_read(place: Path, call: str) -> None:
    """The process died: the file was unmapped under a scan that had let go of the interpreter's lock."""
    ends = time.monotonic() + tries(1, 60)
    rounds = 0
    while rounds == 0 or time.monotonic() < ends:
        index = pqstore.Index.open(place)
        view = index.snapshot()
        errors: list[BaseException] = []
        started = threading.Barrier(3)

        def read(view: pqstore.index.SnapshotView = view, errors: list[BaseException] = errors) -> None:
            started.wait()  # noqa: B023 - of this round
            try:
                for _ in range(1000):
                    CALLS[call](view)
            except pqstore.IndexClosedError as error:
                errors.append(error)

        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        started.wait()
        time.sleep(0.01 * (rounds % 4))
        view.close()
        index.close()
        for thread in threads:
            thread.join()
        assert len(errors) == 2
        rounds += 1


def test_an_iterator_that_is_left_does_not_keep_a_snapshot_open(place: Path) -> None:
    with pqstore.Index.open(place) as index:
        view = index.snapshot()
        ids, blocks = iter(view), view.iter_codes(1000)
        next(ids), next(blocks)
        view.close()
        assert index.stats().readers == 0
        with pytest.raises(pqstore.IndexClosedError):
            next(blocks)
        with pytest.raises(pqstore.IndexClosedError):
            list(ids)
