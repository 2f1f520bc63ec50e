"""Flipped bits, missing records, short files: a named error or the right answer, never a wrong one, never a crash."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest

from pqstore.errors import CorruptIndexError, FormatVersionError
from pqstore.storage import Store
from pqstore.storage.disk.data_file import DATA_FILE
from pqstore.storage.disk.directory import generation_path
from pqstore.storage.disk.lmdb_meta import DamagedFileError, Meta, read_metas
from pqstore.storage.disk.lmdb_trees import TreeWalk
from pqstore.storage.format import records
from pqstore.storage.repair.repair import repair
from tests.effort import AT_NIGHT, tries
from tests.forked import in_child
from tests.format.edited import edited
from tests.unit.storage.attached import attached, save_some
from tests.unit.storage.listed import make_lists, remove_lists

from .damaged import PACKING, build, check_answers, flip, stored_records

Rows = dict[Any, bytes]
Original = tuple[Path, Rows]


@pytest.fixture(scope="module", params=["int64", "str"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Original:
    path = tmp_path_factory.mktemp("original") / "index.pqs"
    return path, build(path, request.param)


@pytest.fixture
def copy(original: Original, tmp_path: Path) -> Callable[[], Path]:
    def make() -> Path:
        path = tmp_path / "damaged.pqs"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(original[0], path)
        return path

    return make


def one_of_each_kind(path: Path) -> dict[int, tuple[str, bytes, bytes]]:
    """(database, key, value) of the first and, where there are more, another record of every kind."""
    found = {}
    for (database, key), value in stored_records(path).items():
        found.setdefault(value[5], (database, key, value))
    return found


def test_the_index_has_every_kind_of_record(original: Original) -> None:
    assert set(one_of_each_kind(original[0])) == set(records.KIND_NAMES)
    check_answers(*original)


def salvaged(path: Path, target: Path, rows: Rows) -> None:
    """Repair, and check that everything salvaged is right and everything else is accounted for."""
    shutil.rmtree(target, ignore_errors=True)
    report = repair(path, target, lambda _: PACKING)
    with Store.open(target, lambda _: PACKING) as store, store.read() as snapshot:
        ids = [identifier for block in snapshot.iter_ids() for identifier in block.tolist()]
        codes = snapshot.codes_of(snapshot.rows_of(ids))
        known = [
            (identifier, code.tobytes()) for identifier, code in zip(ids, codes, strict=True) if identifier in rows
        ]
        assert all(rows[identifier] == code for identifier, code in known)
        back = len(ids) - len(known)
        if back:  # only where the report says that removed rows came back
            assert report.scanned or any("back" in loss for loss in report.losses)
        if not report.scanned:
            assert len(known) + report.rows_lost >= len(rows)
        assert report.rows_salvaged == len(ids)
        assert store.verify(deep=True) == []


@pytest.mark.parametrize("kind", sorted(records.KIND_NAMES))
def test_flipped_bits_of_every_kind_of_record(
    original: Original, copy: Callable[[], Path], tmp_path: Path, kind: int
) -> None:
    path, rows = original
    value = one_of_each_kind(path)[kind][2]
    rng = np.random.default_rng(kind)
    header = rng.choice(8 * records.HEADER_BYTES, 10, replace=False)
    payload = 8 * records.HEADER_BYTES + rng.choice(8 * (len(value) - records.HEADER_BYTES), 6, replace=False)
    # To repair, a wrong header and a wrong payload are one: in the ordinary run each index has one of them.
    either = [header[0], payload[0]]
    mended = either if AT_NIGHT else either[isinstance(next(iter(rows)), str) :][:1]
    for bit in [*header[: tries(3, 8)].tolist(), *payload[: tries(2, 4)].tolist()]:
        damaged = copy()
        flip(damaged, value, bit)
        try:
            check_answers(damaged, rows)
            opened = True
        except (CorruptIndexError, FormatVersionError):
            opened = kind not in (records.IDENTITY, records.STATE, records.ARRAY, records.SEGMENT)
        else:
            assert kind == records.STAGED, f"bit {bit} was not noticed"
        if opened:
            with Store.open(damaged, lambda _: PACKING) as store:
                assert store.verify() != [], f"bit {bit} was not noticed"
        if bit in mended:
            if kind == records.IDENTITY:  # the one from before there were lists may still lie about
                with suppress(CorruptIndexError, FormatVersionError):
                    salvaged(damaged, tmp_path / "repaired", rows)
            elif kind == records.ARRAY:
                with pytest.raises((CorruptIndexError, FormatVersionError)):
                    repair(damaged, tmp_path / "repaired", lambda _: PACKING)
            else:
                salvaged(damaged, tmp_path / "repaired", rows)


@pytest.mark.parametrize("kind", sorted(records.KIND_NAMES))
def test_missing_records(original: Original, copy: Callable[[], Path], tmp_path: Path, kind: int) -> None:
    path, rows = original
    database, key, _ = one_of_each_kind(path)[kind]
    damaged = copy()
    with edited(generation_path(damaged, 1), database) as (txn, handle):
        assert txn.delete(key, db=handle)
    if kind == records.STAGED:
        check_answers(damaged, rows)
        with Store.open(damaged, lambda _: PACKING) as store:
            assert {problem.invariant for problem in store.verify()} == {13}
        return
    if kind == records.LIST_STATE:  # without it there are no lists: every search reads all codes
        check_answers(damaged, rows)
        with Store.open(damaged, lambda _: PACKING) as store:
            assert {problem.invariant for problem in store.verify()} == {13, 25}
            make_lists(store)
            assert store.verify(deep=True) == []
        return
    with pytest.raises(CorruptIndexError):
        check_answers(damaged, rows)
    if kind not in (records.IDENTITY, records.ARRAY):
        salvaged(damaged, tmp_path / "repaired", rows)


@pytest.mark.parametrize(
    "kind",
    [records.LIST_STATE, records.PARTITION_TABLE, records.PARTITIONS, records.LIST_DIRECTORY, records.LIST_CHUNK],
)
@pytest.mark.parametrize("again", [True, False])
def test_damaged_lists_are_made_anew(original: Original, copy: Callable[[], Path], kind: int, again: bool) -> None:
    """They follow from the codes: nothing is lost with them, and rows can be added and removed meanwhile."""
    path, rows = original
    value = one_of_each_kind(path)[kind][2]
    damaged = copy()
    flip(damaged, value, 8 * records.HEADER_BYTES + 11)
    with Store.open(damaged, lambda _: PACKING) as store:
        assert 25 in {problem.invariant for problem in store.verify()}
        codes = np.full((2500, 8), 3, dtype=np.uint8)
        new: Any = [10**6 + at if store.identity.id_type == "int64" else f"new {at}" for at in range(len(codes))]
        with store.write() as txn:
            txn.append(codes, new, **attached(codes))
            save_some(txn)
        (make_lists if again else remove_lists)(store)
        assert store.verify(deep=True) == []
    check_answers(damaged, {**rows, **dict.fromkeys(new, codes[0].tobytes())})


def named_or_right(path: Path, rows: Rows) -> None:
    try:
        check_answers(path, rows)
    except (CorruptIndexError, FormatVersionError):
        return


def test_short_files(original: Original, copy: Callable[[], Path]) -> None:
    """A file that ends early kills a process that maps it; ours must be refused before, wherever it ends."""
    path, rows = original
    size = (generation_path(path, 1) / DATA_FILE).stat().st_size
    rng = np.random.default_rng(3)
    for length in [1, 4096, 8191, 8192, *rng.integers(8193, size, 25).tolist(), size - 4096, size - 1]:
        damaged = copy()
        os.truncate(generation_path(damaged, 1) / DATA_FILE, length)

        def work(damaged: Path = damaged) -> None:
            named_or_right(damaged, rows)

        assert in_child(work) == 0, length


def test_flipped_bits_of_the_trees(original: Original, copy: Callable[[], Path]) -> None:
    """LMDB trusts its own pages; a wrong pointer in one would kill the process."""
    path, rows = original
    content = (generation_path(path, 1) / DATA_FILE).read_bytes()
    kinds = {page: content[4096 * page + 10] for page in range(len(content) // 4096)}
    trees = [
        page
        for page, kind in kinds.items()
        if kind in (1, 2) and content[4096 * page :][:8] == page.to_bytes(8, "little")
    ]
    rng = np.random.default_rng(8)
    for _ in range(tries(12, 100)):
        page = int(rng.choice(trees))
        lower = int.from_bytes(content[4096 * page + 12 :][:2], "little")
        bit = int(rng.integers(0, 8 * max(16, lower)))  # the header and the list of nodes
        damaged = copy()
        changed = bytearray(content)
        changed[4096 * page + bit // 8] ^= 1 << (bit % 8)
        (generation_path(damaged, 1) / DATA_FILE).write_bytes(changed)

        def work(damaged: Path = damaged) -> None:
            named_or_right(damaged, rows)

        assert in_child(work) == 0, (page, bit)


def test_pages_of_payloads_are_checked_when_they_are_used(
    original: Original, copy: Callable[[], Path], tmp_path: Path
) -> None:
    """Opening must not take longer the more payloads there are; the pages of everything else are checked then."""
    path, rows = original
    env = lmdb.open(str(generation_path(path, 1)), max_dbs=20, map_size=1 << 26, readonly=True, lock=False)
    with env, env.begin(db=env.open_db(b"payloads", create=False)) as txn:
        keys = list(txn.cursor().iternext(values=False))
    damaged = copy()
    file = generation_path(damaged, 1) / DATA_FILE
    content = bytearray(file.read_bytes())
    found = 0
    for page in range(2, len(content) // 4096):  # those that are free by now, too
        leaf = content[4096 * page : 4096 * (page + 1)]
        if leaf[10] == 2 and all(key in leaf for key in keys[-5:]):
            content[4096 * page + 16 : 4096 * page + 20] = b"\xfe\xff\xfe\xff"  # nodes beyond the end of the page
            found += 1
    assert found
    file.write_bytes(content)

    def work() -> None:
        codes = np.zeros((1, 8), dtype=np.uint8)
        new_id: Any = [123456] if isinstance(next(iter(rows)), int) else ["new"]
        with Store.open(damaged, lambda _: PACKING) as store:
            with store.read() as snapshot:
                found = snapshot.rows_of(list(rows))
                assert [code.tobytes() for code in snapshot.codes_of(found)] == list(rows.values())
                with pytest.raises(CorruptIndexError, match=r"page \d+ has nodes outside"):
                    snapshot.payloads_of(found[:1])
            with pytest.raises(CorruptIndexError), store.write() as txn:
                txn.append(codes, new_id, **attached(codes))
            with pytest.raises(CorruptIndexError):
                store.backup(tmp_path / "backup.pqs")
            for deep in (False, True):
                assert {problem.invariant for problem in store.verify(deep)} == {1}
            with store.read() as snapshot:
                assert snapshot.live_rows == len(rows)

    assert in_child(work) == 0
    assert repair(damaged, tmp_path / "repaired", lambda _: PACKING).scanned


def test_a_file_that_ends_in_pages_nobody_uses_is_sound(original: Original, copy: Callable[[], Path]) -> None:
    damaged = copy()
    with (generation_path(damaged, 1) / DATA_FILE).open("ab") as stream:
        stream.write(bytes(10_000))
    check_answers(damaged, original[1])


def test_repair_without_the_trees(original: Original, copy: Callable[[], Path], tmp_path: Path) -> None:
    """When LMDB's own pages are damaged, records are found by their headers."""
    rows = original[1]
    damaged = copy()
    file = generation_path(damaged, 1) / DATA_FILE
    content = bytearray(file.read_bytes())
    leaves = 0
    for page in range(2, len(content) // 4096):
        flags = int.from_bytes(content[4096 * page + 10 : 4096 * page + 12], "little")
        if flags == 2:  # a leaf: break its list of nodes, which leaves the records of the leaf in place
            content[4096 * page + 12 : 4096 * page + 14] = b"\xff\xff"
            leaves += 1
    file.write_bytes(content)
    assert leaves > 5
    report = repair(damaged, tmp_path / "repaired", lambda _: PACKING)
    assert report.scanned
    with Store.open(tmp_path / "repaired", lambda _: PACKING) as store, store.read() as snapshot:
        found = snapshot.rows_of(list(rows))
        assert np.all(found >= 0)
        assert [code.tobytes() for code in snapshot.codes_of(found)] == list(rows.values())
        assert store.verify(deep=True) == []


def is_sound(descriptor: int, meta: Meta, size: int) -> bool:
    try:
        TreeWalk(meta, size).check_trees(descriptor)
    except DamagedFileError:
        return False
    return True


def test_a_healthy_file_may_end_before_its_last_page(original: Original, copy: Callable[[], Path]) -> None:
    """Pages that LMDB takes and gives back in one transaction are never written, so the file need not reach them."""
    damaged = copy()
    file = generation_path(damaged, 1) / DATA_FILE
    size = file.stat().st_size
    with file.open("rb") as stream:
        meta, _ = read_metas(stream.fileno())
        used = [page for page in range(size // 4096) if is_sound(stream.fileno(), meta, page * 4096)]
    if used:
        os.truncate(file, used[0] * 4096)
        check_answers(damaged, original[1])
    with file.open("r+b") as stream:
        for page in (0, 1):  # claim a last page beyond the end
            stream.seek(page * 4096 + 136)
            stream.write((size // 4096 + 7).to_bytes(8, sys.byteorder))
    check_answers(damaged, original[1])
