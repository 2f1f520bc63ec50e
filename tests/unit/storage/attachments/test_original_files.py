"""Files of originals: none is left by a writer that died, none is taken from a reader."""

from __future__ import annotations

import os

import numpy as np

import pqstore
from tests.unit.index.contents import vectors


def test_killed_between_the_files_and_the_commit(tmp_path, small_pq) -> None:
    from pqstore.storage.disk.crash_points import observe

    path = tmp_path / "index"
    with pqstore.Index.create(path, small_pq, originals="int8") as filled:
        filled.add(vectors()[:50], payloads=[{"n": n} for n in range(50)])
    for point in ("originals written", "originals synced", "before commit"):
        pid = os.fork()
        if pid == 0:
            observe(lambda name, point=point: os._exit(7) if name == point else None)
            pqstore.Index.open(path).add(vectors()[100:200], payloads=[{"m": n} for n in range(100)])
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        with pqstore.Index.open(path) as filled:
            assert len(filled) == 50
            assert filled.verify(deep=True) == []
    with pqstore.Index.open(path) as filled:
        ids = filled.add(vectors()[200:300], payloads=[{"n": n} for n in range(100)])
        assert filled.verify(deep=True) == []
        assert [record.payload["n"] for record in filled.get(ids)] == list(range(100))


def test_a_view_outlives_removal_of_its_files(tmp_path, sift_pq, base) -> None:
    with pqstore.Index.create(tmp_path / "index", sift_pq, originals="int8") as filled:
        filled.add(base[:3000])
        with filled.snapshot() as view:
            filled.remove(np.arange(0, 3000, 2))
            filled.compact()
            filled.add(base[3000:4000])
            filled.compact()
            np.testing.assert_array_equal(view.get(4).vector, base[4])
            assert view.search(base[4], k=1, rerank=50).distances[0] == 0
        assert filled.verify(deep=True) == []
