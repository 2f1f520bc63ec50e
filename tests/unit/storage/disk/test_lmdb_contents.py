"""Records read without LMDB are those that LMDB reads."""

from __future__ import annotations

import os
from pathlib import Path

import lmdb
import numpy as np
import pytest

from pqstore.storage.disk.lmdb_contents import stored_items
from pqstore.storage.disk.lmdb_meta import DamagedFileError, Meta, read_metas


@pytest.fixture
def stored(tmp_path: Path) -> dict[str, dict[bytes, bytes]]:
    """Trees of no page, of one, and of several levels, with small values and large ones."""
    rng = np.random.default_rng(2)
    content = {"empty": {}, "few": {b"a": b"1", b"b": b""}, "many": {}}
    for number in rng.permutation(3000).tolist():
        size = int(rng.choice([0, 5, 300, 9000], p=[0.1, 0.6, 0.28, 0.02]))
        content["many"][number.to_bytes(8, "big")] = rng.bytes(size)
    with lmdb.open(str(tmp_path), max_dbs=5, map_size=1 << 26, lib_version=0) as env:
        for name, records in content.items():
            database = env.open_db(name.encode())
            with env.begin(write=True, db=database) as txn:
                for key, value in records.items():
                    txn.put(key, value)
    return content


def read(path: Path) -> tuple[memoryview, Meta]:
    file = path / "data.mdb"
    descriptor = os.open(file, os.O_RDONLY)
    try:
        return memoryview(file.read_bytes()), read_metas(descriptor)[0]
    finally:
        os.close(descriptor)


def test_all_records_in_the_order_of_keys(stored: dict[str, dict[bytes, bytes]], tmp_path: Path) -> None:
    content, meta = read(tmp_path)
    for name, records in stored.items():
        found = [(key, bytes(value)) for key, value in stored_items(content, meta.main, name)]
        assert found == sorted(records.items()), name


def test_there_is_no_such_database(stored: dict[str, dict[bytes, bytes]], tmp_path: Path) -> None:
    content, meta = read(tmp_path)
    with pytest.raises(DamagedFileError, match="there is no database 'other'"):
        list(stored_items(content, meta.main, "other"))


def test_pages_that_are_no_pages_end_it(stored: dict[str, dict[bytes, bytes]], tmp_path: Path) -> None:
    """Whatever the pages say: nothing else is raised, and it comes to an end."""
    content, meta = read(tmp_path)
    rng = np.random.default_rng(3)
    refused = 0
    for _ in range(60):
        damaged = np.frombuffer(content, dtype=np.uint8).copy()
        damaged[rng.integers(8192, len(damaged), 400)] = rng.integers(0, 256, 400)
        view = memoryview(damaged.tobytes()[: int(rng.integers(8192, len(damaged)))])
        for name in stored:
            try:
                list(stored_items(view, meta.main, name))
            except DamagedFileError:
                refused += 1
    assert refused
