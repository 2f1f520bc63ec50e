"""Merging runs: which ones, and a bounded piece of the work at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pqstore.arrays import I64, U64
from pqstore.errors import CorruptIndexError
from pqstore.storage.format import records
from pqstore.storage.format.records import Delete, Get, Put
from pqstore.storage.format.state import MergeJob, RunInfo
from pqstore.storage.idmap.order import ascending
from pqstore.storage.idmap.runs import RunReader, pack_chunk, pack_directory, unpack_directory

__all__ = ["delete_run", "plan_merge", "step", "write_run"]

_FAN_IN = 3
_STALE = 1.3  # entries for each live row


def _tier(entries: int, smallest: int) -> int:
    tier = 0
    while entries > smallest:
        entries //= _FAN_IN
        tier += 1
    return tier


def plan_merge(runs: Sequence[RunInfo], output: int, live_rows: int, smallest: int) -> MergeJob | None:
    """Merge the runs of the lowest tier that has three; so a run is written once a tier, and there are few of them.
    Runs of up to `smallest` entries are of the lowest tier.

    Merge all of them when too many of their entries must be of dead rows.
    """
    if len(runs) > 1 and sum(info.entries for info in runs) > smallest + _STALE * live_rows:
        return MergeJob(output, tuple(info.run for info in runs), (0,) * len(runs), 0)
    tiers: defaultdict[int, list[int]] = defaultdict(list)
    for info in runs:
        tiers[_tier(info.entries, smallest)].append(info.run)
    for _, inputs in sorted(tiers.items()):
        if len(inputs) >= _FAN_IN:
            return MergeJob(output, tuple(inputs), (0,) * len(inputs), 0)
    return None


def write_run(run: int, keys: U64, rows: I64, put: Put, chunk_entries: int) -> RunInfo:
    """A new run from entries in any order."""
    order = ascending(keys)
    last_keys = []
    for ordinal, start in enumerate(range(0, len(keys), chunk_entries)):
        chosen = order[start : start + chunk_entries]
        chunk_keys = keys[chosen]
        last_keys.append(chunk_keys[-1])
        put("runchunks", records.key2(run, ordinal), pack_chunk(run, ordinal, chunk_keys, rows[chosen]))
    put("runs", records.key1(run), pack_directory(run, len(keys), np.array(last_keys, dtype=np.uint64)))
    return RunInfo(run, len(keys))


def delete_run(reader: RunReader, delete: Delete) -> None:
    """Remove a run's records."""
    for ordinal in range(reader.chunk_count):
        delete("runchunks", records.key2(reader.run, ordinal))
    delete("runs", records.key1(reader.run))


def step(
    job: MergeJob,
    inputs: Sequence[RunReader],
    budget: int,
    are_live: Callable[[I64], npt.NDArray[np.bool_]],
    get: Get,
    put: Put,
) -> tuple[MergeJob, int, bool]:
    """Deal with about `budget` entries. Returns the job as it stands, how many entries it took, and whether it is done.

    Entries of dead rows are dropped. The output is written in full chunks only, but for the last, so that a job can
    stop between any two and go on in another transaction.
    """
    chunk_entries = inputs[0].chunk_entries
    last_keys: list[U64] = []
    if job.entries:
        stored, keys_so_far = unpack_directory(get("runs", records.key1(job.output)), job.output, chunk_entries)
        if stored != job.entries:
            raise CorruptIndexError(f"directory of run {job.output}: {stored} entries, the state says {job.entries}")
        last_keys.append(keys_so_far)
    spent, window, done = 0, 2 * chunk_entries, False
    while spent < budget and not done:
        keys, rows, origin, done = _next_entries(job, inputs, window, get)
        order = np.argsort(keys, kind="stable")  # linear on a few sorted stretches
        kept = np.flatnonzero(are_live(rows[order]))
        whole = len(kept) // chunk_entries * chunk_entries
        if not done and whole == 0:
            window *= 2  # nearly all were dead
            continue
        cut = len(order) if done else int(kept[whole - 1]) + 1
        chosen = order[kept if done else kept[:whole]]
        first = job.entries // chunk_entries
        for ordinal, start in enumerate(range(0, len(chosen), chunk_entries), first):
            part = chosen[start : start + chunk_entries]
            put("runchunks", records.key2(job.output, ordinal), pack_chunk(job.output, ordinal, keys[part], rows[part]))
            last_keys.append(keys[part[-1:]])
        taken = np.bincount(origin[order[:cut]], minlength=len(inputs)).tolist()
        positions = tuple(at + count for at, count in zip(job.positions, taken, strict=True))
        job = replace(job, positions=positions, entries=job.entries + len(chosen))
        spent += cut
    if job.entries:
        put("runs", records.key1(job.output), pack_directory(job.output, job.entries, np.concatenate(last_keys)))
    return job, spent, done


def _next_entries(job: MergeJob, inputs: Sequence[RunReader], window: int, get: Get) -> tuple[U64, I64, I64, bool]:
    """Keys, rows and inputs of the entries that come next, from about `window` entries of each input: sorted within an
    input. And whether they are the last ones."""
    pieces = [reader.entries_from(at, window, get) for reader, at in zip(inputs, job.positions, strict=True)]
    more = [
        keys[-1]
        for (keys, _), reader, at in zip(pieces, inputs, job.positions, strict=True)
        if at + len(keys) < reader.entries
    ]
    # Beyond the lowest of the windows' ends an input that is not read yet may have smaller keys.
    sizes = [int(np.searchsorted(keys, min(more), side="right")) if more else len(keys) for keys, _ in pieces]
    keys = np.concatenate([piece[0][:size] for piece, size in zip(pieces, sizes, strict=True)])
    rows = np.concatenate([piece[1][:size] for piece, size in zip(pieces, sizes, strict=True)])
    return keys, rows, np.repeat(np.arange(len(pieces)), sizes), not more
