"""Fixtures that several test modules share: the example data and a quantizer trained on it."""

from __future__ import annotations

import gc
import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.native import native_module
from tests.effort import AT_NIGHT

DATA = Path(__file__).parents[1] / "examples" / "data"
MEMORY = Path("/dev/shm")
ROOM = 2 << 30  # bytes that a run may need at one time, with much to spare


def memory_has_room() -> bool:
    """Whether temporary files may lie in memory: there is a file system for it, and enough is free."""
    try:
        free = os.statvfs(MEMORY)
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return False
    available = next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), 0)
    usable = os.access(MEMORY, os.W_OK | os.X_OK) and not free.f_flag & os.ST_NOEXEC  # some tests make commands
    return usable and min(free.f_bavail * free.f_frsize, available // 2) >= ROOM


def pytest_configure(config: pytest.Config) -> None:
    """Where there is no compiled module, the tests are meant to run without it: they hear nothing of that.

    `tmp_path` lies in memory where there is room: waiting for a disk tests the disk. Who names a place, by TMPDIR or
    --basetemp, gets it; `make nightly` names the disk."""
    os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")  # tests send nothing to anyone
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each of hundreds of processes compiles every file again
    if native_module() is None:
        os.environ.setdefault("PQSTORE_KERNEL", "numpy")
    if config.option.basetemp is None and "TMPDIR" not in os.environ and not AT_NIGHT and memory_has_room():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_collection_finish() -> None:
    """What was imported stays for good: garbage is not looked for in all of it each time, here and in forked
    processes, which takes a fifth of the time of all tests."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()  # plugins that come in for their reports ask who refers to whom


@pytest.fixture(autouse=True)
def closes_what_it_opens(request: pytest.FixtureRequest) -> None:
    """Commands and integrations open indexes by themselves, and close them. Only those of the same test count: what
    another one has forgotten may be collected at any time."""
    if request.node.nodeid.startswith(("tests/unit/cli/", "tests/unit/integrations/")):
        mine = re.escape(str(request.getfixturevalue("tmp_path")))
        # The filters of a test are its own, and forgotten with it.
        warnings.filterwarnings("error", f"the index at {mine}.* was not closed", ResourceWarning)


@pytest.fixture(scope="session")
def disk_path() -> Iterator[Path]:
    """A directory where the system has its temporary files, a disk as a rule: for what only a disk does, and for
    programs that run, which a file system in memory may forbid."""
    with tempfile.TemporaryDirectory(prefix="pqstore-") as directory:
        yield Path(directory)


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where there is one: for faults in which the disk has no part."""
    if not (MEMORY.is_dir() and os.access(MEMORY, os.W_OK)):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="pqstore-", dir=MEMORY) as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def base() -> np.ndarray:
    """SIFT descriptors, uint8 (10000, 128)."""
    return np.load(DATA / "base.npy")


@pytest.fixture(scope="session")
def queries() -> np.ndarray:
    """Queries for `base`, uint8 (200, 128)."""
    return np.load(DATA / "queries.npy")


@pytest.fixture(scope="session")
def truth() -> np.ndarray:
    """The 100 exact nearest rows of `base` for each query, int32 (200, 100)."""
    return np.load(DATA / "neighbors.npy")


@pytest.fixture(scope="session")
def sift_pq() -> pqstore.PQ:
    """A PQ with 16 one-byte codes for `base`."""
    return pqstore.PQ(M=16, verbose=False).fit(np.load(DATA / "train.npy"), iter=5)


@pytest.fixture(scope="session")
def small_pq() -> pqstore.PQ:
    """A quick PQ: D=8, M=4, 32 codewords."""
    vectors = np.random.default_rng(5).standard_normal((300, 8)).astype(np.float32)
    return pqstore.PQ(M=4, Ks=32, verbose=False).fit(vectors, iter=3)
