"""Every invariant of docs/format.md, by its number, against one snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import numpy as np

from pqstore.errors import CorruptIndexError
from pqstore.progress import Progress, ProgressStep, no_progress
from pqstore.storage.format import records
from pqstore.storage.format.decoding import decoding
from pqstore.storage.format.rebuild_note import REBUILD_NOTE
from pqstore.storage.format.staged import check_staged, unpack_staged
from pqstore.storage.format.state import RunInfo
from pqstore.storage.idmap.runs import RunReader
from pqstore.storage.rows import column_records
from pqstore.storage.rows.id_columns import StringColumn
from pqstore.storage.rows.tombstones import count_set, live_positions
from pqstore.storage.transactions.snapshot import Snapshot
from pqstore.storage.upkeep.problem import Problem
from pqstore.storage.upkeep.verify_attachments import ATTACHMENT_INVARIANTS, attachment_problems
from pqstore.storage.upkeep.verify_lists import LIST_INVARIANTS, list_numbers, list_problems

__all__ = ["INVARIANTS", "UNFINISHED", "verify"]

UNFINISHED: Final = 29
INVARIANTS: Final = {
    1: "The pages and trees of the data file are sound, by LMDB's rules.",
    2: "Every record has the header of its kind and key, and its checksum holds.",
    3: "The arrays that the identity names are all there.",
    4: "Segments and runs are numbered below the next number to be given.",
    5: "live_rows is the number of stored rows whose tombstone is not set.",
    6: "A sealed segment has a codes record of the packed size of segment_rows rows.",
    7: "A sealed segment has a rowids record of segment_rows ids, each an int64 or 1 to 4,096 bytes of UTF-8.",
    8: "A segment has a tombstones record exactly when rows of it are dead, with as many bits set as its entry says.",
    9: "The tail has a codes and an ids chunk for every chunk_rows rows begun, and none beyond.",
    10: "A run has a directory, full chunks but for the last, ascending keys; each chunk ends on its directory key.",
    11: "Id map entries name rows below the next row.",
    12: "The id of every live row leads to that row, so no two live rows have the same id.",
    13: "No record is without an owner, but for those that the staged record names.",
    14: "next_id is larger than every int64 id ever given and not negative.",
    15: "A merge names runs that exist, positions within them, and an output of full chunks.",
    16: "No stamp is later than the last commit.",
    **ATTACHMENT_INVARIANTS,
    24: "The state names the transaction of LMDB that wrote it, unless only pqstore 0.1 has written to the index.",
    **LIST_INVARIANTS,
    UNFINISHED: "A generation that counts is whole: it has no note on rebuilding.",
}

_SAMPLE = 64


def verify(snapshot: Snapshot, *, deep: bool, progress: Progress = no_progress) -> list[Problem]:
    """The problems found. `deep` walks LMDB's pages too, and looks up all live rows instead of some of a segment."""
    findings = _Verification(snapshot, deep).findings()
    problems: list[Problem] = []
    while True:
        with decoding(f"index at {snapshot.records.generation.index}"):
            found = next(findings, None)
        if found is None:
            return problems
        if isinstance(found, Problem):
            problems.append(found)
        else:
            progress(found)  # what it raises is not the index's fault


class _Verification:
    def __init__(self, snapshot: Snapshot, deep: bool) -> None:
        self._snapshot = snapshot
        self._records = snapshot.records
        self._schema = snapshot.records.schema
        self._geometry = snapshot.records.schema.geometry
        self._deep = deep
        self._state = snapshot.records.state
        self._get = snapshot.records.get
        self._unreadable: set[int] = set()  # segments whose ids or tombstones cannot be read

    def findings(self) -> Iterator[Problem | ProgressStep]:
        if self._deep:
            for text in self._records.generation.environment.structure_problems():
                yield Problem(1, "data file", text)
            yield ProgressStep("pages", 1, 1)
        yield from self._identity()
        yield from self._unfinished()
        yield from self._counters()
        entries = self._records.table.entries
        for done, (segment, entry) in enumerate(entries.items(), start=1):
            yield from self._segment(segment, entry.dead, entry.stamp)
            yield ProgressStep("records", done, len(entries))
        yield from self._tail()
        yield from self._runs()
        yield from self._owners()
        yield from self._lookups()
        yield from attachment_problems(self._snapshot, deep=self._deep)
        yield ProgressStep("attachments", 1, 1)
        yield from list_problems(self._snapshot, deep=self._deep)

    def _identity(self) -> Iterator[Problem]:
        for name in self._schema.identity.arrays:
            value = self._get("quantizer", name.encode())
            if value is None:
                yield Problem(3, f"array {name!r}", "missing")
                continue
            try:
                records.unpack_array(value, name)
            except CorruptIndexError as error:
                yield Problem(2, f"array {name!r}", str(error))

    def _unfinished(self) -> Iterator[Problem]:
        with suppress(CorruptIndexError):  # which is told with what else hangs on the catalog
            if REBUILD_NOTE in self._snapshot.catalog.notes:
                yield Problem(UNFINISHED, "catalog", "rows are missing: the rebuilding of the index has not ended")

    def _counters(self) -> Iterator[Problem]:
        state, table = self._state, self._records.table
        if len(table) and int(table.numbers[-1]) >= state.open_segment:
            yield Problem(4, "state", f"segment {int(table.numbers[-1])} is not below {state.open_segment}")
        for info in state.runs:
            if info.run >= state.next_run:
                yield Problem(4, "state", f"run {info.run} is not below {state.next_run}")
        live = self._snapshot.total_rows - table.total_dead - state.tail_dead
        if state.live_rows != live:
            yield Problem(5, "state", f"{state.live_rows} live rows, but {live} are stored and not dead")
        if state.transaction is None and records.NUMBERED_STATES in self._schema.identity.features:
            yield Problem(24, "state", "names no transaction")
        for name, stamp in (("tail", state.tail_stamp), ("segments", state.table_stamp)):
            if stamp > state.commit:
                yield Problem(16, "state", f"{name} changed in commit {stamp}, after the last one, {state.commit}")

    def _segment(self, segment: int, dead: int, stamp: int) -> Iterator[Problem]:
        rows = self._geometry.segment_rows
        if stamp > self._state.commit:
            yield Problem(16, f"segment {segment}", f"changed in commit {stamp}, after {self._state.commit}")
        try:
            column_records.read_codes(self._get, segment, self._schema.segment_bytes, rows)
        except CorruptIndexError as error:
            yield Problem(6, records.record_name(records.CODES, segment), str(error))
        try:
            yield from self._ids(
                column_records.read_ids(self._get, self._schema.codec, segment, rows), f"segment {segment}"
            )
        except CorruptIndexError as error:
            self._unreadable.add(segment)
            yield Problem(7, records.record_name(records.ROWIDS, segment), str(error))
        yield from self._tombstones(segment, dead, rows)

    def _ids(self, column: Any, where: str) -> Iterator[Problem]:
        if isinstance(column, StringColumn):
            lengths = np.diff(column.offsets.astype(np.int64))
            if len(lengths) and (int(lengths.min()) < 1 or int(lengths.max()) > 4096):
                yield Problem(7, f"ids of {where}", f"from {lengths.min()} to {lengths.max()} bytes long")
            column.user()  # raises when it is not UTF-8
        elif len(column) and int(column.user().max()) >= self._state.next_id:
            yield Problem(
                14, f"ids of {where}", f"id {int(column.user().max())}, but the next is {self._state.next_id}"
            )

    def _tombstones(self, segment: int, dead: int, rows: int) -> Iterator[Problem]:
        name = records.record_name(records.TOMBSTONES, segment)
        if dead == 0:
            if self._get("tombstones", records.key1(segment)) is not None:
                yield Problem(8, name, "stored though no row is dead")
            return
        try:
            bitmap = column_records.read_bitmap(self._get, segment, dead, self._geometry.segment_rows)
            beyond = dead - count_set(np.packbits(np.unpackbits(bitmap, count=rows, bitorder="little")))
            if beyond:
                yield Problem(8, name, f"{beyond} bits are set beyond the last row")
        except CorruptIndexError as error:
            self._unreadable.add(segment)
            yield Problem(8, name, str(error))

    def _tail(self) -> Iterator[Problem]:
        state = self._state
        for chunk in self._geometry.tail_chunks(state):
            rows = self._geometry.rows_in_chunk(chunk, state)
            try:
                column_records.read_tail_codes(self._get, chunk, self._schema.packing.packed_size(rows), rows)
                column = column_records.read_tail_ids(self._get, self._schema.codec, chunk, rows)
                yield from self._ids(column, f"tail chunk {chunk}")
            except CorruptIndexError as error:
                self._unreadable.add(state.open_segment)
                yield Problem(9, f"tail chunk {chunk}", str(error))
        yield from self._tombstones(state.open_segment, state.tail_dead, state.tail_rows)

    def _runs(self) -> Iterator[Problem]:
        state = self._state
        next_row = self._geometry.next_row(state)
        for info in state.runs:
            yield from self._run(info, next_row)
        for entry in state.ranges:
            if entry.count < 1 or entry.first_row < 0 or entry.first_row + entry.count > next_row:
                yield Problem(11, "state", f"range {entry} reaches beyond row {next_row}")
            if entry.first_id + entry.count > state.next_id:
                yield Problem(14, "state", f"range {entry} reaches beyond the next id, {state.next_id}")
        job = state.merge
        if job is None:
            return
        entries = {info.run: info.entries for info in state.runs}
        if len(job.inputs) != len(job.positions) or any(
            not 0 <= at <= entries.get(run, -1) for run, at in zip(job.inputs, job.positions, strict=False)
        ):
            yield Problem(15, "state", f"{job} does not fit the runs")
        rest = job.entries % self._records.generation.limits.run_chunk_entries
        if job.output in entries or job.output >= state.next_run or rest:
            yield Problem(15, "state", f"{job} has an output that cannot be")
        elif job.entries:
            yield from self._run(RunInfo(job.output, job.entries), next_row)

    def _run(self, info: RunInfo, next_row: int) -> Iterator[Problem]:
        try:
            chunk_entries = self._records.generation.limits.run_chunk_entries
            reader = RunReader(info.run, info.entries, self._get, chunk_entries)
        except CorruptIndexError as error:
            yield Problem(10, f"run {info.run}", str(error))
            return
        last = np.uint64(0)
        for ordinal in range(reader.chunk_count):
            name = records.record_name(records.RUN_CHUNK, info.run, ordinal)
            try:
                keys, offsets, base = reader.chunk(ordinal, self._get)
            except CorruptIndexError as error:
                yield Problem(10, name, str(error))
                continue
            if keys[0] < last or np.any(keys[1:] < keys[:-1]):
                yield Problem(10, name, "its keys do not ascend")
            last = keys[-1]
            if base + int(offsets.max()) >= next_row:
                yield Problem(11, name, f"names row {base + int(offsets.max())}, but the next row is {next_row}")

    def _owners(self) -> Iterator[Problem]:
        """Invariants 2 and 13 for what is stored but not referred to."""
        state, table = self._state, self._records.table
        staged_segments = range(0)
        staged_runs: tuple[int, ...] = ()
        value = self._get("meta", records.STAGED_KEY)
        if value is not None:
            try:
                staged_segments, staged_runs = unpack_staged(value)
                check_staged(staged_segments, staged_runs, state)
            except CorruptIndexError as error:
                yield Problem(2, "staged", str(error))
        runs = {*(info.run for info in state.runs), *staged_runs, *list_numbers(self._snapshot)}
        if state.merge is not None:
            runs.add(state.merge.output)
        chunks = self._geometry.tail_chunks(state)
        owned: dict[str, Callable[[tuple[int, ...]], bool]] = {
            "codes": lambda key: key[0] in table.entries or key[0] in staged_segments,
            "rowids": lambda key: key[0] in table.entries or key[0] in staged_segments,
            "tombstones": lambda key: key[0] in table.entries or key[0] == state.open_segment,
            "tail": lambda key: key[0] in (records.COLUMN_CODES, records.COLUMN_IDS) and key[1] in chunks,
            "runs": lambda key: key[0] in runs,
            "runchunks": lambda key: key[0] in runs,
        }
        for database, has_owner in owned.items():
            for raw in self._records.keys(database):
                key = tuple(int.from_bytes(raw[at : at + 8], "big") for at in range(0, len(raw), 8))
                parts = 2 if database in ("tail", "runchunks") else 1
                if len(raw) != 8 * parts or not has_owner(key):
                    yield Problem(13, f"{database} {key}", "belongs to nothing")

    def _lookups(self) -> Iterator[Problem | ProgressStep]:
        rng = np.random.default_rng(self._state.commit)
        stored = list(self._geometry.stored(self._records.table.entries, self._state))
        for done, (segment, count) in enumerate(stored):
            yield ProgressStep("ids", done, len(stored))
            if segment in self._unreadable:
                continue
            try:
                live = live_positions(self._records.bitmap(segment), count)
                if not self._deep and len(live) > _SAMPLE:
                    live = np.sort(rng.choice(live, _SAMPLE, replace=False))
                rows = live + self._geometry.first_row(segment)
                found = self._snapshot.rows_of(self._snapshot.ids_of(rows))
            except CorruptIndexError:
                continue  # reported with the record
            wrong = np.flatnonzero(found != rows)
            if len(wrong):
                row, other = int(rows[wrong[0]]), int(found[wrong[0]])
                yield Problem(
                    12, f"segment {segment}", f"{len(wrong)} live rows are not found, row {row} leads to {other}"
                )
