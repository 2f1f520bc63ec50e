"""The state names the transaction that wrote it, through every kind of commit and copy."""

from __future__ import annotations

import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import lmdb
import numpy as np
import pytest

from pqstore.errors import CorruptIndexError
from pqstore.storage import Store
from pqstore.storage.disk.data_file import DATA_FILE
from pqstore.storage.disk.directory import generation_path, newest_generation
from pqstore.storage.disk.lmdb_meta import PAGE_SIZE
from pqstore.storage.format import records
from pqstore.storage.format.state import Identity, State
from tests.format import golden

Create = Callable[..., Store]


def numbers(path: Path) -> tuple[int, int | None]:
    """(newest transaction, the one that the state names)."""
    generation = generation_path(path, newest_generation(path))
    with lmdb.open(str(generation), max_dbs=20, readonly=True, lock=False) as env, env.begin(buffers=True) as txn:
        value = txn.get(records.STATE_KEY, db=env.open_db(b"meta", txn=txn, create=False))
        return int(txn.id()), State.unpack(value).transaction


def test_every_commit_and_copy(create: Create, path: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    with create() as store:
        with store.write() as txn:
            txn.append(rng.integers(0, 256, (20_000, 8), dtype=np.uint8), rng.permutation(20_000))
        store.backup(tmp_path / "backup.pqs")
        store.compact()
        with store.write() as txn:
            txn.kill(np.arange(500))
    for where in (path, tmp_path / "backup.pqs"):
        newest, named = numbers(where)
        assert newest == named


def test_an_older_state_in_the_newest_transaction(create: Create, path: Path, rng: np.random.Generator) -> None:
    """As a page does that was written once and not again: nothing but the number tells."""
    with create() as store, store.write() as txn:
        txn.append(rng.integers(0, 256, (200, 8), dtype=np.uint8))
    generation = generation_path(path, 1)
    with lmdb.open(str(generation), max_dbs=20, map_size=1 << 26, lib_version=0) as env:
        meta = env.open_db(b"meta", create=False)
        with env.begin(write=True) as txn:
            txn.put(records.STATE_KEY, bytes(txn.get(records.STATE_KEY, db=meta)), db=meta)
            txn.put(b"something", b"else", db=meta)
    with pytest.raises(CorruptIndexError, match="holds the state of"):
        Store.open(path, lambda _: golden.PACKING)


def test_a_loss_of_power_that_takes_a_meta_page(
    create: Create, reopen: Create, path: Path, rng: np.random.Generator
) -> None:
    """A disk kept the pages of an unfinished commit, but not the meta page before it, which "relaxed" does not sync.

    The older meta page then leads to the unfinished state, which was taken for damage of the newest.
    """
    contents = []
    with create(durability="relaxed") as store:
        for _ in range(10):
            with store.write() as txn:
                txn.append(rng.integers(0, 256, (1, 8), dtype=np.uint8))
            contents.append((generation_path(path, 1) / DATA_FILE).read_bytes())
    metas = 2 * PAGE_SIZE
    (generation_path(path, 1) / DATA_FILE).write_bytes(contents[-3][:metas] + contents[-1][metas:])
    with reopen() as store:
        assert store.verify(deep=True) == []
        assert store.stats().live_rows == 8


def test_the_newest_meta_page_overwritten_by_the_older(
    create: Create, reopen: Create, path: Path, rng: np.random.Generator
) -> None:
    """With the number that such a page must have: the older state came back as the newest, and nothing was said."""
    with create() as store:
        for _ in range(4):
            with store.write() as txn:
                txn.append(rng.integers(0, 256, (1, 8), dtype=np.uint8))
    file = generation_path(path, 1) / DATA_FILE
    content, number = (
        bytearray(file.read_bytes()),
        16 + 128,
    )  # behind the head of the page: where its transaction stands
    pages = [content[at * PAGE_SIZE : (at + 1) * PAGE_SIZE] for at in (0, 1)]
    numbers = [int.from_bytes(page[number : number + 8], sys.byteorder) for page in pages]
    newest = int(numbers[1] > numbers[0])
    copied = bytearray(pages[1 - newest])
    copied[:8] = newest.to_bytes(8, sys.byteorder)
    copied[number : number + 8] = (numbers[newest] - 2).to_bytes(8, sys.byteorder)
    content[newest * PAGE_SIZE : (newest + 1) * PAGE_SIZE] = copied
    file.write_bytes(content)
    with pytest.raises(CorruptIndexError, match="leads to the state"):
        reopen()


def test_an_index_of_an_earlier_version(tmp_path: Path) -> None:
    """It opens as before, and names its transactions from the next commit on, which that version is told."""
    archive = sorted(golden.DIRECTORY.glob("*int64*"))[0]
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    path = next(file.parent.parent for file in tmp_path.rglob("data.mdb"))
    assert numbers(path)[1] is None
    with Store.open(path, lambda _: golden.PACKING) as store:
        assert store.verify(deep=True) == []
        with store.write() as txn:
            txn.kill(txn.rows_of([5000]))
        assert store.verify(deep=True) == []
    newest, named = numbers(path)
    assert newest == named
    with lmdb.open(str(generation_path(path, 1)), max_dbs=20, readonly=True, lock=False) as env, env.begin() as txn:
        value = txn.get(records.IDENTITY_KEY, db=env.open_db(b"meta", txn=txn, create=False))
        assert Identity.unpack(memoryview(value)).features == (records.NUMBERED_STATES,)
