"""Processes that LMDB cannot tell apart: the first processes of two containers both have the number 1."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pqstore.storage import Store
from tests.unit.storage.processes import ROOT

Create = Callable[..., Store]

CODES = np.arange(80, dtype=np.uint8).reshape(10, 8)
CONTAINER = ["unshare", "--pid", "--fork", "--kill-child"]


def _can_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*CONTAINER, "true"], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not _can_unshare(), reason="this user or system makes no PID namespaces")


def first_process(path: Path, code: str) -> subprocess.Popen[str]:
    """A Python that is number 1 where it lives."""
    prelude = "import os, sys\nfrom pqstore.errors import *\nfrom pqstore.storage import Store\n"
    prelude += "from tests.unit.storage.row_packing import RowPacking\nassert os.getpid() == 1\n"
    prelude += f"def opened(): return Store.open({str(path)!r}, lambda _: RowPacking(8))\n"
    return subprocess.Popen(
        [*CONTAINER, sys.executable, "-c", prelude + textwrap.dedent(code)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


READS = "store = opened(); snapshot = store.read(); print('reading', flush=True); sys.stdin.readline()"


@pytest.fixture
def live(create: Create) -> Store:
    """Open in this process, so that the lock file outlives the others."""
    store = create()
    with store.write() as txn:
        txn.append(CODES)
    return store


def reading(path: Path) -> subprocess.Popen[str]:
    child = first_process(path, READS)
    assert child.stdout is not None
    assert child.stdout.readline() == "reading\n"
    return child


def test_a_second_first_process_is_told(live: Store) -> None:
    first = reading(live.path)
    second = first_process(
        live.path,
        """
        try:
            opened()
        except SameProcessIdError as error:
            print("common PID namespace" in str(error), "docs/howto/containers.md" in str(error))
        """,
    )
    assert second.communicate()[0] == "True True\n"
    assert live.stats().readers == 1  # the first goes on
    first.communicate("end\n")
    third = first_process(live.path, "print(opened().stats().live_rows)")
    assert third.communicate()[0] == "10\n"


def test_a_container_that_died_pins_nothing_in_its_next_life(live: Store) -> None:
    """Its slot bears the number of the new one, which LMDB takes for its own and lets be."""
    first = reading(live.path)
    first.kill()
    first.communicate()
    again = first_process(
        live.path, "store = opened(); print(store.stats().readers); print('reading', flush=True); sys.stdin.readline()"
    )
    assert again.stdout is not None
    assert again.stdout.readline() == "0\n"
    for _ in range(3):
        with live.write() as txn:
            txn.append(CODES)
    assert live.stats().readers == 0
    assert live.stats().pinned_bytes == 0
    again.communicate("end\n")
