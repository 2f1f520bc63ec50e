"""A snapshot stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pqstore.errors import (
    IndexClosedError,
)
from pqstore.storage import Store
from pqstore.storage.upkeep.backup import backup
from tests.unit.storage.attached import attached, originals_for, payload_for, row_bytes
from tests.unit.storage.processes import start_python

Create = Callable[..., Store]


CODES = np.arange(80, dtype=np.uint8).reshape(10, 8)


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


def test_a_snapshot_outlives_a_compaction_in_another_process(
    create: Create, reopen: Create, rng: np.random.Generator, tmp_path: Path
) -> None:
    """Whatever it read first after the compaction looked for the files of a generation that was gone."""
    codes = rng.integers(0, 256, (3000, 8), dtype=np.uint8)
    with create(row_bytes=row_bytes(8), fields=["n"]) as store, store.write() as txn:
        txn.append(codes, np.arange(3000), **attached(codes))
    with reopen() as store, store.read() as snapshot:
        snapshot.attachments.pin_originals()
        child = start_python(
            """
            with store.write() as txn:
                txn.kill(range(1000))
            store.compact()
            """,
            str(store.path),
        )
        assert child.communicate()[0] == ""
        assert child.returncode == 0
        assert not snapshot.records.generation.path.exists()
        rows = np.arange(3000)
        assert snapshot.payloads_of(rows) == [payload_for(code.tobytes()) for code in codes]
        assert np.array_equal(snapshot.originals_of(rows), originals_for(codes))
        assert np.array_equal(snapshot.codes_of(rows), codes)
        environment = snapshot.records.generation.environment
        assert environment.structure_problems() == []
        assert environment.pinned_bytes() >= 0
        assert environment.file_bytes > codes.nbytes
        backup(snapshot, tmp_path / "backup")
        with reopen(path=tmp_path / "backup") as copy, copy.read() as copied:
            assert copied.live_rows == 3000
            assert np.array_equal(copied.originals_of(copied.rows_of(rows)), originals_for(codes))
            assert copy.verify(deep=True) == []
        assert store.verify(deep=True) == []
        with store.read() as after:
            assert after.live_rows == 2000
