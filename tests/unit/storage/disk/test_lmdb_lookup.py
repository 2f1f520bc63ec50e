"""Records looked up in the pages of LMDB: where large values lie, in sound files and in others."""

from __future__ import annotations

import os
from pathlib import Path

import lmdb
import numpy as np
import pytest

from pqstore.storage.disk.lmdb_lookup import places_of_values, stored_value
from pqstore.storage.disk.lmdb_meta import DamagedFileError, read_metas

HEADER = 16


@pytest.fixture
def values() -> dict[bytes, bytes]:
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 40_000, 700)
    return {
        int(at).to_bytes(8, "big"): rng.bytes(size) for at, size in zip(rng.permutation(9000)[:700], sizes, strict=True)
    }


@pytest.fixture
def data_file(tmp_path: Path, values: dict[bytes, bytes]) -> Path:
    """Some values deleted and written again, so that pages lie in no order."""
    with lmdb.open(str(tmp_path / "env"), map_size=1 << 28, max_dbs=3) as env:
        database = env.open_db(b"large")
        for part in (list(values)[:400], list(values)[200:]):
            with env.begin(write=True, db=database) as txn:
                for key in part:
                    txn.put(key, values[key])
    return tmp_path / "env" / "data.mdb"


def test_places_of_large_values(data_file: Path, values: dict[bytes, bytes]) -> None:
    with data_file.open("rb") as file:
        newest, _ = read_metas(file.fileno())
        large = [key for key, value in sorted(values.items()) if len(value) > 4096]
        places = places_of_values(file.fileno(), newest, "large", large)
        assert len(places) == len(large) > 500
        for key, (offset, size) in zip(large, places, strict=True):
            assert offset % 4096 == 0
            assert size == HEADER + len(values[key])
            assert os.pread(file.fileno(), size, offset)[HEADER:] == values[key]
        small = [key for key, value in values.items() if len(value) < 1000]
        assert stored_value(file.fileno(), newest, "large", small[0]) == values[small[0]]
        assert places_of_values(file.fileno(), newest, "large", [*small, b"", b"\xff" * 9, b"gone"]) == []
        assert places_of_values(file.fileno(), newest, "nothing", large) == []


def test_pages_that_lie(data_file: Path, values: dict[bytes, bytes]) -> None:
    """Whatever the pages say, nothing is raised: what is found is only asked for."""
    seed = int(np.random.default_rng().integers(2**32))
    print("seed", seed)
    rng = np.random.default_rng(seed)
    sound = data_file.read_bytes()
    for _ in range(30):
        content = bytearray(sound)
        for page in range(2, len(content) // 4096):
            if rng.random() < 0.3:
                at = page * 4096 + int(rng.integers(0, 200))
                content[at : at + 8] = rng.bytes(8)
        data_file.write_bytes(bytes(content)[: int(rng.integers(8192, len(content)))])
        with data_file.open("rb") as file:
            try:
                newest, _ = read_metas(file.fileno())
            except DamagedFileError:
                continue
            assert len(places_of_values(file.fileno(), newest, "large", sorted(values))) <= len(values)
