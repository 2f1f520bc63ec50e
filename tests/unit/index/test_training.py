"""From exact to codes in one step, and from codes to others: nothing else changes, whatever happens on the way."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.errors import StorageFullError, TrainingError
from pqstore.index.training_work import TrainingWork
from pqstore.storage.disk import crash_points
from pqstore.storage.upkeep import rebuilding
from pqstore.storage.upkeep.rebuilt_copy import RebuiltCopy

D, N = 16, 600
ROOT = Path(__file__).parents[3]


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(5).standard_normal((N, D)).astype(np.float32)


def small(**options: object) -> dict[str, object]:
    """Settings of an index that trains itself at 300 vectors."""
    return {"quantizer": pqstore.PQ(M=4, Ks=16, verbose=False), "dim": D, "train_at": 300, **options}


def leftovers(index: Path) -> list[str]:
    return [entry.name for entry in index.iterdir() if "unfinished" in entry.name or "rebuilding" in entry.name]


@pytest.mark.parametrize("metric", ["l2", "dot", "cosine"])
@pytest.mark.parametrize("originals", ["float16", "int8", "float32", None])
def test_the_add_that_passes_the_threshold(
    tmp_path: Path, vectors: np.ndarray, metric: str, originals: str | None
) -> None:
    with pqstore.Index.create(tmp_path / "i", **small(metric=metric, originals=originals, fields=["n"])) as index:
        index.add(vectors[:299], payloads=[{"n": n} for n in range(299)])
        index.save_set("odd", range(1, 299, 2))
        index.remove(range(5))
        assert index.phase == "exact"
        version = index.stats().commits
        with index.snapshot() as snapshot:
            exact = index.search(vectors[:9], k=3)
            index.add(vectors[299:310])
            assert index.phase == "codes"
            assert index.stats().trained_on == 305
            assert index.stats().commits > version
            again = snapshot.search(vectors[:9], k=3)
            assert (again.ids.tolist(), again.distances.tobytes()) == (exact.ids.tolist(), exact.distances.tobytes())
        assert index.stats().faults == ()
        assert index.originals == originals
        assert index.add(vectors[310:311]).tolist() == [310]  # automatic ids go on
        assert len(index) == 306
        assert sorted(index) == [*range(5, 311)]
        assert index.count({"n": {"$lt": 10}}) == 5
        assert index.sets == {"odd": 149}
        assert index.get(7).payload == {"n": 7}
        assert index.verify(deep=True) == []
        expected = exact.ids.tolist()
        if originals is not None:  # re-ranked by default, and by so many candidates that nothing is missed here
            found = index.search(vectors[:9], k=3).ids.tolist()
            assert index.search(vectors[:9], k=3, rerank=100).ids.tolist() == found
            assert np.mean([set(a) == set(b) for a, b in zip(found, expected, strict=True)]) > 0.5
        codes = index.search(vectors[:9], k=3, rerank=0)
        assert codes.ids.shape == (9, 3)
    with pqstore.Index.open(tmp_path / "i") as index:
        assert index.phase == "codes"
        assert index.search(vectors[:9], k=3, rerank=0).ids.tolist() == codes.ids.tolist()


def test_another_handle_follows(tmp_path: Path, vectors: np.ndarray) -> None:
    """A handle that was opened before the training searches codes after it, and adds to them."""
    with (
        pqstore.Index.create(tmp_path / "i", **small(train="manual")) as index,
        pqstore.Index.open(tmp_path / "i") as other,
    ):
        index.add(vectors[:400])
        assert other.search(vectors[3], k=1).ids.tolist() == [3]
        assert index.train()
        assert not index.train()
        other.add(vectors[400:402])  # prepared for an index that was exact when this handle last looked
        assert other.phase == "codes"
        assert other.search(vectors[401], k=1).ids.tolist() == [401]
        assert index.search(vectors[401], k=1).ids.tolist() == [401]
        assert other.verify(deep=True) == []


def test_a_process_trains_between_two_calls_of_another(tmp_path: Path, vectors: np.ndarray) -> None:
    with pqstore.Index.create(tmp_path / "i", **small(train="manual")) as index:
        index.add(vectors[:400])
        code = "import pqstore, sys; index = pqstore.Index.open(sys.argv[1]); assert index.train()"
        subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "i")], cwd=ROOT, check=True)
        index.add(iter([vectors[400:401], vectors[401:402]]))
        assert index.search(vectors[401], k=1).ids.tolist() == [401]
        assert index.phase == "codes"


def test_in_the_background(tmp_path: Path, vectors: np.ndarray) -> None:
    with pqstore.Index.create(tmp_path / "i", **small(train="background")) as index:
        for start in range(0, 500, 20):
            index.add(vectors[start : start + 20])
        for thread in threading.enumerate():
            if thread.name.startswith("pqstore "):
                thread.join(60)
        assert index.phase == "codes"
        assert sorted(index) == [*range(500)]
        assert index.verify(deep=True) == []


def test_manual_and_never(tmp_path: Path, vectors: np.ndarray) -> None:
    for name, settings in (("a", small(train="manual")), ("b", small(train_at=None))):
        with pqstore.Index.create(tmp_path / name, **settings) as index:
            index.add(vectors)
            assert index.phase == "exact"


def test_the_transaction_that_passes_the_threshold(tmp_path: Path, vectors: np.ndarray) -> None:
    """Who writes by transactions alone waited for ever."""
    with pqstore.Index.create(tmp_path / "i", **small()) as index:
        with index.transaction() as txn:
            txn.add(vectors)
            assert index.phase == "exact"
        assert index.phase == "codes"


def test_the_quantizer_that_is_chosen(tmp_path: Path, vectors: np.ndarray) -> None:
    with pqstore.Index.create(tmp_path / "i", dim=D, train_at=400) as index:
        index.add(vectors)
        assert (index.quantizer.kind, index.quantizer.M, index.quantizer.Ks) == ("PQ", 2, 256)
        assert index.quantizer.is_trained


@pytest.mark.parametrize("kind", [pqstore.PQ, pqstore.OPQ])
def test_train_with_another_quantizer(tmp_path: Path, vectors: np.ndarray, kind: type) -> None:
    with pqstore.Index.create(tmp_path / "i", **small(train="manual")) as index:
        index.add(vectors)
        wanted = kind(M=8, Ks=16, verbose=False)
        index.train(wanted, sample=200)
        assert not wanted.is_trained  # the caller's own
        assert (index.quantizer.kind, index.quantizer.M) == (kind.__name__, 8)


def test_too_few_vectors(tmp_path: Path, vectors: np.ndarray) -> None:
    with pqstore.Index.create(tmp_path / "i", **small(train_at=8)) as index:
        index.add(vectors[:8])  # passes the threshold, and cannot be trained on
        assert index.phase == "exact"
        assert len(index) == 8
        assert any("16 codewords" in fault for fault in index.stats().faults)
        with pytest.raises(TrainingError, match="8 vectors, and 16 codewords"):
            index.train()
        with pytest.raises(TrainingError, match="does not divide"):
            index.train(pqstore.PQ(M=5))
        with pytest.raises(TypeError):
            index.train("PQ")
        with pytest.raises(TypeError):
            index.train(sample=True)
        with pytest.raises(pqstore.DimensionError, match="dimension 8, the index has 16"):
            index.train(pqstore.PQ(M=4, Ks=16, verbose=False).fit(vectors[:, :8]))
        index.add(vectors[8:40])
        index.add(vectors[40:41])
        index.add(vectors[41:42])
        assert index.phase == "codes"


@pytest.mark.parametrize("same", ["constant", "two"])
def test_vectors_that_are_all_the_same(tmp_path: Path, same: str) -> None:
    vectors = np.ones((N, D), dtype=np.float32)
    vectors[: N // 2] *= 1 if same == "constant" else -1
    with pqstore.Index.create(tmp_path / "i", **small()) as index:
        index.add(vectors)
        assert index.phase == "codes"
        assert index.search(vectors[0], k=1).distances.tolist() == [0.0]
        assert index.stats().drift is None or index.stats().drift >= 0


def test_drift_of_a_few_vectors_again_and_again(tmp_path: Path, vectors: np.ndarray) -> None:
    """Their codes describe them to the last digit, originals do not: that they are rounded is no drift."""
    for metric in ("l2", "cosine"):
        for kind in (pqstore.PQ, pqstore.OPQ):
            wish = kind(M=4, Ks=16, verbose=False)
            with pqstore.Index.create(tmp_path / f"{metric}-{kind.__name__}", wish, dim=D, metric=metric) as index:
                index.add(np.repeat(vectors[:3], 200, axis=0))
                index.train()
                assert index.stats().drift == pytest.approx(1, abs=0.01)


def test_values_beyond_float16_are_kept_as_float32(tmp_path: Path, vectors: np.ndarray) -> None:
    with pqstore.Index.create(tmp_path / "i", **small()) as index:
        index.add(vectors * 1e6)
        assert (index.phase, index.originals) == ("codes", "float32")


@pytest.mark.parametrize("point", ["index rebuilt beside", "generation switched", "old generation marked"])
@pytest.mark.parametrize("retraining", [False, True])
def test_killed_while_training(tmp_path: Path, vectors: np.ndarray, point: str, retraining: bool) -> None:
    """The index is the one or the other, whole."""
    with pqstore.Index.create(tmp_path / "i", **small(train="manual")) as index:
        index.add(vectors, payloads=[{"n": n} for n in range(N)])
        if retraining:
            index.train()
        before = index.search(vectors[:20], k=5, rerank=0)
    code = """
    import os, signal, sys
    import pqstore
    from pqstore.storage.disk import crash_points
    index = pqstore.Index.open(sys.argv[1])
    def die(name):
        if name == sys.argv[2]:
            os.kill(os.getpid(), signal.SIGKILL)
    crash_points.observe(die)
    index.retrain(pqstore.PQ(M=8, Ks=16, verbose=False)) if sys.argv[3] == "True" else index.train()
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "i"), point, str(retraining)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -9
    with pqstore.Index.open(tmp_path / "i") as index:
        assert index.verify(deep=True) == []
        assert len(index) == N
        assert index.get(5).payload == {"n": 5}
        switched = point != "index rebuilt beside"
        if switched:
            assert (index.phase, index.quantizer.M) == ("codes", 8 if retraining else 4)
        else:
            assert index.search(vectors[:20], k=5, rerank=0).ids.tolist() == before.ids.tolist()
        index.add(vectors[:1])
        index.retrain() if index.phase == "codes" else index.train()
        assert index.verify(deep=True) == []
    assert [
        entry.name for entry in (tmp_path / "i").iterdir() if "unfinished" in entry.name or "rebuilding" in entry.name
    ] == []


KILLED = """
import os, signal, sys
import pqstore
from pqstore.storage.disk import crash_points
index = pqstore.Index.open(sys.argv[1])
left = int(sys.argv[3])
def die(name):
    global left
    left -= name == sys.argv[2]
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
crash_points.observe(die)
index.retrain(pqstore.PQ(M=8, Ks=16, verbose=False), sample=400)
"""


def killed_in_retraining(path: Path, point: str, occurrence: int = 1) -> None:
    command = [sys.executable, "-c", KILLED, str(path), point, str(occurrence)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -9


@pytest.mark.parametrize(
    "point", ["rows rebuilt", "list table written", "lists switched", "index rebuilt beside", "generation switched"]
)
def test_lists_come_with_the_switch(tmp_path: Path, vectors: np.ndarray, point: str) -> None:
    """A crash between the switch and the lists that were made after it left an index without lists."""
    with pqstore.Index.create(tmp_path / "i", **small()) as index:
        index.add(np.concatenate([vectors] * 120))  # more than a segment, so that there are lists
        index.partition(7)
    killed_in_retraining(tmp_path / "i", point)
    with pqstore.Index.open(tmp_path / "i") as index:
        assert index.verify(deep=True) == []
        assert index.stats().lists.partitions == 7
        wanted = 8 if point == "generation switched" else 4
        assert (index.quantizer.kind, index.quantizer.M) == ("PQ", wanted)
        index.retrain(pqstore.PQ(M=8, Ks=16, verbose=False), sample=400)
        assert index.stats().lists.partitions == 7
        assert index.verify(deep=True) == []
        assert index.search(vectors[0], k=1, nprobe=1, explain=True).plan.lists.partitions == 7


def test_lists_that_are_made_or_dropped_meanwhile(tmp_path: Path, vectors: np.ndarray) -> None:
    with pqstore.Index.create(tmp_path / "i", **small()) as index:
        index.add(vectors)
        wanted: list[int | None] = [5, None, 3]

        def meanwhile(step: pqstore.ProgressStep) -> None:
            if step.stage == "encoding" and wanted:
                index.partition(wanted.pop(0))

        for left in (5, None, 3):
            index.retrain(progress=meanwhile)
            lists = index.stats().lists
            assert (None if lists is None else lists.partitions) == left
        index.remove(range(2, N))
        index.retrain(pqstore.PQ(M=2, Ks=2, verbose=False))  # for fewer rows than there were lists
        assert index.verify(deep=True) == []


def test_a_killed_retraining_is_gone_on_with(
    tmp_path: Path, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The codebook is not trained again, and what was encoded is not encoded again."""
    many = np.random.default_rng(2).standard_normal((140_000, D)).astype(np.float32)
    with pqstore.Index.create(tmp_path / "i", **small(train_at=1000)) as index:
        index.add(many)
        index.remove(range(10))
    killed_in_retraining(tmp_path / "i", "rows rebuilt")
    with pqstore.Index.open(tmp_path / "i") as index:
        assert index.quantizer.M == 4
        index.upsert(vectors[:30], ids=range(100, 130))
        steps: list[pqstore.ProgressStep] = []
        index.retrain(pqstore.PQ(M=8, Ks=16, verbose=False), sample=400, progress=steps.append)
        assert [step.stage for step in steps] == ["encoding"]
        assert index.quantizer.M == 8
        assert index.verify(deep=True) == []
        assert sorted(index) == [*range(10, 140_000)]
        assert index.get(100).vector.tolist() == pytest.approx(vectors[0].tolist(), rel=1e-2)
        found = index.search(many[50_000], k=1)
        assert found.ids.tolist() == [50_000]
        stored = np.stack([record.vector for record in index.get([500, 139_999])])
        np.testing.assert_array_equal(index.codes([500, 139_999]), index.quantizer.encode(stored))


def test_a_full_disk_leaves_the_index_exact(
    tmp_path: Path, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(name: str) -> None:
        if name == "index rebuilt beside":
            raise StorageFullError("no room")

    with pqstore.Index.create(tmp_path / "i", **small()) as index:
        crash_points.observe(full)
        try:
            index.add(vectors)
        finally:
            crash_points.observe(None)
        assert (index.phase, len(index)) == ("exact", N)
        assert any("no room" in fault for fault in index.stats().faults)
        assert index.search(vectors[3], k=1).ids.tolist() == [3]
        index.add(vectors[:1])
        assert index.phase == "codes"


def test_retrain(tmp_path: Path, vectors: np.ndarray) -> None:
    with pqstore.Index.create(tmp_path / "i", **small(fields=["n"])) as index:
        index.add(vectors, payloads=[{"n": n % 5} for n in range(N)])
        index.save_set("some", [1, 2])
        index.partition(4)
        index.retrain(pqstore.OPQ(M=8, Ks=32, verbose=False), sample=400)
        assert (index.quantizer.kind, index.quantizer.M, index.quantizer.Ks) == ("OPQ", 8, 32)
        assert (len(index), index.count({"n": 1}), index.sets) == (N, N // 5, {"some": 2})
        assert index.stats().lists.partitions == 4
        assert index.verify(deep=True) == []
        found = index.search(vectors[:50], k=1)
        assert (found.ids[:, 0] == np.arange(50)).mean() > 0.9
    with pqstore.Index.open(tmp_path / "i", readonly=True) as index, pytest.raises(pqstore.ReadOnlyError):
        index.retrain()


@pytest.mark.parametrize("began", ["exact", "codes"])
def test_others_write_meanwhile(tmp_path: Path, vectors: np.ndarray, began: str) -> None:
    """Rows that come, go, change and move between the first look and the switch, and sets, fields and compactions."""
    with pqstore.Index.create(tmp_path / "i", **small(train="manual", fields=["n"])) as index:
        index.add(vectors[:500], payloads=[{"n": n} for n in range(500)])
        if began == "codes":
            index.train()
        other = pqstore.Index.open(tmp_path / "i")
        done = []

        def meanwhile(step: pqstore.ProgressStep) -> None:
            if step.stage != "encoding" or done:
                return
            done.append(step)
            other.add(vectors[500:], payloads=[{"n": n} for n in range(500, N)])
            other.remove(range(10))
            other.upsert(-vectors[20:25], ids=range(20, 25), payloads=[{"n": 0}] * 5)
            other.update_payload(30, {"m": 1})
            other.save_set("late", [1, 40])
            other.create_field_index("m")
            other.compact()
            other.remove([599])

        if began == "codes":
            index.retrain(progress=meanwhile)
        else:
            assert index.train(progress=meanwhile)
        other.add(vectors[:1], ids=[1000])
        assert done
        for handle in (index, other):
            assert handle.phase == "codes"
            assert sorted(handle) == [*range(10, 599), 1000]
            assert handle.get(22).vector.tolist() == pytest.approx((-vectors[22]).tolist(), rel=1e-2)
            assert handle.get(30).payload == {"n": 30, "m": 1}
            assert handle.count({"m": 1}) == 1
            assert handle.count({"n": 0}) == 5
            assert handle.sets == {"late": 2}
            assert handle.fields == ("n", "m")
            assert handle.verify(deep=True) == []
        other.close()


def test_writers_and_training_at_once(tmp_path: Path, vectors: np.ndarray) -> None:
    """Nothing that was acknowledged is lost, and nothing comes twice."""
    with pqstore.Index.create(tmp_path / "i", **small(train="manual")) as index:
        index.add(vectors[:300])
        stop, removed, failures = threading.Event(), [], []

        def write() -> None:
            rng = np.random.default_rng(0)
            try:
                with pqstore.Index.open(tmp_path / "i") as mine:
                    while not stop.is_set():
                        gone = rng.choice(mine.add(vectors[:7]), 3, replace=False)
                        mine.remove(gone)
                        removed.extend(gone.tolist())
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            index.train()
            for M in (2, 8):
                index.retrain(pqstore.PQ(M=M, Ks=16, verbose=False))
        finally:
            stop.set()
            thread.join()
        assert failures == []
        assert index.verify(deep=True) == []
        ids = list(index)
        assert len(ids) == len(set(ids)) == 300 + 4 * (len(removed) // 3)
        assert not set(ids) & set(removed)


def test_two_trainings_at_once(tmp_path: Path, vectors: np.ndarray) -> None:
    with pqstore.Index.create(tmp_path / "i", **small(train="manual")) as index:
        index.add(vectors)
        other, done = pqstore.Index.open(tmp_path / "i"), []

        def meanwhile(step: pqstore.ProgressStep) -> None:
            if step.stage == "encoding" and not done:
                done.append(other.train())

        assert not index.train(progress=meanwhile)
        assert done == [True]

        def again(step: pqstore.ProgressStep) -> None:
            if step.stage == "encoding" and len(done) == 1:
                done.append(True)
                other.retrain(pqstore.PQ(M=8, Ks=16, verbose=False))

        with pytest.raises(pqstore.PQStoreError, match="rebuilt meanwhile"):
            index.retrain(progress=again)
        assert index.quantizer.M == 8
        assert index.verify(deep=True) == []
        other.close()


def test_retrain_needs_originals(tmp_path: Path, vectors: np.ndarray) -> None:
    with pqstore.Index.create(tmp_path / "i", **small(originals=None)) as index:
        with pytest.raises(TrainingError, match="not trained yet"):
            index.retrain()
        index.add(vectors)
        with pytest.raises(TrainingError, match="keeps no vectors"):
            index.retrain()
        assert index.search(vectors[0], k=1).ids.shape == (1,)


def test_an_index_that_was_given_a_trained_quantizer(tmp_path: Path, small_pq: pqstore.PQ) -> None:
    """It re-ranks when it is told to, before and after."""
    some = np.random.default_rng(1).standard_normal((400, small_pq.D)).astype(np.float32)
    with pqstore.Index.create(tmp_path / "i", small_pq, originals="float32") as index:
        index.add(some)
        index.retrain()
        plain, coded = index.search(some[:5], k=3), index.search(some[:5], k=3, rerank=0)
        assert plain.distances.tobytes() == coded.distances.tobytes()


def test_bulk(tmp_path: Path, vectors: np.ndarray) -> None:
    with pqstore.Index.create(tmp_path / "i", bulk=True, **small()) as index:
        index.add(vectors)
        assert index.phase == "codes"
    with pqstore.Index.open(tmp_path / "i") as index:
        assert len(index) == N
        assert index.verify(deep=True) == []


def test_progress_that_raises_changes_nothing(tmp_path: Path, vectors: np.ndarray) -> None:
    with pqstore.Index.create(tmp_path / "i", **small(train="manual")) as index:
        index.add(vectors)
        steps: list[pqstore.ProgressStep] = []

        def stop(step: pqstore.ProgressStep) -> None:
            steps.append(step)
            if step.stage == "encoding":
                raise InterruptedError

        with pytest.raises(InterruptedError):
            index.train(progress=stop)
        assert index.phase == "exact"
        assert {step.stage for step in steps} == {"k-means", "encoding"}
        assert [
            entry.name
            for entry in (tmp_path / "i").iterdir()
            if "unfinished" in entry.name or "rebuilding" in entry.name
        ] == []
        assert index.train()


def test_all_vectors_are_removed_meanwhile(tmp_path: Path, vectors: np.ndarray) -> None:
    with pqstore.Index.create(tmp_path / "i", **small(train="manual")) as index:
        index.add(vectors)

        def clear(step: pqstore.ProgressStep) -> None:
            if step.stage == "k-means":
                index.clear()

        assert index.train(progress=clear)
        assert (index.stats().trained_on, len(index)) == (N, 0)
        index.add(vectors)
        assert index.stats().drift == pytest.approx(1, abs=0.1)
    with pqstore.Index.open(tmp_path / "i") as index:
        assert (index.phase, len(index)) == ("codes", N)


def test_an_empty_index_takes_a_trained_quantizer(tmp_path: Path, small_pq: pqstore.PQ) -> None:
    with pqstore.Index.create(tmp_path / "i", dim=small_pq.D) as index:
        assert index.train(small_pq)
        assert (index.phase, len(index), index.verify(deep=True)) == ("codes", 0, [])


def test_two_retrainings_to_the_same_quantizer_at_once(tmp_path: Path, vectors: np.ndarray) -> None:
    quantizer = pqstore.PQ(M=8, Ks=16, verbose=False).fit(vectors)
    with pqstore.Index.create(tmp_path / "i", **small()) as index:
        index.add(vectors)
        index.retrain(quantizer)
        index.update_payload(range(N), {"n": 1})  # rows that are dead now, and the same vectors in the same order
        other, done = pqstore.Index.open(tmp_path / "i"), []

        def meanwhile(step: pqstore.ProgressStep) -> None:
            if step.stage == "encoding" and not done:
                done.append(True)
                other.retrain(quantizer)
                other.add(vectors[:5])

        with pytest.raises(pqstore.PQStoreError, match="rebuilt meanwhile"):
            index.retrain(quantizer, progress=meanwhile)
        assert len(index) == N + 5
        assert index.verify(deep=True) == []
        other.close()


@pytest.mark.parametrize("id_type", ["int64", "str"])
def test_scrolling_goes_on_over_trainings(tmp_path: Path, vectors: np.ndarray, id_type: str) -> None:
    """A rebuilt index listed its str ids in another order: of 1,000, pages showed 336 twice and left 218 out."""
    ids = np.arange(N) if id_type == "int64" else np.array([f"k{number}" for number in range(N)], dtype=object)
    with pqstore.Index.create(tmp_path / "index", dim=vectors.shape[1], id_type=id_type, train="manual") as index:
        index.add(vectors, ids)
        seen: list[object] = []
        page = index.scroll(limit=50)
        while page.records:
            seen += [record.id for record in page.records]
            if len(seen) == 150:
                index.train()
            if len(seen) == 300:
                index.retrain()
                index.remove(seen[:2])
                index.compact()
            if page.after is None:
                break
            page = index.scroll(limit=50, after=page.after)
        assert len(seen) == N
        assert set(seen) == set(ids.tolist())


@pytest.mark.parametrize("originals", ["float16", "int8", "float32"])
def test_retraining_keeps_originals_bit_by_bit(tmp_path: Path, vectors: np.ndarray, originals: str) -> None:
    with pqstore.Index.create(tmp_path / "i", **small(originals=originals)) as index:
        index.add(vectors * 3.7)
        before = [record.vector.tobytes() for record in index.get(range(N))]
        index.retrain(pqstore.PQ(M=2, Ks=16, verbose=False))
        assert [record.vector.tobytes() for record in index.get(range(N))] == before


def test_bulk_trains_within_the_call_that_is_due(tmp_path: Path, vectors: np.ndarray) -> None:
    """A thread would still hold the directory under the name that it had while it was built."""
    with pqstore.Index.create(tmp_path / "i", bulk=True, **small(train="background")) as index:
        index.add(vectors)
        assert index.phase == "codes"
        index.publish()
        assert len(index) == N
        assert index.stats().faults == ()


def test_lists_are_made_by_the_add_that_trains(tmp_path: Path, vectors: np.ndarray) -> None:
    with pqstore.Index.create(tmp_path / "i", **small(partitions=4)) as index:
        index.add(vectors)
        assert index.stats().lists.partitions == 4


def test_what_is_refused_before_training_is_refused_as_after_it(tmp_path: Path, vectors: np.ndarray) -> None:
    with pqstore.Index.create(tmp_path / "i", **small(train="manual")) as index:
        index.add(vectors)
        for measure in (index.recall_report, index.calibrate):
            with pytest.raises(pqstore.NotTrainedError, match="before it is trained"):
                measure(vectors[:5])
        for rerank, error in (
            (-1, ValueError),
            (2, ValueError),
            (True, TypeError),
            (1.5, TypeError),
            ("x", ValueError),
        ):
            with pytest.raises(error, match=r"rerank|at least"):
                index.search(vectors[0], k=3, rerank=rerank)
        exact = index.search(vectors[0], k=3)
        for rerank in (0, 3, 50, "auto"):
            assert index.search(vectors[0], k=3, rerank=rerank).ids.tolist() == exact.ids.tolist()


def test_retraining_reads_on_when_a_compaction_removes_its_files(
    tmp_path: Path, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pqstore.Index.create(tmp_path / "i", **small()) as index:
        index.add(vectors)
    index = pqstore.Index.open(tmp_path / "i")  # which has no file open yet
    code = "import sys, pqstore; pqstore.Index.open(sys.argv[1]).compact()"

    def compact_elsewhere() -> None:
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "i")], check=True, cwd=ROOT)

    trained, follow = TrainingWork._trained, RebuiltCopy.follow
    calls: list[int] = []

    def compacted_first(work: TrainingWork, reading: object) -> object:
        compact_elsewhere()
        return trained(work, reading)

    def compacted_meanwhile(copy: RebuiltCopy, snapshot: object) -> int:
        changed = follow(copy, snapshot)
        calls.append(changed)
        if len(calls) == 1:
            return changed + rebuilding._FEW
        compact_elsewhere()
        return changed

    def grow(step: pqstore.ProgressStep) -> None:
        if step.stage == "encoding":
            index.add(vectors[:7] + 1)

    monkeypatch.setattr(TrainingWork, "_trained", compacted_first)
    monkeypatch.setattr(RebuiltCopy, "follow", compacted_meanwhile)
    index.retrain(progress=grow)
    assert calls == [7, 0]
    assert len(index) == N + 7
    assert index.verify(deep=True) == []
    index.close()


def test_a_state_before_a_retraining_elsewhere_never_reads_originals_of_other_rows(
    tmp_path: Path, vectors: np.ndarray
) -> None:
    with pqstore.Index.create(tmp_path / "i", **small(originals="float32")) as index:
        index.add(vectors)
        index.remove(range(100))
    code = "import sys, pqstore; pqstore.Index.open(sys.argv[1]).retrain()"
    with pqstore.Index.open(tmp_path / "i") as index, index._read() as reading:
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "i")], check=True, cwd=ROOT)
        with pytest.raises(pqstore.CorruptIndexError, match="is missing"):
            reading.vectors_of(np.array([100, 101]))
        assert index.get(100).vector.tobytes() == vectors[100].tobytes()


@pytest.mark.parametrize("call", ["search", "get", "scroll"])
def test_another_process_retrains_between_a_look_and_its_files(
    tmp_path: Path, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The files of originals that the state names were gone before they were first opened here."""
    with pqstore.Index.create(tmp_path / "i", **small()) as made:
        made.add(vectors)
    code = "import pqstore, sys; index = pqstore.Index.open(sys.argv[1]); index.retrain()"
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "i")]
    with pqstore.Index.open(tmp_path / "i") as index:
        look, done = index._store.read, []

        def read(**how: bool) -> object:
            seen = look(**how)
            if not done:
                done.append(subprocess.run(command, cwd=ROOT, check=True))
            return seen

        monkeypatch.setattr(index._store, "read", read)
        if call == "search":
            assert index.search(vectors[7], k=1).ids.tolist() == [7]
        elif call == "get":
            assert index.get(7).vector.tolist() == pytest.approx(vectors[7].tolist(), rel=1e-2)
        else:
            assert [record.id for record in index.scroll(limit=3, include=("vector",)).records] == [0, 1, 2]
        assert done


@pytest.mark.parametrize("kind", [pqstore.PQ, pqstore.OPQ])
@pytest.mark.parametrize("metric", ["l2", "dot", "cosine"])
@pytest.mark.parametrize("scale", [1e18, 1e19, 1e37, 1e-37])
def test_vectors_near_the_limits_of_float32(
    tmp_path: Path, vectors: np.ndarray, kind: type, metric: str, scale: float
) -> None:
    """Trained, and right as ever; or not, with a reason, and exact as before: searches by codes would be refused."""
    large = (vectors.astype(np.float64) * scale).astype(np.float32)
    wish = kind(M=4, Ks=16, verbose=False)
    with pqstore.Index.create(tmp_path / "i", wish, dim=D, metric=metric, train_at=300) as index:
        index.add(large)
        trains = metric == "cosine" or scale < 1e19
        assert index.phase == ("codes" if trains else "exact")
        assert any("beyond float32: scale them" in fault for fault in index.stats().faults) != trains
        found = index.search(large[:20], k=3)
        assert not np.isnan(found.distances).any()
        if metric == "cosine" or (metric == "l2" and scale > 1):  # squares of the small ones are all 0
            assert found.ids[:, 0].tolist() == list(range(20))
        assert index.verify() == []
        if not trains:
            with pytest.raises(TrainingError, match="scale them"):
                index.train()
