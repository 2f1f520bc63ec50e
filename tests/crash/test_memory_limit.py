"""An index larger than the memory that its process may have: searches work, and answer the same."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pqstore
from tests.memory import private_bytes

from .limited_reader import M, leave_the_cache, search

LIMIT = 12 << 20  # a search needs a third of it
ROWS = 400_000
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def large(disk_path: Path) -> Path:
    rng = np.random.default_rng(7)
    pq = pqstore.PQ(M=M, Ks=256, verbose=False).fit(rng.standard_normal((256, M)).astype(np.float32), iter=1)
    path = disk_path / "large"
    with pqstore.Index.create(path, pq, bulk=True) as index:
        index.add_codes(rng.integers(0, 256, (ROWS, M), dtype=np.uint8), rng.permutation(ROWS) * 3)
    return path


def own_memory_group() -> tuple[bool, Path]:
    """(version 1?, directory) of the control group that limits the memory of this process."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    for _, controllers, path in lines:
        if "memory" in controllers.split(","):
            base = Path("/sys/fs/cgroup/memory")
            return True, base / path.lstrip("/") if (base / path.lstrip("/")).is_dir() else base
    for _, controllers, path in lines:
        if not controllers:
            base = Path("/sys/fs/cgroup")
            return False, base / path.lstrip("/") if (base / path.lstrip("/")).is_dir() else base
    raise OSError("this process is in no control group that limits memory")


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group under ours, whose processes may have so much memory, the page cache's included."""
    try:
        version_1, base = own_memory_group()
        place = base / f"pqstore-test-{os.getpid()}"
        place.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        try:
            (place / ("memory.limit_in_bytes" if version_1 else "memory.max")).write_text(str(LIMIT))
            swap = place / ("memory.memsw.limit_in_bytes" if version_1 else "memory.swap.max")
            if swap.exists():
                swap.write_text(str(LIMIT) if version_1 else "0")
        except OSError as error:
            pytest.skip(f"control groups here do not limit memory: {error}")
        yield place
    finally:
        place.rmdir()


def in_the_group(kind: str, path: Path, group: Path, result: Path) -> int:
    """Exit status of a `limited_reader`."""
    command = [sys.executable, "-m", "tests.crash.limited_reader", kind, path, group, result]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def leaves_the_cache(file: Path) -> bool:
    """False where files lie in memory anyway: there nothing is read again, and no page is given back."""
    leave_the_cache(file)
    libc = ctypes.CDLL(None, use_errno=True)
    with file.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        resident = (ctypes.c_ubyte * -(-len(mapped) // mmap.PAGESIZE))()
        held = ctypes.c_char.from_buffer(mapped)
        failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(held)), ctypes.c_size_t(len(mapped)), resident)
        del held
    return failed == 0 and sum(state & 1 for state in resident) < len(resident) // 2


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are of Linux")
def test_memory_of_a_control_group(large: Path, group: Path, tmp_path: Path) -> None:
    """A forked child was killed as soon as it collected garbage: each object that a collection marks is a page of its
    parent's that is copied, and counts. So what joins the group is a Python of its own, and collects before."""
    file = next(large.rglob("data.mdb"))
    assert file.stat().st_size > 2 * LIMIT
    if not leaves_the_cache(file):
        pytest.skip("files lie in memory here, and do not give their pages back")
    if in_the_group("file", file, group, tmp_path / "sums.npz"):
        pytest.skip("a control group here kills what reads a mapped file that is larger than its limit")
    assert in_the_group("index", large, group, tmp_path / "found.npz") == 0
    with np.load(tmp_path / "found.npz") as found:
        for name, expected in search(large).items():
            np.testing.assert_array_equal(found[name], expected)


def with_little_private_memory(path: Path) -> None:
    """For a process of its own, which has no freed memory at hand: the answers, saved beside the index."""
    search(path)  # what is loaded on first use is loaded
    limit = private_bytes() + LIMIT
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    with pytest.raises(MemoryError):
        bytearray(ROWS * M)  # the index does not fit
    np.savez(path.with_name("found.npz"), **search(path))


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts private memory on Linux")
def test_private_memory_limit(large: Path) -> None:
    code = "import sys, pathlib; from tests.crash.test_memory_limit import with_little_private_memory as run; "
    code += "run(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, large], cwd=ROOT, check=True)
    with np.load(large.with_name("found.npz")) as found:
        for name, expected in search(large).items():
            np.testing.assert_array_equal(found[name], expected)
