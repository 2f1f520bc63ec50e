"""What the system refuses when an index is opened has a name and says what next."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from pqstore.errors import IndexAccessError, IndexNotFoundError, PQStoreError, TooManyFilesError
from pqstore.storage import Store
from tests.forked import in_child
from tests.unit.storage.row_packing import RowPacking

Create = Callable[..., Store]

CODES = np.arange(80, dtype=np.uint8).reshape(10, 8)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.symlink_to(path), "in a circle"),
        (lambda path: path.write_text("x"), "is a file"),
        (lambda path: path.symlink_to("nowhere"), "does not exist"),
    ],
)
def test_paths_that_lead_nowhere(
    tmp_path: Path, create: Create, reopen: Create, make: Callable[[Path], object], words: str
) -> None:
    make(tmp_path / "made")
    for path in (tmp_path / "made", tmp_path / "made" / "below"):
        with pytest.raises(IndexNotFoundError):
            reopen(path=path)
        with pytest.raises(PQStoreError):
            create(path=path)
    with pytest.raises(IndexNotFoundError, match=words):
        reopen(path=tmp_path / "made")


def test_a_name_that_is_too_long(tmp_path: Path, create: Create, reopen: Create) -> None:
    with pytest.raises(IndexNotFoundError, match="longer than the system allows"):
        reopen(path=tmp_path / ("x" * 5000))
    with pytest.raises(PQStoreError, match="longer than the system allows"):
        create(path=tmp_path / ("x" * 5000))


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user in a child, which only root can")
@pytest.mark.parametrize("closed", ["index", "generation", "data.mdb"])
def test_what_may_not_be_read(create: Create, memory_path: Path, closed: str) -> None:
    path = memory_path / "index.pqs"
    create(path=path).close()
    memory_path.chmod(0o755)
    found = {"index": path, "generation": path / "generation-00000001"}
    found.get(closed, path / "generation-00000001" / closed).chmod(0)

    def work() -> None:
        os.setuid(65534)
        with pytest.raises(IndexAccessError, match="may not read it"):
            Store.open(path, lambda _: RowPacking(8), readonly=True)

    assert in_child(work) == 0


def test_no_descriptors_left(create: Create) -> None:
    resource = pytest.importorskip("resource")
    with create() as store, store.write() as txn:
        txn.append(CODES)

    def work() -> None:
        lowest = os.dup(0)
        os.close(lowest)
        for spare in range(12):
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + spare, 1024))
            told = pytest.raises(TooManyFilesError, match="ulimit -n") if spare < 4 else suppress(TooManyFilesError)
            with told, Store.open(store.path, lambda _: RowPacking(8)) as opened, opened.write() as txn:
                txn.append(CODES)
        with Store.open(store.path, lambda _: RowPacking(8)) as opened, opened.read() as snapshot:
            assert snapshot.live_rows > 10
            assert opened.verify(deep=True) == []
        after = os.dup(0)
        assert after == lowest, "a failed open keeps no descriptor"

    assert in_child(work) == 0
