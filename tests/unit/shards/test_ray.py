"""Collections on a local Ray cluster: built, searched, killed. Bounded in time by who runs them (`make test-ray`)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore import shards
from pqstore.shards.ray import SearchBatch, Searcher, build

pytestmark = [
    pytest.mark.ray,
    # Ray and what it brings warn of themselves.
    pytest.mark.filterwarnings("default"),
]
ray = pytest.importorskip("ray", reason="collections on Ray need it")


@pytest.fixture(scope="module", autouse=True)
def _cluster():
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    root = Path(pqstore.__file__).parents[1]
    path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=128 << 20,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": path}},
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def searcher(committed):
    with Searcher(committed.place, replicas=2, num_cpus=0.1, timeout=60) as made:
        yield made


def test_a_plan_is_built_and_searched(begun, same) -> None:
    steps: list = []
    manifest = build(begun.plan, begun.place, num_cpus=1, progress=steps.append)
    assert manifest.rows == len(begun.vectors)
    assert [step.done for step in steps] == [1, 2, 3, 4]
    with shards.Collection.open(begun.place) as collection:
        same(collection, k=10)
        assert collection.verify(deep=True) == {}
    before = {path: path.stat().st_mtime_ns for path in begun.place.iterdir()}
    assert build(begun.plan, begun.place) == manifest, "nothing is built again"
    assert {path: path.stat().st_mtime_ns for path in begun.place.iterdir()} == before


def test_a_data_set_is_built(begun, tmp_path: Path) -> None:
    rows = [{"id": n, "vector": vector} for n, vector in enumerate(begun.vectors[:600].tolist())]
    quantizer = pqstore.PQ.load(next(begun.place.glob("quantizer-*.npz")))
    place = tmp_path / "of-a-data-set"
    manifest = build(ray.data.from_items(rows), place, quantizer, rows_per_shard=200, corpus=tmp_path / "corpus")
    assert manifest.rows == 600
    with shards.Collection.open(place) as collection:
        assert collection.get(17).id == 17
        assert collection.search(begun.vectors[99], k=600).ids.tolist() == sorted(
            range(600), key=lambda n: (float(collection.search(begun.vectors[99], k=1, allow=[n]).distances[0]), n)
        )


def test_a_worker_is_killed_while_it_builds(begun, same) -> None:
    """Ray begins its task again: the others are not built twice."""
    killed = begun.place / "killed"

    @ray.remote(num_cpus=1, max_retries=2)
    def build_or_die(plan, number: int, place: str) -> int:
        def die(point: str) -> None:
            if point == "shard copied" and number == 2 and not killed.exists():
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)

        from pqstore.storage.disk.crash_points import observe

        observe(die)
        shards.build_shard(plan, number, place, threads=1)
        return os.getpid()

    ray.get([build_or_die.remote(begun.plan, number, str(begun.place)) for number in range(4)])
    assert killed.exists()
    killed.unlink()
    shards.commit(begun.plan, begun.place)
    assert not list(begun.place.glob("*.unfinished-*"))
    with shards.Collection.open(begun.place) as collection:
        same(collection, k=10, rerank=30)


def test_answers_are_those_of_one_index(searcher, committed, same) -> None:
    same(searcher, k=7)
    same(searcher, k=5, rerank=40)
    same(searcher, k=10, allow=list(range(100, 1500)), deny=[200, 201])
    within = searcher.range_search(committed.vectors[3], 9.0, limit=20)
    expected = committed.one.range_search(committed.vectors[3], 9.0, limit=20)
    assert np.array_equal(within.ids, expected.ids)
    assert searcher.count() == len(committed.vectors)
    assert searcher.get([5, 1999, 10**6], missing="ignore")[2] is None
    assert [record.id for record in searcher.scroll(limit=3, after=998).records] == [999, 1000, 1001]
    hits = searcher.search(committed.vectors[3], k=4, include="vector")
    assert np.array_equal(hits.vectors, committed.one.search(committed.vectors[3], k=4, include="vector").vectors)


def test_what_a_shard_refuses_is_raised_here(searcher, committed) -> None:
    with pytest.raises(pqstore.InvalidFilterError):
        searcher.search(committed.vectors[0], where={"$no": 1})
    with pytest.raises(ValueError, match="k must be at least 1"):
        searcher.search(committed.vectors[0], k=0)


def test_queries_of_the_object_store_are_taken_as_they_are(searcher, committed) -> None:
    """They are read-only, and large ones are not copied."""
    queries = np.repeat(committed.vectors, 8, axis=0)[:15_000]
    asked = ray.get(ray.put(queries))
    assert not asked.flags.writeable
    assert np.array_equal(searcher.search(asked, k=2).ids, committed.one.search(queries, k=2).ids)


def test_an_actor_is_killed_during_searches(searcher, same) -> None:
    """It starts again from its path; until then the other replica answers."""
    pids = ray.get([actor.ready.remote() for actor in searcher._actors.values()])
    for pid in pids[::3]:
        os.kill(pid, signal.SIGKILL)
        for _ in range(3):
            same(searcher, k=10, rerank=20)
    assert not set(ray.get([actor.ready.remote() for actor in searcher._actors.values()])) & set(pids[::3])


def test_a_replica_that_hangs_is_asked_no_more(searcher, same) -> None:
    for _ in range(25):  # until it is known how long an answer takes
        same(searcher, k=3)
    pid = ray.get(searcher._actors[1, 0].ready.remote())
    os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        for _ in range(10):
            same(searcher, k=3)
        assert time.monotonic() - started < 30, "the time after which a shard is given up was not waited for"
        assert searcher._replicas._open[1, 0] == 1
    finally:
        os.kill(pid, signal.SIGCONT)
    ray.get(searcher._actors[1, 0].ready.remote())
    searcher._forget_late()
    assert searcher._replicas._open[1, 0] == 0


def test_a_silent_shard_is_an_error_or_is_named(collection) -> None:
    shutil.rmtree(next(collection.place.glob("shard-00002-*[0-9a-f]")))
    with pytest.raises(pqstore.errors.SilentShardError, match=r"shards 2 .*MissingShardError"):
        Searcher(collection.place, num_cpus=0.1, actor_options={"max_restarts": 0})
    options = {"max_restarts": 0, "max_task_retries": 0}
    with Searcher(collection.place, num_cpus=0.1, on_missing="partial", actor_options=options) as searcher:
        found = searcher.search(collection.vectors[7], k=2000)
        assert found.missing == (2,)
        expected = collection.one.search(collection.vectors[7], k=2000, deny=list(range(1000, 1500)))
        assert np.array_equal(found.ids, expected.ids)
        assert searcher.range_search(collection.vectors[7], 4.0).missing == (2,)
        with pytest.raises(pqstore.errors.SilentShardError):
            searcher.count()


def test_actors_share_the_shards_and_copy_them(committed, tmp_path: Path, same) -> None:
    with Searcher(committed.place, actors=2, num_cpus=0.1, local=tmp_path / "copies") as searcher:
        assert searcher._groups == [(0, 1), (2, 3)]
        same(searcher, k=10)
        same(searcher, k=10, rerank=70)
        same(searcher, k=10, deny=[0, 1, 2, 1999])
    assert len([path for path in (tmp_path / "copies").glob("shard-*") if path.is_dir()]) == 4


def test_a_data_set_of_queries(committed) -> None:
    queries = committed.vectors[:300]
    rows = ray.data.from_items([{"n": n, "vector": vector} for n, vector in enumerate(queries.tolist())])
    found = rows.map_batches(
        SearchBatch,
        fn_constructor_kwargs={"collection": str(committed.place), "k": 3},
        concurrency=1,
        batch_size=64,
    )
    expected = committed.one.search(queries, k=3)
    for row in found.take_all():
        assert np.array_equal(row["ids"], expected.ids[row["n"]])
        assert np.array_equal(row["distances"], expected.distances[row["n"]])


DRIVER = """
import sys, ray
from pqstore.shards import Plan
from pqstore.shards.ray import build
ray.init(address=sys.argv[1], log_to_driver=False)
print("begun", flush=True)
build(Plan.load(sys.argv[2]), sys.argv[3], num_cpus=1)
"""


def test_the_driver_is_killed_and_another_goes_on(begun, tmp_path: Path, same) -> None:
    plan = shards.plan(Path(begun.plan.root) / "vectors.npy", 100)
    plan.save(tmp_path / "plan.json")
    place = tmp_path / "many"
    shards.train(plan, pqstore.PQ.load(next(begun.place.glob("quantizer-*.npz"))), place, originals="float16")
    words = [sys.executable, "-c", DRIVER, ray.get_runtime_context().gcs_address, tmp_path / "plan.json", place]
    root = str(Path(pqstore.__file__).parents[1])
    with subprocess.Popen(words, env={**os.environ, "PYTHONPATH": root}, stdout=subprocess.PIPE) as driver:
        assert driver.stdout.readline() == b"begun\n"
        end = time.monotonic() + 60
        while len(list(place.glob("shard-*.json"))) < 3 and time.monotonic() < end:
            time.sleep(0.01)
        driver.kill()
    built = {path: path.stat().st_mtime_ns for path in place.glob("shard-*.json")}
    assert built
    left = len(shards.missing_shards(plan, place))
    manifest = build(plan, place)
    assert len(manifest.shards) == 20
    assert {path: path.stat().st_mtime_ns for path in built} == built, "none of them is built again"
    assert left <= 20 - len(built)
    with shards.Collection.open(place) as collection:
        same(collection, k=10, rerank=30)
