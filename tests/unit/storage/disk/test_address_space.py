"""Address space: as much as an index may need, as little as many of them allow."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.storage.disk.address_space import map_bytes
from pqstore.storage.limits import Limits
from tests.effort import AT_NIGHT

ROOT = Path(__file__).parents[4]

MANY = """
import resource, shutil, sys, threading
from pathlib import Path
import numpy as np, pqstore
path, count, limit = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
if limit:
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
files, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
wanted = 7 * count + 100
if files != resource.RLIM_INFINITY and files < wanted:
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
        count = min(count, (wanted - 100) // 7)
    if count < 20:
        sys.exit(77)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
for number in range(1, count):
    shutil.copytree(path / "0", path / str(number))
X = np.load(path / "x.npy")
opened = []
for number in range(count):
    index = pqstore.Index.open(path / str(number))
    index.add(X[:2])
    opened.append(index)
assert all(len(index) == 202 for index in opened)
threads = [threading.Thread(target=lambda: None) for _ in range(8)]
for thread in threads:
    thread.start()
    thread.join()
opened[-1].compact()
opened[-1].backup(path / "copy")
pqstore.Index.repair(path / "copy", path / "saved")
for index in opened:
    index.close()
with pqstore.Index.open(path / "saved") as saved:
    assert len(saved) == 202
"""


LIFE = """
import resource, sys, threading
from pathlib import Path
import numpy as np, pqstore
path, limit = Path(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
X = np.random.default_rng(1).standard_normal((6000, 16)).astype(np.float32)
others = [pqstore.Index.create(path / f"other-{number}", dim=16) for number in range(12)]
with pqstore.Index.create(path / "life", dim=16, train_at=4000, partitions=16, fields=["n"]) as index:
    for start in range(0, 6000, 1000):
        index.add(X[start : start + 1000], payloads=[{"n": start}] * 1000)
    assert index.phase == "codes", index.phase
    index.retrain()
    index.compact()
    index.backup(path / "copy")
    assert index.count({"n": {"$lt": 2000}}) == 2000
    assert index.verify(deep=True) == []
    assert index.search(X[7], k=1, rerank=100)[0][0] == 7
for other in others:
    other.add(X[:100])
    other.close()
pqstore.Index.repair(path / "copy", path / "saved")
with pqstore.Index.open(path / "saved") as saved:
    assert len(saved) == 6000
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A directory with a small index, `0`, and its vectors."""
    vectors = np.random.default_rng(3).standard_normal((200, 8)).astype(np.float32)
    np.save(tmp_path / "x.npy", vectors)
    pq = pqstore.PQ(M=4, Ks=16, verbose=False).fit(vectors, iter=1)
    with pqstore.Index.create(tmp_path / "0", pq, originals="float32") as index:
        index.add(vectors)
    return tmp_path


def run(code: str, *arguments: object) -> None:
    pytest.importorskip("resource")
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip("so many files may not be opened here")
    assert done.returncode == 0, done.stderr


def run_many(small: Path, count: int, limit: int) -> None:
    run(MANY, small, count, limit)


def test_many_indexes_share_the_address_space(small: Path) -> None:
    """Each reserved 1 TiB, or all that was left: of 4 TiB nothing remained for the thirtieth, nor for a thread."""
    run_many(small, 120, 4 << 40)


def test_an_index_trains_and_is_rebuilt_where_there_is_little_room(tmp_path: Path) -> None:
    run(LIFE, tmp_path, 6 << 30)


def test_sizes_of_maps() -> None:
    limits, small = Limits(), 48 << 10
    of = lambda reserved, file_bytes=small, may=1 << 47: map_bytes(file_bytes, reserved, may, limits)  # noqa: E731
    assert of(0) == of(15 << 40) == 1 << 40
    assert of(16 << 40) == 8 << 30
    assert of(16 << 40, 10 << 30) == 640 << 30
    # 5,000 of them leave more than half of all addresses.
    assert of((16 << 40) + 5000 * (8 << 30)) == 8 << 30
    assert of(70 << 40) < 2 << 30
    # Never less than the file and some room, never a good part of what a process may have.
    for may in (1 << 30, 6 << 30, 1 << 40, 1 << 47):
        for reserved in (0, may // 4, may // 2, may):
            for file_bytes in (0, small, 1 << 29):
                assert file_bytes * 5 // 4 <= of(reserved, file_bytes, may) <= max(file_bytes * 2, may // 8)


def test_maintenance_needs_no_more_than_opening(small: Path) -> None:
    """Under 6 GiB an index opened, but compact, backup and repair wanted 1 TiB."""
    run_many(small, 3, 6 << 30)


@pytest.mark.skipif(not AT_NIGHT, reason="takes a minute: make nightly")
def test_an_index_for_each_of_5000_tenants(small: Path) -> None:
    run_many(small, 5000, 0)
