"""Damaged payloads, columns and files of originals: a named error, verify finds it, repair keeps the rest."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lmdb
import numpy as np
import pytest

from pqstore.errors import CorruptIndexError
from pqstore.storage import Store
from pqstore.storage.attachments.original_files import originals_directory
from pqstore.storage.attachments.payload_records import open_payloads
from pqstore.storage.disk.directory import generation_path
from pqstore.storage.format import records
from pqstore.storage.format.catalog import Catalog
from pqstore.storage.format.rebuild_note import REBUILD_NOTE
from pqstore.storage.format.state import Identity, State
from pqstore.storage.repair.repair import repair
from tests.format.edited import edited
from tests.unit.storage.attached import FIELDS, attached, check_attached, check_set, row_bytes, save_some
from tests.unit.storage.row_packing import RowPacking

PACKING = RowPacking(8)
STRIDE = row_bytes(8) + records.ORIGINALS_CRC_BYTES


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "index.pqs"
    codes = np.random.default_rng(1).integers(0, 256, (2500, 8), dtype=np.uint8)
    options = {"segment_rows": 1024, "row_bytes": row_bytes(8), "fields": FIELDS}
    with Store.create(path, {"M": 8}, {"codewords": np.arange(4.0)}, PACKING, **options) as store:
        with store.write() as txn:
            txn.append(codes, np.arange(2500), **attached(codes))
        with store.write() as txn:
            txn.kill(np.arange(0, 2500, 9))
            txn.set_note("calibration", {"k": 10})
            save_some(txn)
    return path


@pytest.fixture
def index(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "index.pqs"))


def everything(path: Path) -> None:
    with Store.open(path, lambda _: PACKING) as store, store.read() as snapshot:
        check_attached(snapshot, np.setdiff1d(np.arange(2500), np.arange(0, 2500, 9)))
        check_set(snapshot)


def broken(path: Path) -> set[int]:
    with Store.open(path, lambda _: PACKING) as store:
        return {problem.invariant for problem in store.verify(deep=True)}


def originals(path: Path, segment: int) -> Path:
    return originals_directory(generation_path(path, 1)) / records.originals_name(segment)


def change(path: Path, database: str, key: bytes, edit: Callable[[bytes], bytes | None]) -> None:
    with edited(generation_path(path, 1), database) as (txn, handle):
        new = edit(bytes(txn.get(key, db=handle)))
        assert txn.delete(key, db=handle) if new is None else txn.put(key, new, db=handle)


def flipped(value: bytes, bit: int) -> bytes:
    return value[: bit // 8] + bytes([value[bit // 8] ^ 1 << bit % 8]) + value[bit // 8 + 1 :]


def test_sound(index: Path) -> None:
    everything(index)
    assert broken(index) == set()


@pytest.mark.parametrize("row", [1, 700, 2047, 2499])
def test_every_bit_of_an_original_counts(index: Path, tmp_path: Path, row: int) -> None:
    file = originals(index, row // 1024)
    content = file.read_bytes()
    at = row % 1024 * STRIDE
    for bit in (0, 37, 8 * row_bytes(8) - 1, 8 * row_bytes(8), 8 * STRIDE - 1):
        file.write_bytes(content[:at] + flipped(content[at : at + STRIDE], bit) + content[at + STRIDE :])
        with pytest.raises(CorruptIndexError, match=f"original of row {row}:"):
            everything(index)
        assert broken(index) == {22}
    report = repair(index, tmp_path / "repaired", lambda _: PACKING)
    assert report.rows_lost == 1
    assert f"original of row {row}" in report.losses[0]
    with Store.open(tmp_path / "repaired", lambda _: PACKING) as store, store.read() as snapshot:
        rows = snapshot.rows_of(np.arange(2500))
        assert rows[row] == -1
        check_attached(snapshot, rows[rows >= 0])
        assert snapshot.catalog.notes == {"calibration": {"k": 10}}
        assert store.verify(deep=True) == []


def test_an_original_in_the_place_of_another(index: Path) -> None:
    file = originals(index, 0)
    content = file.read_bytes()
    file.write_bytes(content[STRIDE : 2 * STRIDE] * 2 + content[2 * STRIDE :])
    # row 0 is dead: its place is as good as any
    assert broken(index) == set()
    file.write_bytes(content[: 4 * STRIDE] + content[5 * STRIDE : 6 * STRIDE] + content[5 * STRIDE :])
    with pytest.raises(CorruptIndexError, match="original of row 4:"):
        everything(index)


@pytest.mark.parametrize("size", [0, 1, 100 * STRIDE, 1024 * STRIDE - 1, None])
def test_short_and_missing_files(index: Path, tmp_path: Path, size: int | None) -> None:
    file = originals(index, 1)
    if size is None:
        file.unlink()
    else:
        os.truncate(file, size)
    with pytest.raises(CorruptIndexError, match="originals of segment 1"):
        everything(index)
    assert broken(index) == {22}
    report = repair(index, tmp_path / "repaired", lambda _: PACKING)
    rows = np.setdiff1d(np.arange(1024, 2048), np.arange(0, 2500, 9))
    kept = (size or 0) // STRIDE
    assert report.rows_lost == np.count_nonzero(rows >= 1024 + kept)


def test_bytes_beyond_the_last_row_mean_nothing(index: Path) -> None:
    with originals(index, 2).open("ab") as file:
        file.write(b"left by a writer that died" * 100)
    everything(index)
    assert broken(index) == set()
    with Store.open(index, lambda _: PACKING) as store:
        codes = np.full((40, 8), 3, dtype=np.uint8)
        with store.write() as txn:
            rows = txn.append(codes, np.arange(9000, 9040), **attached(codes))
        with store.read() as snapshot:
            check_attached(snapshot, rows)
        assert store.verify(deep=True) == []


def test_payloads(index: Path, tmp_path: Path) -> None:
    key = stored_keys(index, "payloads")[0]
    row = int.from_bytes(key, "big")
    for bit in (0, 8 * 44, 8 * records.HEADER_BYTES, 8 * 9000):
        change(index, "payloads", key, lambda value, bit=bit: flipped(value, bit))
        with pytest.raises(CorruptIndexError, match=f"payloads from row {row} on:"):
            everything(index)
        assert 18 in broken(index)
        report = repair(index, tmp_path / f"repaired-{bit}", lambda _: PACKING)
        assert report.rows_lost == 0
        assert any(f"payloads from row {row} on" in loss for loss in report.losses)
        change(index, "payloads", key, lambda value, bit=bit: flipped(value, bit))
    change(index, "payloads", key, lambda value: None)
    with pytest.raises(CorruptIndexError, match="payloads from row 1 on: the record is missing"):
        everything(index)
    assert 19 in broken(index)
    report = repair(index, tmp_path / "repaired", lambda _: PACKING)
    assert report.rows_lost == 0
    assert any("payloads of" in loss for loss in report.losses)


def rewritten(value: bytes, edit: Callable[[list[bytes]], list[bytes]]) -> bytes:
    """The record of payloads with its payloads changed, and a checksum that holds."""
    first_row = int.from_bytes(value[8:16], "little")
    record = open_payloads(memoryview(value), first_row)
    parts = edit([bytes(record.of(row)) for row in range(first_row, record.stop)])
    ends = np.cumsum([len(part) for part in parts]).astype("<u4")
    return records.pack_record(records.PAYLOADS, first_row, 0, len(parts), [ends, b"".join(parts)])


def test_a_payload_that_is_no_map(index: Path, tmp_path: Path) -> None:
    change(index, "payloads", records.key1(0), lambda value: rewritten(value, lambda p: [p[0], b"\x93\x01", *p[2:]]))
    with pytest.raises(CorruptIndexError, match="payload of row 1:"):
        everything(index)
    assert {18} <= broken(index) <= {18, 20, 21}
    report = repair(index, tmp_path / "repaired", lambda _: PACKING)
    assert (report.rows_lost, len(report.losses)) == (0, 1)
    assert "payload of row 1" in report.losses[0]


def test_ends_that_do_not_divide_the_payloads(index: Path) -> None:
    def edit(value: bytes) -> bytes:
        record = open_payloads(memoryview(value), 0)
        ends = record.ends.copy()
        ends[3] = ends[4] + 1
        return records.pack_record(records.PAYLOADS, 0, 0, len(ends), [ends, bytes(record.content)])

    change(index, "payloads", records.key1(0), edit)
    with pytest.raises(CorruptIndexError, match="payloads from row 0 on: its places"):
        everything(index)
    assert 18 in broken(index)


@pytest.mark.parametrize(("first_row", "rows"), [(1, 1), (1000, 1100), (5000, 1), (1 << 40, 3)])
def test_records_of_payloads_in_the_wrong_place(index: Path, first_row: int, rows: int) -> None:
    with edited(generation_path(index, 1), "payloads") as (txn, payloads):
        ends = np.arange(1, rows + 1, dtype="<u4")
        record = records.pack_record(records.PAYLOADS, first_row, 0, rows, [ends, b"\x80" * rows])
        txn.put(records.key1(first_row), record, db=payloads)
    assert 19 in broken(index)


def stored_keys(path: Path, database: str) -> list[bytes]:
    with lmdb.open(str(generation_path(path, 1)), max_dbs=20, map_size=1 << 26, readonly=True) as env:
        handle = env.open_db(database.encode(), create=False)
        with env.begin(db=handle) as txn:
            return [bytes(key) for key, _ in txn.cursor()]


@pytest.mark.parametrize("database", ["fields", "tailfields"])
def test_columns(index: Path, database: str) -> None:
    for key in stored_keys(index, database):
        name = "segment" if database == "fields" else "chunk"
        for bit in (0, 8 * 20, 8 * records.HEADER_BYTES + 40):
            change(index, database, key, lambda value, bit=bit: flipped(value, bit))
            assert broken(index) == {20}
            if int.from_bytes(key[8:], "big") == FIELDS.index("parity"):
                with pytest.raises(CorruptIndexError, match=f"field column 1 of {name}"):
                    everything(index)
            change(index, database, key, lambda value, bit=bit: flipped(value, bit))
        everything(index)
    change(index, database, key, lambda value: None)
    assert broken(index) == {20}


def test_saved_sets(index: Path, tmp_path: Path) -> None:
    (key,) = stored_keys(index, "sets")
    for bit in (0, 8 * 24, 8 * records.HEADER_BYTES + 3):
        change(index, "sets", key, lambda value, bit=bit: flipped(value, bit))
        with pytest.raises(CorruptIndexError, match="set chunk 0 of set 0"):
            everything(index)
        assert broken(index) == {23}
        report = repair(index, tmp_path / f"repaired-{bit}", lambda _: PACKING)
        assert report.rows_lost == 0
        assert any("the set 'some' is lost" in loss for loss in report.losses)
        with Store.open(tmp_path / f"repaired-{bit}", lambda _: PACKING) as store, store.read() as snapshot:
            assert snapshot.catalog.sets == {}
        change(index, "sets", key, lambda value, bit=bit: flipped(value, bit))
    report = repair(index, tmp_path / "repaired", lambda _: PACKING)
    assert report.losses == []
    with Store.open(tmp_path / "repaired", lambda _: PACKING) as store, store.read() as snapshot:
        check_set(snapshot)
    change(index, "sets", key, lambda value: None)
    with pytest.raises(CorruptIndexError, match="set chunk 0 of set 0: the record is missing"):
        everything(index)
    assert broken(index) == {23}


@pytest.mark.parametrize("ids", [[1, 1, *range(2, 308)], [*range(400, 93, -1)], [5]], ids=["twice", "falling", "few"])
def test_a_set_that_is_not_as_the_catalog_says(index: Path, ids: list[int]) -> None:
    content = np.array(ids, dtype="<i8")
    with Store.open(index, lambda _: PACKING) as store, store.read() as snapshot:
        count = snapshot.catalog.sets["some"].ids
    content = np.resize(content, count) if len(ids) > 1 else content
    record = records.pack_record(records.SET_CHUNK, 0, 0, len(content), [content], records.IDS_INT64)
    change(index, "sets", records.key2(0, 0), lambda value: record)
    with pytest.raises(CorruptIndexError, match="set"):
        everything(index)
    assert broken(index) == {23}


def test_a_set_without_an_owner(index: Path) -> None:
    with edited(generation_path(index, 1), "sets") as (txn, sets):
        record = records.pack_record(records.SET_CHUNK, 7, 0, 1, [np.array([4], dtype="<i8")], records.IDS_RANGE)
        txn.put(records.key2(7, 0), record, db=sets)
    assert broken(index) == {23}


def test_catalog(index: Path, tmp_path: Path) -> None:
    change(index, "meta", records.CATALOG_KEY, lambda value: flipped(value, 8 * 60))
    with pytest.raises(CorruptIndexError, match="catalog"):
        everything(index)
    assert 2 in broken(index)
    report = repair(index, tmp_path / "repaired", lambda _: PACKING)
    assert any("payloads" in loss for loss in report.losses)
    assert report.rows_lost == 0


def test_a_generation_that_is_not_whole(index: Path, tmp_path: Path) -> None:
    """What a rebuilding has begun, under the name of a generation that counts."""
    with Store.open(index, lambda _: PACKING) as store, store.write() as txn:
        txn.set_note(REBUILD_NOTE, [1.5e9, 2500, 2500, 1000, {}])
    assert broken(index) == {29}
    repair(index, tmp_path / "repaired", lambda _: PACKING)
    assert broken(tmp_path / "repaired") == set()


def test_a_feature_without_what_it_says(index: Path) -> None:
    def named(value: bytes) -> bytes:
        identity = Identity.unpack(memoryview(value))
        return replace(identity, features=(*identity.features, records.VECTORLESS)).pack()

    change(index, "meta", records.IDENTITY_KEY, named)
    assert broken(index) == {30}


def test_rows_without_a_vector_and_no_feature(index: Path) -> None:
    def named(value: bytes) -> bytes:
        catalog = Catalog.unpack(memoryview(value))
        return replace(catalog, names=(*catalog.names, records.VECTORLESS_KEY)).pack()

    change(index, "meta", records.CATALOG_KEY, named)
    assert broken(index) == {30}


def test_rows_that_end_and_no_feature(index: Path) -> None:
    def named(value: bytes) -> bytes:
        state = State.unpack(memoryview(value))
        return state._replace(expiry=FIELDS.index("n")).pack()

    change(index, "meta", records.STATE_KEY, named)
    assert broken(index) == {31, 32}


def test_a_feature_without_a_field_of_ends(index: Path, tmp_path: Path) -> None:
    def named(value: bytes) -> bytes:
        identity = Identity.unpack(memoryview(value))
        return replace(identity, features=(*identity.features, records.EXPIRY)).pack()

    change(index, "meta", records.IDENTITY_KEY, named)
    assert broken(index) == {31}
    report = repair(index, tmp_path / "repaired", lambda _: PACKING)
    assert any("do not expire any more" in loss for loss in report.losses)
    assert broken(tmp_path / "repaired") == set()


def test_rows_end_by_a_field_that_is_not_there(index: Path) -> None:
    def named(value: bytes) -> bytes:
        return State.unpack(memoryview(value))._replace(expiry=99).pack()

    change(index, "meta", records.STATE_KEY, named)
    assert broken(index) == {31}
    with (
        Store.open(index, lambda _: PACKING) as store,
        pytest.raises(CorruptIndexError, match="rows end by field 99"),
    ):
        store.read()
