"""Long calls tell how far they are; who watches may stop them."""

from __future__ import annotations

import numpy as np
import pytest

import pqstore
from pqstore.progress import ProgressStep


class StopError(Exception):
    pass


def stop(step: ProgressStep) -> None:
    raise StopError(step.stage)


@pytest.fixture
def index(tmp_path, base):
    pq = pqstore.PQ(M=8, Ks=16, verbose=False).fit(base[:300], iter=2)
    with pqstore.Index.create(tmp_path / "index", pq, originals="float32") as index:
        index.add(base[:300])
        yield index


def test_add_tells_how_many_of_how_many(index, base) -> None:
    steps: list[ProgressStep] = []
    index.add(base[:200], progress=steps.append)
    assert steps[-1] == ProgressStep("adding", 200, 200)
    steps.clear()
    index.add(iter([base[:50], base[50:120]]), progress=steps.append)
    assert [(step.done, step.total) for step in steps] == [(50, None), (120, None)]


def test_add_that_is_stopped_adds_nothing(index, base) -> None:
    with pytest.raises(StopError):
        index.add(base[:50], progress=stop)
    assert len(index) == 300


def test_compact_tells_each_stage(index) -> None:
    index.remove(np.arange(100))
    steps: list[ProgressStep] = []
    index.compact(progress=steps.append)
    assert list(dict.fromkeys(step.stage for step in steps)) == ["rewriting", "merging", "lists", "copying"]
    assert steps[0] == ProgressStep("rewriting", 0, 1)
    assert steps[-1].done == steps[-1].total
    assert len(index) == 200


def test_backup_tells_bytes_and_leaves_nothing_when_it_is_stopped(index, tmp_path) -> None:
    steps: list[ProgressStep] = []
    index.backup(tmp_path / "copy", progress=steps.append)
    assert {step.stage for step in steps} == {"copying"}
    done = [step.done for step in steps]
    assert done == sorted(done)
    assert done[-1] == steps[-1].total > 300 * 128 * 4
    with pytest.raises(StopError):
        index.backup(tmp_path / "stopped", progress=stop)
    assert not (tmp_path / "stopped").exists()


@pytest.mark.parametrize("deep", [False, True])
def test_verify_tells_each_stage(index, deep: bool) -> None:
    steps: list[ProgressStep] = []
    assert index.verify(deep=deep, progress=steps.append) == []
    stages = list(dict.fromkeys(step.stage for step in steps))
    assert stages == (["pages"] if deep else []) + ["ids", "attachments"]


@pytest.mark.parametrize("error", [ValueError, TypeError, KeyError, AssertionError])
def test_what_a_watcher_raises_is_not_damage(index, error: type[Exception]) -> None:
    def fail(step: ProgressStep) -> None:
        raise error("of the watcher")

    with pytest.raises(error, match="of the watcher"):
        index.verify(progress=fail)


def test_blocks_of_an_iterator_are_told_while_they_wait_and_stop_there(index, base) -> None:
    steps: list[ProgressStep] = []

    def blocks():
        yield base[:50]
        yield base[50:120]
        assert [step.done for step in steps] == [50, 120]  # though nothing is appended before the last is there
        assert len(index) == 300

    index.add(blocks(), progress=steps.append)
    assert len(index) == 420
    with pytest.raises(StopError):
        index.add(iter([base[:50], base[50:120]]), progress=stop)
    assert len(index) == 420


def test_add_within_a_transaction_tells_too(index, base) -> None:
    steps: list[ProgressStep] = []
    with index.transaction() as txn:
        txn.add(base[:200], progress=steps.append)
    assert steps[-1] == ProgressStep("adding", 200, 200)
