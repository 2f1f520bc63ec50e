"""Which indexes are open: a handle that nobody closed is closed by garbage collection, whenever that comes."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pqstore.storage import Store
from pqstore.storage.transactions import open_index
from tests.unit.storage.processes import ROOT

CODES = np.arange(80, dtype=np.uint8).reshape(10, 8)


def registered() -> int:
    return len(open_index._registry.open)


def forget(held: list[Store]) -> None:
    held.clear()
    gc.collect()


def in_another_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_a_forgotten_handle_is_closed_with_a_warning(path: Path, create: Callable[..., Store]) -> None:
    before = registered()
    held = [create()]
    with pytest.warns(ResourceWarning, match="index.pqs was not closed"):
        forget(held)
    assert registered() == before


def test_snapshots_of_a_forgotten_handle_stay_good(create: Callable[..., Store]) -> None:
    before = registered()
    store = create()
    with store.write() as txn:
        txn.append(CODES)
    snapshot = store.read()
    held = [store]
    del store
    with pytest.warns(ResourceWarning):
        forget(held)
    np.testing.assert_array_equal(snapshot.codes_of(np.arange(10)), CODES)
    assert registered() == before + 1
    snapshot.close()


def test_a_forgotten_bulk_index_leaves_nothing(path: Path, create: Callable[..., Store]) -> None:
    held = [create(bulk=True)]
    with pytest.warns(ResourceWarning):
        forget(held)
    assert list(path.parent.iterdir()) == []


def test_closed_and_failed_handles_are_silent(path: Path, create: Callable[..., Store]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        create().close()

        def refuse(_: object) -> object:
            raise ValueError("no")

        before = registered()
        with pytest.raises(ValueError, match="no"):
            Store.open(path, refuse)  # type: ignore[arg-type]
        gc.collect()
        assert registered() == before


def test_garbage_that_is_found_while_references_are_counted_waits(
    create: Callable[..., Store], reopen: Callable[..., Store]
) -> None:
    """The collector may come within `share` of the same thread, which has the lock."""
    before = registered()
    held = [create()]
    with open_index._registry.lock, pytest.warns(ResourceWarning):
        forget(held)
    assert registered() == before + 1
    reopen().close()
    assert registered() == before


def test_garbage_in_another_thread(create: Callable[..., Store]) -> None:
    before = registered()
    held = [create()]
    with pytest.warns(ResourceWarning):
        in_another_thread(held.clear)
    assert registered() == before


def test_the_end_of_the_process_is_silent(path: Path, create: Callable[..., Store]) -> None:
    create().close()
    code = """
    import sys
    from pqstore.storage import Store
    from tests.unit.storage.row_packing import RowPacking
    store = Store.open(sys.argv[1], lambda _: RowPacking(8))
    cycle = [store]; cycle.append(cycle)
    """
    command = [sys.executable, "-W", "always", "-c", textwrap.dedent(code), str(path)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors cannot be counted here")
def test_descriptors_of_forgotten_handles_come_back(create: Callable[..., Store], reopen: Callable[..., Store]) -> None:
    create().close()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for _ in range(20):
            reopen()
        gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
