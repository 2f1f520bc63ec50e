"""All rows of an index put into codes of another kind: a new generation beside the old one, then a switch.

Readers and writers go on; what is written meanwhile is caught up with, the last of it while writers wait. Whoever dies
on the way leaves the one or the other, and who asks for the same again goes on where he was. Ids, payloads, saved sets,
notes and counters stay.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pqstore.progress import Progress
from pqstore.storage.disk import crash_points, directory
from pqstore.storage.disk.lmdb_errors import storage_errors
from pqstore.storage.disk.system_errors import opening
from pqstore.storage.transactions.committed import CommittedRecords
from pqstore.storage.transactions.generation import Generation, SchemaOf
from pqstore.storage.transactions.open_index import SharedIndex, alone
from pqstore.storage.transactions.snapshot import Snapshot
from pqstore.storage.upkeep.rebuild_plan import Rebuild, Resumption
from pqstore.storage.upkeep.rebuilt_copy import begin_copy
from pqstore.storage.upkeep.switching import leave
from pqstore.storage.upkeep.unfinished_copy import take_over

__all__ = ["rebuild"]

_ROUNDS, _FEW = 5, 2048  # of following what others write; so few rows are left for the moment when they may not


def rebuild(
    shared: SharedIndex,
    path: Path,
    read: Callable[[], Snapshot],
    schema_of: SchemaOf,
    plan: Callable[[Snapshot], Rebuild],
    timeout: float | None,
    *,
    resumption: Resumption | None,
    progress: Progress,
) -> None:
    """See `Store.rebuild`."""
    with read() as begun:
        begun.attachments.pin_originals()
        copy = take_over(path, begun, resumption) or begin_copy(path, begun, plan(begun), resumption)
        with copy:
            copy.fill(progress)
            copy.arrange(begun)
            # Most of what was written meanwhile is caught up with while others go on writing.
            for _ in range(_ROUNDS):
                later = read()
                later.attachments.pin_originals()
                if copy.follow(later) < _FEW:
                    break

            def switch(old: Generation) -> None:
                target = directory.next_generation(old.index, old.number)
                with old.environment.begin() as txn:
                    copy.finish(Snapshot(CommittedRecords(schema_of(old), old, txn, txn.id()), None))
                with storage_errors(path), opening(path):
                    directory.give_to_owner_of(copy.place, old.path)
                    crash_points.reach("index rebuilt beside")
                    copy.generation.rename(target)  # the switch
                leave(shared, old, target)

            alone(shared, path, timeout, switch)
