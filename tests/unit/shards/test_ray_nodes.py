"""A node of a Ray cluster is removed while shards are built and while they are searched; the cluster is Ray's own for
tests, several nodes on this machine."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

import pqstore
from pqstore import shards
from pqstore.shards.ray import Searcher, build

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]
ray = pytest.importorskip("ray", reason="collections on Ray need it")


@pytest.fixture
def cluster(monkeypatch):
    """A head that works at nothing, and two nodes."""
    from ray.cluster_utils import Cluster

    root = Path(pqstore.__file__).parents[1]
    path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", path)
    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": 100 << 20},
    )
    nodes = [made.add_node(num_cpus=1, object_store_memory=100 << 20) for _ in range(2)]
    ray.init(address=made.address, log_to_driver=False)
    yield made, nodes
    ray.shutdown()
    made.shutdown()


def test_a_node_is_removed(cluster, begun, same, tmp_path: Path) -> None:
    made, nodes = cluster
    plan = shards.plan(Path(begun.plan.root) / "vectors.npy", 200)
    place = tmp_path / "many"
    shards.train(plan, pqstore.PQ.load(next(begun.place.glob("quantizer-*.npz"))), place, originals="float16")
    removed = threading.Event()

    def remove(step) -> None:
        if step.done == 2 and not removed.is_set():
            removed.set()
            made.remove_node(nodes[0], allow_graceful=False)

    build(plan, place, progress=remove)
    assert removed.is_set()
    with shards.Collection.open(place) as collection:
        same(collection, k=10)
        assert collection.verify(deep=True) == {}
    nodes[0] = made.add_node(num_cpus=1, object_store_memory=100 << 20)
    # A copy of each shard on either node.
    with Searcher(begun_small(begun, tmp_path), replicas=2, num_cpus=0.2, timeout=90) as searcher:
        same(searcher, k=10)
        made.remove_node(nodes[0], allow_graceful=False)
        for _ in range(5):
            same(searcher, k=10, rerank=40)


def begun_small(begun, tmp_path: Path) -> Path:
    """A collection of two shards, whose actors fit on one node."""
    plan = shards.plan(Path(begun.plan.root) / "vectors.npy", 1000)
    place = tmp_path / "two"
    shards.train(plan, pqstore.PQ.load(next(begun.place.glob("quantizer-*.npz"))), place, originals="float16")
    shards.build(plan, place)
    shards.commit(plan, place)
    return place
