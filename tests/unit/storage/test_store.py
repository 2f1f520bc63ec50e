"""Creating, opening, closing, and what is refused with which error."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import lmdb
import msgpack
import numpy as np
import pytest

from pqstore.errors import (
    CorruptIndexError,
    FormatVersionError,
    IndexClosedError,
    IndexExistsError,
    IndexNotFoundError,
    InvalidIdError,
    ReadOnlyError,
)
from pqstore.storage import Store
from pqstore.storage.disk.data_file import DATA_FILE
from pqstore.storage.disk.directory import generation_path
from pqstore.storage.format import records

from .row_packing import RowPacking

Create = Callable[..., Store]
CODES = np.arange(80, dtype=np.uint8).reshape(10, 8)


def test_settings_and_arrays_come_back(create: Create, reopen: Create) -> None:
    arrays = {
        "codewords": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        "rotation": np.eye(3, dtype=">f8"),
        "nothing": np.empty((0, 5), dtype=np.int16),
        "scalar": np.array(3.5),
    }
    settings = {"M": 8, "metric": "l2", "nested": {"a": [1, 2.5, None, True]}}
    create(settings=settings, arrays=arrays).close()
    store = reopen()
    assert store.settings == settings
    stored = store.arrays()
    assert list(stored) == list(arrays)
    for name, array in arrays.items():
        assert np.array_equal(stored[name], array)
        assert stored[name].shape == array.shape
        assert stored[name].flags.writeable
    store.close()


def test_what_was_committed_is_there_after_reopening(create: Create, reopen: Create) -> None:
    store = create()
    with store.write() as txn:
        txn.append(CODES, np.arange(10) * 7)
    store.close()
    store = reopen(readonly=True)
    with store.read() as snapshot:
        assert snapshot.live_rows == 10
        assert np.array_equal(snapshot.codes_of(snapshot.rows_of([14, 63])), CODES[[2, 9]])
    store.close()


def test_an_exception_undoes_the_transaction(create: Create) -> None:
    store = create()
    with pytest.raises(RuntimeError, match="changed my mind"), store.write() as txn:  # noqa: PT012 - the block is the test
        txn.append(np.zeros((3000, 8), dtype=np.uint8), np.arange(3000))
        raise RuntimeError("changed my mind")
    with store.read() as snapshot:
        assert (snapshot.live_rows, snapshot.total_rows, snapshot.version) == (0, 0, 0)
        assert snapshot.rows_of(np.arange(3000)).max() == -1
    # The same segment numbers again, with other content, must not meet views of the undone ones.
    with store.write() as txn:
        txn.append(np.ones((3000, 8), dtype=np.uint8), np.arange(3000) + 5)
    with store.read() as snapshot:
        assert snapshot.codes_of(np.arange(3000)).min() == 1
        assert snapshot.ids_of([0]).tolist() == [5]
    store.close()


def test_an_empty_transaction_writes_nothing(create: Create) -> None:
    store = create()
    with store.write() as txn:
        assert len(txn.append(CODES[:0], np.empty(0, dtype=np.int64))) == 0
        assert txn.kill(np.empty(0, dtype=np.int64)) == 0
    assert store.stats().commits == 0
    store.close()


def test_a_snapshot_stays_as_it_was(create: Create) -> None:
    store = create()
    with store.write() as txn:
        txn.append(CODES, np.arange(10))
    with store.read() as before:
        chunks = before.chunks()
        with store.write() as txn:
            txn.kill(txn.rows_of([3]))
            txn.append(np.full((2000, 8), 9, dtype=np.uint8), np.arange(100, 2100))
        assert before.live_rows == 10
        assert before.rows_of([3, 100]).tolist() == [3, -1]
        assert np.array_equal(before.codes_of(np.arange(10)), CODES)
        assert np.array_equal(chunks[0].packed[:80].reshape(10, 8), CODES)
        assert before.chunks()[0].dead is None
        with store.read() as after:
            assert after.live_rows == 2009
            assert after.rows_of([3, 100]).tolist() == [-1, 10]
    assert before.closed
    with pytest.raises(IndexClosedError):
        before.chunks()
    store.close()


def test_handles_of_one_process_share_the_index(create: Create, reopen: Create, tmp_path: Path) -> None:
    first = create()
    link = tmp_path / "link"
    link.symlink_to(first.path)
    second, third = reopen(readonly=True), reopen(path=link)
    with first.write() as txn:
        txn.append(CODES, np.arange(10))
    first.close()
    for store in (second, third):
        with store.read() as snapshot:
            assert snapshot.live_rows == 10
    with third.write() as txn:
        txn.kill([0])
    snapshot = second.read()
    second.close()
    third.close()
    assert snapshot.live_rows == 9  # good until it is closed, though every handle is gone
    assert snapshot.ids_of([5]).tolist() == [5]
    snapshot.close()
    reopen().close()


def test_closed_and_readonly_handles_refuse(create: Create, reopen: Create) -> None:
    store = create()
    txn = store.write()
    with txn:
        txn.append(CODES, np.arange(10))
    with pytest.raises(IndexClosedError):
        txn.append(CODES, np.arange(10))
    store.close()
    store.close()
    for use in (store.read, store.write, store.stats):
        with pytest.raises(IndexClosedError):
            use()
    readonly = reopen(readonly=True)
    with pytest.raises(ReadOnlyError):
        readonly.write()
    readonly.close()


def test_create_refuses_what_is_there(create: Create, path: Path) -> None:
    path.mkdir()
    create().close()  # an empty directory is as good as none
    with pytest.raises(IndexExistsError):
        create()
    file = path.with_name("file")
    file.write_text("x")
    with pytest.raises(IndexExistsError):
        create(path=file)
    with pytest.raises(IndexNotFoundError):
        create(path=path.with_name("no") / "such" / "directory")
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["file", "index.pqs"]


def test_a_failed_creation_leaves_nothing(create: Create, path: Path) -> None:
    with pytest.raises(TypeError):
        create(settings={"what msgpack cannot hold": object()})
    assert not any(path.parent.iterdir())


def test_open_refuses_what_is_no_index(reopen: Create, path: Path) -> None:
    with pytest.raises(IndexNotFoundError, match="does not exist"):
        reopen()
    path.write_bytes(b"not a directory")
    with pytest.raises(IndexNotFoundError, match="is a file"):
        reopen()
    path.unlink()
    path.mkdir()
    with pytest.raises(IndexNotFoundError, match="not an index"):
        reopen()
    assert not any(path.iterdir())


@pytest.fixture
def data_file(create: Create, path: Path, rng: np.random.Generator) -> Path:
    store = create()
    with store.write() as txn:
        txn.append(rng.integers(0, 256, (5000, 8), dtype=np.uint8), rng.permutation(5000))
    store.close()
    return generation_path(path, 1) / DATA_FILE


def test_a_missing_empty_or_foreign_data_file(reopen: Create, data_file: Path) -> None:
    data_file.write_bytes(b"")
    with pytest.raises(CorruptIndexError, match="empty"):
        reopen()
    data_file.write_bytes(b"SQLite format 3" * 1000)
    with pytest.raises(CorruptIndexError, match="does not begin"):
        reopen()
    data_file.unlink()
    with pytest.raises(CorruptIndexError, match="missing"):
        reopen()
    assert not data_file.exists()


@pytest.mark.parametrize("share", [0.001, 0.03, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_data_file(reopen: Create, data_file: Path, share: float) -> None:
    size = data_file.stat().st_size
    os.truncate(data_file, int(size * share))
    with pytest.raises(CorruptIndexError):
        reopen()


def _overwrite(data_file: Path, key: bytes, record: bytes) -> None:
    with lmdb.open(str(data_file.parent), max_dbs=20, map_size=1 << 24) as env:
        meta = env.open_db(b"meta", create=False)
        with env.begin(write=True) as txn:
            txn.put(key, record, db=meta)


def test_an_index_of_a_newer_format(reopen: Create, data_file: Path) -> None:
    record = records.pack_record(records.IDENTITY, 0, 0, 0, [b"who knows what"], version=3)
    _overwrite(data_file, records.IDENTITY_KEY, bytes(record))
    with pytest.raises(FormatVersionError, match="format 3"):
        reopen()


def test_an_index_that_needs_an_unknown_feature(reopen: Create, data_file: Path) -> None:
    with lmdb.open(str(data_file.parent), max_dbs=20, map_size=1 << 24) as env, env.begin() as txn:
        value = txn.get(records.IDENTITY_KEY, db=env.open_db(b"meta", txn=txn, create=False))
    fields = msgpack.unpackb(records.open_record(memoryview(value), records.IDENTITY).payload)
    fields["features"] = ["partitions"]
    record = records.pack_record(records.IDENTITY, 0, 0, 0, [msgpack.packb(fields)])
    _overwrite(data_file, records.IDENTITY_KEY, bytes(record))
    with pytest.raises(FormatVersionError, match="partitions"):
        reopen()


def test_a_damaged_identity_or_state(reopen: Create, data_file: Path) -> None:
    for key in (records.STATE_KEY, records.IDENTITY_KEY):
        with lmdb.open(str(data_file.parent), max_dbs=20, map_size=1 << 24) as env:
            meta = env.open_db(b"meta", create=False)
            with env.begin(write=True) as txn:
                good = txn.get(key, db=meta)
                txn.put(key, good[:-3] + bytes([good[-3] ^ 4]) + good[-2:], db=meta)
        with pytest.raises(CorruptIndexError, match=key.decode()):
            reopen()


def test_automatic_ids_end_at_the_largest_int64(create: Create) -> None:
    store = create()
    with store.write() as txn:
        txn.append(CODES[:2], np.array([-(2**63), 2**63 - 1]))
        assert txn.rows_of(np.array([2**63 - 1, -(2**63)])).tolist() == [1, 0]
    with store.write() as txn, pytest.raises(InvalidIdError, match="largest int64"):
        txn.append(CODES[:1])
    store.close()


def test_kill_counts_what_was_live(create: Create) -> None:
    store = create()
    with store.write() as txn:
        txn.append(CODES, np.arange(10))
        assert txn.kill([1, 1, 2]) == 2
        assert txn.kill([2, 3, 99, 10_000_000]) == 1
        assert txn.live_rows == 7
    with store.read() as snapshot:
        assert snapshot.live_rows == 7
    store.close()


def test_relaxed_durability_is_remembered(create: Create, reopen: Create) -> None:
    create(durability="relaxed").close()
    store = reopen()
    assert store.stats().durability == "relaxed"
    with store.write() as txn:
        txn.append(CODES, np.arange(10))
    with reopen(durability="full") as strict:
        assert strict.stats().durability == "full"
        with strict.write() as txn:
            txn.kill([0])
    store.close()


def test_arrays_of_the_caller_may_change_after_the_call(create: Create) -> None:
    class Borrowing(RowPacking):
        def pack(self, codes: np.ndarray) -> np.ndarray:
            return codes.reshape(-1).view(np.uint8)

    store = create(packing=Borrowing(8))
    codes, ids = np.ones((32, 8), dtype=np.uint8), np.arange(32)
    with store.write() as txn:
        txn.append(codes, ids)
        codes[:], ids[:] = 7, 1000
        assert txn.codes_of([5]).max() == 1
    codes[:], ids[:] = 8, 2000
    with store.read() as snapshot:
        assert snapshot.codes_of([5]).max() == 1
        assert snapshot.ids_of([5]).tolist() == [5]
        assert snapshot.rows_of([5, 1000, 2000]).tolist() == [5, -1, -1]
    store.close()
