"""A rebuilding whose process was killed half way: the next goes on from there, or anew where that is not sound."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pqstore.progress import ProgressStep
from pqstore.storage import Rebuild, Resumption, Snapshot, Store
from pqstore.storage.disk import crash_points
from pqstore.storage.disk.data_file import DATA_FILE
from tests.forked import in_child
from tests.unit.storage.attached import FIELDS, attached, check_attached, row_bytes
from tests.unit.storage.row_packing import RowPacking

WIDE = RowPacking(8)
N = 5000
ASKED = {"turn": 1}


class Turn:
    """The same rows under other settings, in blocks of a thousand; how many were converted."""

    def __init__(self, asked: object = None) -> None:
        self.resumption = Resumption(
            ASKED if asked is None else asked, lambda begun, settings, arrays: self.plan(begun)
        )
        self.converted = 0

    def plan(self, snapshot: Snapshot) -> Rebuild:
        identity = snapshot.records.schema.identity

        def convert(state: Snapshot, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            self.converted += len(rows)
            return state.codes_of(rows), state.originals_of(rows)

        return Rebuild(
            settings={"turn": 1},
            arrays={"codewords": np.arange(4.0)},
            packing=WIDE,
            row_bytes=identity.row_bytes,
            features=(),
            convert=convert,
            segment_rows=identity.segment_rows,
            block_rows=1000,
        )

    def rebuild(self, store: Store, steps: list[ProgressStep] | None = None) -> None:
        told = (lambda step: None) if steps is None else steps.append
        store.rebuild(self.plan, resumption=self.resumption, progress=told)


@pytest.fixture
def codes(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 200, (N, 8), dtype=np.uint8)


@pytest.fixture
def filled(create: Callable[..., Store], codes: np.ndarray) -> Store:
    store = create(row_bytes=row_bytes(8), fields=FIELDS)
    with store.write() as txn:
        txn.append(codes, np.arange(N), **attached(codes))
    return store


def die_at_block(store: Store, count: int, point: str = "rows rebuilt") -> None:
    """In a child, which is killed when it has stored so many blocks."""
    left = [count]

    def die(name: str) -> None:
        if name == point:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        crash_points.observe(die)
        Turn().rebuild(store)

    assert in_child(work) == -signal.SIGKILL


def places(path: Path) -> list[Path]:
    return [entry for entry in path.iterdir() if entry.name.startswith("rebuilding-")]


def check(store: Store, expected: dict[int, bytes]) -> None:
    assert store.verify(deep=True) == []
    with store.read() as snapshot:
        ids = np.concatenate(list(snapshot.iter_ids()))
        rows = snapshot.rows_of(ids)
        found = dict(zip(ids.tolist(), map(bytes, snapshot.codes_of(rows)), strict=True))
        assert found == expected
        check_attached(snapshot, rows)
        assert dict(snapshot.catalog.notes) == {}
    assert places(store.path) == []


def expected(codes: np.ndarray) -> dict[int, bytes]:
    return {number: bytes(code) for number, code in enumerate(codes)}


def test_it_goes_on_where_another_was_killed(filled: Store, codes: np.ndarray) -> None:
    die_at_block(filled, 3)
    assert len(places(filled.path)) == 1
    turn, steps = Turn(), []
    turn.rebuild(filled, steps)
    assert turn.converted == N - 3000
    assert [step.done for step in steps] == [4000, 5000]
    check(filled, expected(codes))


def test_what_came_and_went_since(filled: Store, codes: np.ndarray, rng: np.random.Generator) -> None:
    """Rows of the copy that were removed or replaced, before and after the row at which it stood, and new ones."""
    with filled.write() as txn:
        txn.kill(np.arange(50))
    die_at_block(filled, 3)
    rows = expected(codes)
    for number in range(50):
        del rows[number]
    new = rng.integers(0, 200, (120, 8), dtype=np.uint8)
    ids = np.array([*range(100, 150), *range(4900, 4920), *range(6000, 6050)])
    with filled.write() as txn:
        txn.kill(txn.rows_of(np.array([*range(200, 260), *range(4800, 4830), *ids[:70].tolist()])))
        txn.append(new, ids, **attached(new))
    for number in (*range(200, 260), *range(4800, 4830)):
        del rows[number]
    rows.update({number: bytes(code) for number, code in zip(ids.tolist(), new, strict=True)})
    turn = Turn()
    turn.rebuild(filled)
    assert turn.converted < 2500
    check(filled, rows)


def test_it_may_be_killed_again_and_again(filled: Store, codes: np.ndarray) -> None:
    for _ in range(3):
        die_at_block(filled, 1)
    turn = Turn()
    turn.rebuild(filled)
    assert turn.converted == N - 3000
    check(filled, expected(codes))


@pytest.mark.parametrize("what", ["another wish", "another numbering", "many new rows"])
def test_what_is_of_something_else_is_begun_anew(filled: Store, codes: np.ndarray, what: str) -> None:
    die_at_block(filled, 3)
    rows, turn = expected(codes), Turn({"turn": 2} if what == "another wish" else None)
    if what == "another numbering":
        place = places(filled.path)[0]
        shutil.copytree(place, filled.path.parent / "aside")
        Turn().rebuild(filled)
        shutil.copytree(filled.path.parent / "aside", place)
    elif what == "many new rows":
        with filled.write() as txn:
            txn.append(codes[:501], np.arange(N, N + 501), **attached(codes[:501]))
        rows.update({N + number: bytes(code) for number, code in enumerate(codes[:501])})
    turn.rebuild(filled)
    assert turn.converted == len(rows)
    check(filled, rows)


def test_a_field_that_came_later_does_not_hinder(filled: Store) -> None:
    die_at_block(filled, 3)
    with filled.write() as txn:
        txn.declare_field("more")
    turn = Turn()
    turn.rebuild(filled)
    assert turn.converted == N - 3000
    with filled.read() as snapshot:
        assert snapshot.catalog.fields == (*FIELDS, "more")
    assert filled.verify(deep=True) == []


@pytest.mark.parametrize("damage", ["cut short", "bytes changed", "no file", "a link", "empty"])
def test_what_is_damaged_is_begun_anew(filled: Store, codes: np.ndarray, damage: str) -> None:
    die_at_block(filled, 3)
    generation = places(filled.path)[0] / "generation-00000001"
    file = generation / DATA_FILE
    if damage == "cut short":
        os.truncate(file, file.stat().st_size // 2)
    elif damage == "bytes changed":
        content, some = file.read_bytes(), np.arange(4.0).tobytes()  # the array of the quantizer
        assert some in content
        file.write_bytes(content.replace(some, some[::-1]))
    elif damage == "no file":
        file.unlink()
    elif damage == "a link":
        file.rename(filled.path.parent / "elsewhere")
        file.symlink_to(filled.path.parent / "elsewhere")
    else:
        file.write_bytes(b"")
    turn = Turn()
    turn.rebuild(filled)
    assert turn.converted == N
    check(filled, expected(codes))


def test_originals_that_are_missing(filled: Store, codes: np.ndarray) -> None:
    die_at_block(filled, 3)
    for file in (places(filled.path)[0] / "generation-00000001" / "originals").iterdir():
        file.unlink()
    turn = Turn()
    turn.rebuild(filled)
    assert turn.converted == N
    check(filled, expected(codes))


def test_an_interrupt_leaves_it_and_an_error_does_not(filled: Store, codes: np.ndarray) -> None:
    for error, left in ((KeyboardInterrupt, 1), (ZeroDivisionError, 0)):
        turn, done = Turn(), []

        def stop(step: ProgressStep, error: type[BaseException] = error, done: list[int] = done) -> None:
            done.append(step.done)
            if len(done) == 2:
                raise error

        with pytest.raises(error):
            filled.rebuild(turn.plan, resumption=turn.resumption, progress=stop)
        assert len(places(filled.path)) == left
    turn = Turn()
    turn.rebuild(filled)
    check(filled, expected(codes))


def test_compaction_gives_its_room_back(filled: Store) -> None:
    die_at_block(filled, 3)
    with filled.write() as txn:
        txn.kill([0])
    assert len(places(filled.path)) == 1
    filled.compact()
    assert places(filled.path) == []


def test_the_next_writer_removes_what_is_a_day_old(
    filled: Store, reopen: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    die_at_block(filled, 3)
    filled.close()
    file = places(filled.path)[0] / "generation-00000001" / DATA_FILE
    os.utime(file, (file.stat().st_atime, file.stat().st_mtime - 90_000))
    with reopen() as store, store.write() as txn:
        txn.kill([0])
        assert places(store.path) == []


def test_two_at_once_do_not_share_it(filled: Store, codes: np.ndarray, reopen: Callable[..., Store]) -> None:
    """The one that comes second finds no place that is free, and begins its own."""
    die_at_block(filled, 3)
    first, second = Turn(), Turn()

    def meanwhile(step: ProgressStep) -> None:
        if second.converted == 0:
            with reopen() as other:
                second.rebuild(other)

    with pytest.raises(Exception, match="rebuilt meanwhile"):
        filled.rebuild(first.plan, resumption=first.resumption, progress=meanwhile)
    assert second.converted == N
    check(filled, expected(codes))
