"""All rows of an index put into codes of another kind: a new generation beside the old one, then a switch.

Readers and writers go on; what is written meanwhile is caught up with, the last of it while writers wait. Whoever dies
on the way leaves the one or the other. Ids, payloads, saved sets, notes and counters stay.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy.typing as npt

from pqstore.arrays import I64, U8
from pqstore.errors import PQStoreError
from pqstore.progress import Progress, ProgressStep
from pqstore.storage.disk import crash_points, directory
from pqstore.storage.disk.lmdb_errors import storage_errors
from pqstore.storage.disk.system_errors import opening
from pqstore.storage.format import records
from pqstore.storage.format.catalog import Catalog, catalog_features
from pqstore.storage.format.state import Identity, State
from pqstore.storage.rows.packing import RowPacking, chunk_rows_for, segment_rows_for
from pqstore.storage.rows.schema import Schema
from pqstore.storage.transactions.committed import CommittedRecords
from pqstore.storage.transactions.generation import Generation, SchemaOf
from pqstore.storage.transactions.leftovers import clear_rebuilding, hold, rebuilding_beside
from pqstore.storage.transactions.open_index import SharedIndex, alone, share
from pqstore.storage.transactions.row_reads import are_live
from pqstore.storage.transactions.snapshot import Snapshot
from pqstore.storage.transactions.write import WriteTransaction, change
from pqstore.storage.upkeep.maintenance import maintain
from pqstore.storage.upkeep.new_generation import write_generation
from pqstore.storage.upkeep.switching import leave

__all__ = ["Rebuild", "rebuild"]

_ROWS = 8192  # of a transaction in the new generation, and in memory
_ROUNDS, _FEW = 5, 4096  # of following what others write; so few rows are left for the moment when they may not
_SEGMENTS_APART = 1024
"""Files of originals have other names than those of the generation before, for whose files a reader would take them: a
compaction keeps names and rows."""


@dataclass(frozen=True, slots=True)
class Rebuild:
    """What the rows are to become."""

    settings: Mapping[str, Any]
    arrays: Mapping[str, npt.NDArray[Any]]
    packing: RowPacking
    row_bytes: int
    """Bytes of the original of a row; 0: none."""
    features: tuple[str, ...]
    """Features of the format that the index has from now on."""
    convert: Callable[[Snapshot, I64], tuple[npt.NDArray[Any], U8 | None]]
    """Rows of a snapshot -> their new codes and originals."""
    dropped_notes: tuple[str, ...] = ()
    segment_rows: int | None = None
    """Rows of a segment; None: as the codes are large."""


def rebuild(
    shared: SharedIndex,
    path: Path,
    read: Callable[[], Snapshot],
    schema_of: SchemaOf,
    plan: Callable[[Snapshot], Rebuild],
    timeout: float | None,
    *,
    progress: Progress,
) -> None:
    """See `Store.rebuild`."""
    clear_rebuilding(path)
    with read() as begun:
        begun.attachments.pin_originals()
        wanted = plan(begun)
        with _Copy(path, begun, wanted) as copy:
            copy.fill(progress)
            # Most of what was written meanwhile is caught up with while others go on writing.
            for _ in range(_ROUNDS):
                later = read()
                later.attachments.pin_originals()
                if copy.catch_up(later) < _FEW:
                    break

            def switch(old: Generation) -> None:
                target = directory.next_generation(old.index, old.number)
                with old.environment.begin() as txn:
                    copy.catch_up(Snapshot(CommittedRecords(schema_of(old), old, txn, txn.id()), None), last=True)
                with storage_errors(path), opening(path):
                    directory.give_to_owner_of(copy.place, old.path)
                    crash_points.reach("index rebuilt beside")
                    copy.generation.rename(target)  # the switch
                leave(shared, old, target)

            alone(shared, path, timeout, switch)


class _Copy:
    """The rows of an index in other codes: an index of its own, on its way to become the next generation."""

    def __init__(self, path: Path, begun: Snapshot, wanted: Rebuild) -> None:
        """For a `with` block, at whose end the place where it lies is removed."""
        self.place = rebuilding_beside(path)
        self.generation = directory.generation_path(self.place, 1)
        self._index = path
        self._wanted = wanted
        self._seen = begun
        """The state whose rows it has; later ones are told from it."""
        self._made = begun.records.schema.identity.created
        """Each rebuilding gives the index another, as it numbers rows anew and may keep settings; a compaction does
        neither. The key of str ids stays: they are listed in its order."""
        self._fields = len(begun.catalog.fields)

    def __enter__(self) -> _Copy:
        records, wanted = self._seen.records, self._wanted
        identity = _identity_of(records.schema.identity, wanted, self._seen.catalog.fields)
        state = State(
            commit=self._seen.version,
            next_id=records.state.next_id,
            open_segment=records.state.open_segment + _SEGMENTS_APART,
        )
        self._held = hold(self.place)
        try:
            with storage_errors(self._index), opening(self._index):  # not what the caller's functions raise
                catalog, limits = Catalog(fields=self._seen.catalog.fields), records.generation.limits
                write_generation(self.generation, identity, wanted.arrays, catalog, state, limits)
                self._shared = share(self.place, sync=False, limits=limits)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._seen.close()
        self._shared.release()
        self._remove()

    def _remove(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        self._held.close()

    def _write(self, work: Callable[[WriteTransaction], None]) -> None:
        def schema_of(made: Generation) -> Schema:
            return made.schema(lambda _: self._wanted.packing)

        change(self._shared, self.place, schema_of, work, None, flush=False, after_commit=maintain)

    def fill(self, progress: Progress) -> None:
        """All rows of the state that this was begun with."""
        done = 0
        for rows in self._seen.rows.live_blocks(_ROWS):
            self._write(partial(self._append, snapshot=self._seen, rows=rows))
            done += len(rows)
            progress(ProgressStep("encoding", done, self._seen.live_rows))

    def catch_up(self, snapshot: Snapshot, *, last: bool = False) -> int:
        """Follow to a later state, which is this one's now; how many rows have come and gone. The last time all else
        comes along, and it is durable and closed.

        Raises:
            PQStoreError: another process has rebuilt the index.
        """
        if snapshot.records.schema.identity.created != self._made:
            raise PQStoreError(f"index at {self._index}: it was rebuilt meanwhile; nothing was changed by this call")
        changed = 0
        first = self._seen.records.schema.geometry.next_row(self._seen.records.state)
        for rows in self._seen.rows.live_blocks(_ROWS):
            gone = rows[~are_live(snapshot.records, rows)]
            if len(gone):
                self._write(partial(_remove_ids, ids=self._seen.ids_of(gone)))
                changed += len(gone)
        for rows in snapshot.rows.live_blocks(_ROWS):
            new = rows[rows >= first]
            if len(new):
                self._write(partial(self._append, snapshot=snapshot, rows=new))
                changed += len(new)
        if last:
            for field in snapshot.catalog.fields[self._fields :]:
                self._write(partial(WriteTransaction.declare_field, name=field))
            self._write(partial(self._keep_the_rest, snapshot=snapshot))
            self._shared.settle()
        else:
            self._seen.close()
            self._seen = snapshot
        return changed

    def _append(self, txn: WriteTransaction, snapshot: Snapshot, rows: I64) -> None:
        codes, originals = self._wanted.convert(snapshot, rows)
        payloads = snapshot.payloads_of(rows) if snapshot.catalog.knows_payloads else None
        ids = snapshot.ids_of(rows)
        there = txn.rows_of(ids)  # rows that were rewritten have come with this id already
        txn.kill(there[there >= 0])
        txn.append(codes, ids, originals, payloads)

    def _keep_the_rest(self, txn: WriteTransaction, snapshot: Snapshot) -> None:
        """Notes, saved sets, and numbers that were given once and must not be given again."""
        for name, note in snapshot.catalog.notes.items():
            if name not in self._wanted.dropped_notes:
                txn.set_note(name, note)
        for name in snapshot.catalog.sets:
            txn.save_set(name, snapshot.saved_set(name))
        txn.come_after(snapshot.version, snapshot.records.state.next_id)


def _remove_ids(txn: WriteTransaction, ids: Any) -> None:
    rows = txn.rows_of(ids)
    txn.kill(rows[rows >= 0])


def _identity_of(old: Identity, wanted: Rebuild, fields: Sequence[str]) -> Identity:
    segment_rows = wanted.segment_rows or segment_rows_for(wanted.packing)
    return replace(
        old,
        created=max(time.time(), math.nextafter(old.created, math.inf)),
        settings=dict(wanted.settings),
        arrays=tuple(wanted.arrays),
        segment_rows=segment_rows,
        chunk_rows=min(segment_rows, chunk_rows_for(wanted.packing)),
        row_bytes=wanted.row_bytes,
        features=(records.NUMBERED_STATES, *wanted.features, *catalog_features(fields)),
    )
