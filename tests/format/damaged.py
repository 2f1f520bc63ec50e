"""An index with every kind of record, ways to damage it, and a check that it answers rightly or says that it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from pqstore.storage import Limits, Store
from pqstore.storage.disk.data_file import DATA_FILE
from pqstore.storage.disk.directory import generation_path
from pqstore.storage.format import records
from pqstore.storage.transactions import write as transaction_module
from tests.unit.storage.attached import FIELDS, attached, check_attached, check_set, row_bytes, save_some
from tests.unit.storage.listed import assign, check_lists, make_lists
from tests.unit.storage.row_packing import RowPacking

PACKING = RowPacking(8)


def build(path: Path, id_type: str) -> dict[Any, bytes]:
    """Make an index with every kind of record, and give what is in it: id -> code."""
    rng = np.random.default_rng(9)
    store = Store.create(
        path,
        {"M": 8},
        {"codewords": rng.random((8, 16), dtype=np.float32)},
        PACKING,
        id_type,
        segment_rows=1024,  # type: ignore[arg-type]
        row_bytes=row_bytes(8),
        fields=FIELDS,
    )
    numbers = [*range(10_000, 11_500), *rng.permutation(10_000)[:3900].tolist()]
    ids: list[Any] = numbers if id_type == "int64" else [f"document {number}" for number in numbers]
    codes = rng.integers(0, 256, (len(ids), 8), dtype=np.uint8)
    rows = {identifier: code.tobytes() for identifier, code in zip(ids, codes, strict=True)}
    for start in range(0, len(ids), 1800):
        with store.write() as txn:
            part = codes[start : start + 1800]
            txn.append(part, ids[start : start + 1800], **attached(part))
    gone = [ids[at] for at in rng.choice(len(ids), 300, replace=False)]
    with store.write() as txn:
        txn.kill(txn.rows_of(gone))
        save_some(txn)
    for identifier in gone:
        del rows[identifier]
    make_lists(store)
    clear_staged, transaction_module.clear_staged = transaction_module.clear_staged, lambda environment: None
    store.close()
    store = Store.open(path, lambda _: PACKING, limits=Limits(stage_bytes=10_000))
    try:
        abandon(store)
    finally:
        transaction_module.clear_staged = clear_staged
    store.assign_with(assign)
    assert store.verify(deep=True) == []
    store.close()
    return rows


def abandon(store: Store) -> None:
    """Leave staged records behind, as a writer does that is killed in a long transaction."""
    txn = store.write()
    ids: Any = (
        np.arange(50_000, 53_000) if store.identity.id_type == "int64" else [f"staged {at}" for at in range(3000)]
    )
    codes = np.zeros((3000, 8), dtype=np.uint8)
    txn.append(codes, ids, **attached(codes))
    txn.close()


def stored_records(path: Path) -> dict[tuple[str, bytes], bytes]:
    """Every stored value by (database, key)."""
    found = {}
    with lmdb.open(str(generation_path(path, 1)), max_dbs=20, map_size=1 << 26, readonly=True, lock=False) as env:
        for name in records.DATABASES:
            database = env.open_db(name.encode(), create=False)
            with env.begin(db=database) as txn:
                for key, value in txn.cursor():
                    found[name, bytes(key)] = bytes(value)
    return found


def flip(path: Path, value: bytes, bit: int) -> None:
    """Flip one bit of a stored value, wherever the file holds it."""
    file = generation_path(path, 1) / DATA_FILE
    content = bytearray(file.read_bytes())
    at = content.find(value)
    assert at >= 0
    while at >= 0:
        content[at + bit // 8] ^= 1 << (bit % 8)
        at = content.find(value, at + 1)
    file.write_bytes(content)


def check_answers(path: Path, rows: dict[Any, bytes]) -> None:
    """Ask everything. Raises what the index raises, and AssertionError on a wrong answer."""
    with Store.open(path, lambda _: PACKING) as store:
        with store.read() as snapshot:
            snapshot.records.arrays()
        with store.read() as snapshot:
            ids = list(rows)
            found = snapshot.rows_of(ids)
            assert snapshot.ids_of(found).tolist() == ids
            assert [code.tobytes() for code in snapshot.codes_of(found)] == list(rows.values())
            assert snapshot.rows_of(ids[7:9]).tolist() == found[7:9].tolist()
            listed = [identifier for block in snapshot.iter_ids() for identifier in block.tolist()]
            assert sorted(listed) == sorted(ids)
            check_attached(snapshot, found)
            check_set(snapshot)
            check_lists(snapshot)
            assert snapshot.live_rows == len(ids)
            live = []
            for chunk in snapshot.chunks():
                codes = chunk.packed[: 8 * chunk.rows].reshape(chunk.rows, 8)
                if chunk.dead is not None:
                    codes = codes[np.unpackbits(chunk.dead, count=chunk.rows, bitorder="little") == 0]
                live += [code.tobytes() for code in codes]
            assert sorted(live) == sorted(rows.values())
