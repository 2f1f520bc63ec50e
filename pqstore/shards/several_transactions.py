"""One change of several shards: everything that can be refused is refused before the first of them commits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pqstore.errors import PartialChangeError
from pqstore.index import Index
from pqstore.index.transaction import Transaction
from pqstore.shards.locking import changing
from pqstore.storage.disk.crash_points import reach

__all__ = ["several_transactions"]


@contextmanager
def several_transactions(
    shards: Mapping[int, Index], numbers: Iterable[int], lock: Path, timeout: float | None, last: int | None = None
) -> Iterator[dict[int, Transaction]]:
    """A transaction of each of these shards, committed one after another at the end of the block; none when it raises.

    Shards are locked in the order of their numbers, so that writers cannot wait for one another in a circle. Readers of
    collections see all of the commits or none; `last` is committed after the others. What can fail half-way is a commit
    itself (a full disk, a kill).

    Raises:
        IndexLockedError, ReadOnlyError: as for any change; nothing was changed.
        PartialChangeError: a commit failed after others had been done.
    """
    begun: dict[int, Transaction] = {}
    try:
        for number in sorted(set(numbers)):
            begun[number] = shards[number].transaction(timeout).__enter__()
        yield begun
        with changing(lock):
            _commit(dict(sorted(begun.items(), key=lambda item: item[0] == last)))
    except BaseException as error:
        for transaction in begun.values():
            transaction.__exit__(type(error), error, None)  # of one that is committed it does nothing
        raise


def _commit(begun: Mapping[int, Transaction]) -> None:
    done: list[int] = []
    for number, transaction in begun.items():
        try:
            transaction.__exit__(None, None, None)
        except Exception as error:
            if not done:
                raise
            partial = PartialChangeError(
                f"shards {', '.join(map(str, done))} have stored the change, shard {number} could not ({error}): those "
                "after it have nothing of it; make the change again when the reason is gone"
            )
            partial.changed = tuple(done)
            partial.unchanged = tuple(other for other in begun if other not in done)
            raise partial from error
        done.append(number)
        reach("shard of several committed")
