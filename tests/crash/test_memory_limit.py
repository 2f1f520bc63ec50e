"""An index larger than the memory that its process may have: searches work, and answer the same."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pqstore
from tests.forked import in_child

LIMIT = 12 << 20
ROWS, M = 400_000, 64


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(7)
    pq = pqstore.PQ(M=M, Ks=256, verbose=False).fit(rng.standard_normal((256, M)).astype(np.float32), iter=1)
    path = tmp_path_factory.mktemp("large") / "index"
    with pqstore.Index.create(path, pq, bulk=True) as index:
        index.add_codes(rng.integers(0, 256, (ROWS, M), dtype=np.uint8), rng.permutation(ROWS) * 3)
    return path


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group under ours, whose processes may have so much memory, the page cache's included."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    version_1 = [path for _, controllers, path in lines if controllers == "memory"]
    base = Path("/sys/fs/cgroup/memory" + version_1[0]) if version_1 else Path("/sys/fs/cgroup")
    place = base / f"pqstore-test-{os.getpid()}"
    try:
        place.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        try:
            (place / ("memory.limit_in_bytes" if version_1 else "memory.max")).write_text(str(LIMIT))
        except OSError as error:
            pytest.skip(f"control groups here do not limit memory: {error}")
        yield place
    finally:
        place.rmdir()


def answers(path: Path) -> tuple[np.ndarray, np.ndarray]:
    queries = np.random.default_rng(8).standard_normal((5, M)).astype(np.float32)
    with pqstore.Index.open(path) as index:
        found = index.search(queries, k=20, threads=1)
        assert 3 * (ROWS - 1) in index
    return found.ids, found.distances


def leave_the_cache(path: Path) -> None:
    """So that the pages count for the group that reads them next."""
    for file in path.rglob("data.mdb"):
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are of Linux")
def test_memory_of_a_control_group(large: Path, group: Path) -> None:
    assert sum(file.stat().st_size for file in large.rglob("data.mdb")) > 2 * LIMIT
    ids, distances = answers(large)

    def work() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))
        leave_the_cache(large)
        its_ids, its_distances = answers(large)
        assert np.array_equal(its_ids, ids)
        assert np.array_equal(its_distances, distances)

    assert in_child(work) == 0


def with_little_private_memory(path: Path) -> None:
    """For a process of its own, which has no freed memory at hand: the answers, saved beside the index."""
    answers(path)  # what is loaded on first use is loaded
    private = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (private + LIMIT, private + LIMIT))
    with pytest.raises(MemoryError):
        bytearray(ROWS * M)  # the index does not fit
    np.savez(path.with_name("answers.npz"), *answers(path))


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts private memory on Linux")
def test_private_memory_limit(large: Path) -> None:
    code = "import sys, pathlib; from tests.crash.test_memory_limit import with_little_private_memory as run; "
    code += "run(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, large], cwd=Path(__file__).parents[2], check=True)
    ids, distances = answers(large)
    with np.load(large.with_name("answers.npz")) as its:
        np.testing.assert_array_equal(its["arr_0"], ids)
        np.testing.assert_array_equal(its["arr_1"], distances)
