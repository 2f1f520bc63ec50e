"""Small sound indexes to be damaged, and everything that is done with a damaged one."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pqstore.storage import Store
from pqstore.storage.repair.repair import repair
from tests.unit.storage.attached import FIELDS, attached, row_bytes, save_some
from tests.unit.storage.listed import assign, make_lists, rows_in_lists
from tests.unit.storage.row_packing import RowPacking

from .runner import Steps

__all__ = ["Sound", "build", "use"]

PACKING = RowPacking(8)


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound index, and what is in it: id -> code."""

    path: Path
    rows: dict[Any, bytes]


def build(path: Path, id_type: str, commits: int) -> Sound:
    """An index with every kind of record but staged ones, written in so many commits."""
    rng = np.random.default_rng(commits)
    options: dict[str, Any] = {"segment_rows": 256, "row_bytes": row_bytes(8), "fields": FIELDS}
    rows: dict[Any, bytes] = {}
    with Store.create(path, {"M": 8}, {"codewords": rng.random((8, 16))}, PACKING, id_type, **options) as store:  # type: ignore[arg-type]
        numbers = rng.permutation(100 * commits)
        for part in np.array_split(numbers, commits):
            codes = rng.integers(0, 256, (len(part), 8), dtype=np.uint8)
            ids: list[Any] = part.tolist() if id_type == "int64" else [f"document {number}" for number in part]
            with store.write() as txn:
                txn.append(codes, ids, **attached(codes))
            rows |= {identifier: code.tobytes() for identifier, code in zip(ids, codes, strict=True)}
        gone = list(rows)[::7]
        with store.write() as txn:
            txn.kill(txn.rows_of(gone))
            save_some(txn)
        for identifier in gone:
            del rows[identifier]
        make_lists(store)
        assert store.verify(deep=True) == []
    return Sound(path, rows)


def use(path: Path, sound: Sound, steps: Steps) -> None:
    """Open, read, check, copy, repair and write a damaged index.

    A code that comes back must be right unless verify has something to say; `AssertionError` otherwise.
    """
    right: list[bool] = []
    stores: list[Store] = []
    if steps("open", lambda: stores.append(Store.open(path, lambda _: PACKING))):
        store = stores[0]
        store.assign_with(assign)
        steps("read", lambda: right.append(_reads_right(store, sound)))
        steps("lists", lambda: _read_lists(store))
        problems: list[Any] = []
        steps("verify", lambda: problems.extend(store.verify()))
        steps("verify deep", lambda: problems.extend(store.verify(deep=True)))
        complained = bool(problems) or any(name.startswith("verify") for name in steps.refused)
        assert all(right) or complained, "a wrong answer, and verify finds nothing"
        steps("stats", store.stats)
        steps("backup", lambda: store.backup(path.with_name("backup.pqs")))
        if steps("add", lambda: _add(store)):
            steps("remove", lambda: _remove(store, sound))
            steps("compact", store.compact)
            steps("partition", lambda: make_lists(store))
            steps("verify after", lambda: store.verify(deep=True))
        steps("close", store.close)
    steps("repair", lambda: repair(path, path.with_name("repaired.pqs"), lambda _: PACKING))
    for copy in ("backup.pqs", "repaired.pqs"):
        shutil.rmtree(path.with_name(copy), ignore_errors=True)


def _reads_right(store: Store, sound: Sound) -> bool:
    with store.read() as snapshot:
        ids = list(sound.rows)
        found = snapshot.rows_of(ids)
        is_there = found >= 0
        codes = snapshot.codes_of(found[is_there])
        expected = [code for code, there in zip(sound.rows.values(), is_there.tolist(), strict=True) if there]
        listed = [identifier for block in snapshot.iter_ids() for identifier in block.tolist()]
        snapshot.payloads_of(found[is_there][:50])
        return bool(is_there.all()) and [code.tobytes() for code in codes] == expected and set(listed) == set(ids)


def _read_lists(store: Store) -> None:
    with store.read() as snapshot:
        rows, codes, partitions = rows_in_lists(snapshot)
        assert len(rows) == len(codes) == len(partitions)


def _add(store: Store) -> None:
    codes = np.zeros((300, 8), dtype=np.uint8)
    ids: Any = (
        np.arange(10**6, 10**6 + 300) if store.identity.id_type == "int64" else [f"new {at}" for at in range(300)]
    )
    for _ in range(2):
        with store.write() as txn:
            txn.kill(txn.rows_of(ids)[txn.rows_of(ids) >= 0])
            txn.append(codes, ids, **attached(codes))


def _remove(store: Store, sound: Sound) -> None:
    with store.write() as txn:
        rows = txn.rows_of(list(sound.rows)[:200])
        txn.kill(rows[rows >= 0])
