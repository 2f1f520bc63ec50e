"""Address space: as much as an index may need, as little as many of them allow."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import pqstore
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
wanted = 10 * count + 100
if files != resource.RLIM_INFINITY and files < wanted:
    if hard != resource.RLIM_INFINITY and hard < wanted:
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


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A directory with a small index, `0`, and its vectors."""
    vectors = np.random.default_rng(3).standard_normal((200, 8)).astype(np.float32)
    np.save(tmp_path / "x.npy", vectors)
    pq = pqstore.PQ(M=4, Ks=16, verbose=False).fit(vectors, iter=1)
    with pqstore.Index.create(tmp_path / "0", pq, originals="float32") as index:
        index.add(vectors)
    return tmp_path


def run_many(small: Path, count: int, limit: int) -> None:
    pytest.importorskip("resource")
    command = [sys.executable, "-c", textwrap.dedent(MANY), str(small), str(count), str(limit)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip("so many files may not be opened here")
    assert done.returncode == 0, done.stderr


def test_many_indexes_share_the_address_space(small: Path) -> None:
    """Each reserved 1 TiB, or all that was left: of 4 TiB nothing remained for the thirtieth, nor for a thread."""
    run_many(small, 120, 4 << 40)


def test_maintenance_needs_no_more_than_opening(small: Path) -> None:
    """Under 6 GiB an index opened, but compact, backup and repair wanted 1 TiB."""
    run_many(small, 3, 6 << 30)


@pytest.mark.skipif(not AT_NIGHT, reason="takes a minute: make nightly")
def test_an_index_for_each_of_5000_tenants(small: Path) -> None:
    run_many(small, 5000, 0)
