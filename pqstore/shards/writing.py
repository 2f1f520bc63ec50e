"""Changes of a collection: each id goes to the shard that holds it or, where none does, to the one its hash names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, I64
from pqstore.errors import DimensionError, DuplicateIdError, InvalidIdError, UnknownIdError
from pqstore.index.arguments.ids import IdArray, IdType, as_id_batch, check_distinct, is_single_id, refuse_unordered
from pqstore.index.arguments.payloads import PayloadBatch, as_payload_batch
from pqstore.index.arguments.types import OnConflict
from pqstore.index.moving import held_by
from pqstore.index.records import as_missing
from pqstore.index.transaction import Transaction
from pqstore.kernels import resolve_threads
from pqstore.quantizer import as_vectors
from pqstore.shards.routing import homes_of

__all__ = ["Addition", "add", "as_addition", "involved", "remove"]


class Addition(NamedTuple):
    """The rows of one call, checked."""

    vectors: F32
    ids: IdArray
    payloads: PayloadBatch | None
    on_conflict: OnConflict
    threads: int


class Whereabouts(NamedTuple):
    """Where ids are, and where they go."""

    target: I64
    """int64 (n,): the shard that each goes to."""
    holders: dict[int, npt.NDArray[np.bool_]]
    """Which ids each shard holds: bool (n,). Of a move that was killed two may hold the same one."""

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """Which ids any shard holds."""
        nowhere = np.zeros(len(self.target), dtype=bool)
        return np.logical_or.reduce([nowhere, *self.holders.values()])


def as_addition(
    D: int, id_type: IdType, vectors: Any, ids: Any, on_conflict: Any, payloads: Any, threads: Any
) -> Addition:
    """The arguments of `Collection.add`, whole batches at a time.

    Raises:
        InvalidIdError, DimensionError, DuplicateIdError, InvalidVectorError, InvalidPayloadError, ValueError.
    """
    if ids is None:
        raise InvalidIdError("a collection gives no automatic ids, which shards would have to agree on: give ids")
    if on_conflict not in get_args(OnConflict):
        raise ValueError(f"on_conflict must be one of {', '.join(get_args(OnConflict))}, got {on_conflict!r}")
    refuse_unordered(ids)
    batch = as_id_batch(ids, id_type)
    array = np.asarray(vectors)
    rows = as_vectors(array[None] if is_single_id(ids) and array.ndim == 1 else array, D)
    if len(rows) != len(batch):
        raise DimensionError(f"{len(rows)} vectors need {len(rows)} ids, got {len(batch)}")
    check_distinct(batch)
    brought = None if payloads is None else as_payload_batch(payloads, len(batch))
    return Addition(rows, batch, brought, on_conflict, resolve_threads(threads))


def add(addition: Addition, transactions: Mapping[int, Transaction], numbers: Sequence[int]) -> None:
    """Add rows within transactions of all shards that may hold their ids.

    Raises:
        DuplicateIdError: a shard holds an id already, and that is an error.
    """
    ids, payloads = addition.ids, addition.payloads
    where = _whereabouts(ids, transactions, numbers)
    present = where.present
    if addition.on_conflict == "error" and present.any():
        shown = ", ".join(map(repr, ids[present][:5].tolist()))
        raise DuplicateIdError(
            f"{int(present.sum())} ids are in the collection already: {shown}; nothing was added. Pass "
            "on_conflict='replace' or 'skip' to decide for all of them"
        )
    wanted = ~present if addition.on_conflict == "skip" else np.ones(len(ids), dtype=bool)
    for number, transaction in transactions.items():
        mine = np.flatnonzero(wanted & (where.target == number))
        elsewhere = wanted & where.holders[number] & (where.target != number)
        if elsewhere.any():
            transaction.remove(ids[elsewhere])
        if len(mine):
            some = None if payloads is None else [payloads[at] for at in mine.tolist()]
            transaction.add(addition.vectors[mine], ids[mine], "replace", addition.threads, payloads=some)


def remove(ids: IdArray, missing: str, transactions: Mapping[int, Transaction], numbers: Sequence[int]) -> int:
    """Remove ids within transactions of all shards that may hold them; how many there were.

    Raises:
        UnknownIdError: one is in no shard, and that is an error.
    """
    must_exist = as_missing(missing)
    distinct = np.unique(ids)
    where = _whereabouts(distinct, transactions, numbers)
    present = where.present
    if must_exist and not present.all():
        shown = ", ".join(map(repr, distinct[~present][:5].tolist()))
        raise UnknownIdError(
            f"{int((~present).sum())} ids are in no shard of the collection: {shown}; nothing was removed"
        )
    for number, transaction in transactions.items():
        if where.holders[number].any():
            transaction.remove(distinct[where.holders[number]])
    return int(present.sum())


def involved(ids: IdArray, numbers: Sequence[int], *, by_hash: bool) -> list[int]:
    """The shards that may hold ids."""
    return np.unique(homes_of(ids, numbers)).tolist() if by_hash and len(ids) else list(numbers)


def _whereabouts(ids: IdArray, transactions: Mapping[int, Transaction], numbers: Sequence[int]) -> Whereabouts:
    homes = homes_of(ids, numbers)
    holders = {number: held_by(transaction, ids) for number, transaction in transactions.items()}
    target = homes.copy()
    for number in sorted(holders, reverse=True):  # of two that hold an id the home counts, else the lowest
        target[holders[number]] = number
    for number, held in holders.items():
        target[held & (homes == number)] = number
    return Whereabouts(target, holders)
