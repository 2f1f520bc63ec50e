"""All rows of an index put into codes of another kind: a new generation beside the old one, then a switch.

Whoever dies on the way leaves the one or the other. Ids, payloads, saved sets, notes and counters stay.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy.typing as npt

from pqstore.arrays import I64, U8
from pqstore.progress import Progress, ProgressStep
from pqstore.storage.disk import crash_points, directory
from pqstore.storage.disk.lmdb_errors import storage_errors
from pqstore.storage.disk.system_errors import opening
from pqstore.storage.format import records
from pqstore.storage.format.catalog import Catalog
from pqstore.storage.format.state import Identity, State
from pqstore.storage.rows.packing import RowPacking, chunk_rows_for, segment_rows_for
from pqstore.storage.rows.schema import Schema
from pqstore.storage.transactions.committed import CommittedRecords
from pqstore.storage.transactions.generation import Generation, SchemaOf
from pqstore.storage.transactions.open_index import SharedIndex, alone, share
from pqstore.storage.transactions.snapshot import Snapshot
from pqstore.storage.transactions.write import WriteTransaction, change
from pqstore.storage.upkeep.maintenance import maintain
from pqstore.storage.upkeep.new_generation import write_generation
from pqstore.storage.upkeep.switching import leave

__all__ = ["Rebuild", "rebuild"]

_ROWS = 8192  # of a transaction in the new generation, and in memory


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
    convert: Callable[[I64], tuple[npt.NDArray[Any], U8 | None]]
    """Rows of the snapshot that the plan was made of -> their new codes and originals."""
    dropped_notes: tuple[str, ...] = ()
    segment_rows: int | None = None
    """Rows of a segment; None: as the codes are large."""


def rebuild(
    shared: SharedIndex,
    path: Path,
    schema_of: SchemaOf,
    plan: Callable[[Snapshot], Rebuild],
    timeout: float | None,
    *,
    progress: Progress,
) -> None:
    """See `Store.rebuild`."""

    def work(old: Generation) -> None:
        with old.environment.begin() as txn:
            snapshot = Snapshot(CommittedRecords(schema_of(old), old, txn, txn.id()), None)
            wanted = plan(snapshot)
            target = directory.next_generation(old.index, old.number)
            temporary = directory.temporary_beside(target)
            try:
                made = _filled(temporary, snapshot, wanted, progress)
                with storage_errors(path), opening(path):
                    directory.give_to_owner_of(temporary, old.path)
                    crash_points.reach("index rebuilt beside")
                    made.rename(target)  # the switch
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        leave(shared, old, target)

    alone(shared, path, timeout, work)


def _filled(temporary: Path, snapshot: Snapshot, wanted: Rebuild, progress: Progress) -> Path:
    """A generation with all live rows, durable and closed, in the directory `temporary`."""
    generation, limits = directory.generation_path(temporary, 1), snapshot.records.generation.limits
    identity = _identity_of(snapshot.records.schema.identity, wanted)
    state = State(commit=snapshot.version, next_id=snapshot.records.state.next_id)
    index = snapshot.records.generation.index
    with storage_errors(index), opening(index):  # not what the caller's functions raise
        write_generation(generation, identity, wanted.arrays, Catalog(fields=snapshot.catalog.fields), state, limits)
        shared = share(temporary, sync=False, limits=limits)

    def schema_of(made: Generation) -> Schema:
        return made.schema(lambda _: wanted.packing)

    def write(work: Callable[[WriteTransaction], None]) -> None:
        change(
            shared,
            temporary,
            lambda made: made.schema(lambda _: wanted.packing),
            work,
            None,
            flush=False,
            after_commit=maintain,
        )

    try:
        done = 0
        for rows in snapshot.rows.live_blocks(_ROWS):
            write(partial(_append, snapshot=snapshot, wanted=wanted, rows=rows))
            done += len(rows)
            progress(ProgressStep("encoding", done, snapshot.live_rows))
        write(partial(_keep_the_rest, snapshot=snapshot, wanted=wanted))
        shared.settle()
    finally:
        shared.release()
    return generation


def _identity_of(old: Identity, wanted: Rebuild) -> Identity:
    segment_rows = wanted.segment_rows or segment_rows_for(wanted.packing)
    return replace(
        old,
        settings=dict(wanted.settings),
        arrays=tuple(wanted.arrays),
        segment_rows=segment_rows,
        chunk_rows=min(segment_rows, chunk_rows_for(wanted.packing)),
        row_bytes=wanted.row_bytes,
        features=(records.NUMBERED_STATES, *wanted.features),
    )


def _append(txn: WriteTransaction, snapshot: Snapshot, wanted: Rebuild, rows: I64) -> None:
    codes, originals = wanted.convert(rows)
    payloads = snapshot.payloads_of(rows) if snapshot.catalog.knows_payloads else None
    txn.append(codes, snapshot.ids_of(rows), originals, payloads)


def _keep_the_rest(txn: WriteTransaction, snapshot: Snapshot, wanted: Rebuild) -> None:
    """Notes, saved sets, and ids that were given once and must not be given again."""
    for name, note in snapshot.catalog.notes.items():
        if name not in wanted.dropped_notes:
            txn.set_note(name, note)
    for name in snapshot.catalog.sets:
        txn.save_set(name, snapshot.saved_set(name))
    txn.keep_next_id(snapshot.records.state.next_id)
