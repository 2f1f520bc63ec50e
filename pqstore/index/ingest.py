"""Adding rows in one transaction: conflicts of ids decided, vectors encoded block by block."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from functools import partial
from itertools import chain
from typing import Any, Final, NamedTuple, get_args

import numpy as np

from pqstore.errors import DimensionError, DuplicateIdError, InvalidIdError, InvalidPayloadError, PQStoreError
from pqstore.index.arguments.ids import (
    IdArray,
    IdType,
    as_id_batch,
    automatic_names,
    check_distinct,
    is_single_id,
    refuse_map,
    refuse_unordered,
)
from pqstore.index.arguments.payloads import PayloadBatch, PayloadShares
from pqstore.index.arguments.types import OnConflict
from pqstore.index.arguments.vectors import blocks_of_codes, blocks_of_vectors
from pqstore.index.code_space import RowBlock
from pqstore.index.exact_space import ExactSpace
from pqstore.index.spaces import Space, Spaces
from pqstore.index.vectorless import marked_payloads, unmarked, without_missing
from pqstore.kernels import resolve_threads
from pqstore.progress import Progress, ProgressStep
from pqstore.storage import Spool, Store, WriteTransaction

__all__ = ["Batch", "add_rows", "as_upsert_ids", "batch_of_codes", "batch_of_vectors"]

_POLICIES: Final = get_args(OnConflict)


class _Part(NamedTuple):
    """Rows with all that they bring along."""

    block: RowBlock
    ids: IdArray | None
    payloads: PayloadBatch | None


class Batch:
    """The rows of one call, checked as far as they are at hand."""

    def __init__(
        self,
        blocks: Iterable[RowBlock],
        rows: int | None,
        ids: Any,
        on_conflict: str,
        payloads: Any,
        id_type: IdType,
        progress: Progress | None = None,
        spaces: Spaces | None = None,
    ) -> None:
        """`rows`: how many there are in all, where that is known beforehand. The first block, most often the only one,
        is encoded here, in the latest of `spaces`. `progress` is told of each block that is appended or, where they are
        gathered, put aside."""
        self._spaces = spaces
        self._space = None if spaces is None else spaces.latest
        self._policy, self._id_type = _as_on_conflict(on_conflict), id_type
        self._distinct = _are_one_batch(ids, rows)
        self._automatic = ids is None and id_type == "int64"
        parts = _with_payloads(_pair_blocks(blocks, ids, id_type, rows), PayloadShares(payloads, rows))
        if progress is not None:
            parts = _told(parts, rows, progress)
        self.lacks_vectors = False
        """Whether some of the rows have no vector, which their payloads say."""
        first = next(parts, None)
        self.is_empty = first is None
        self.waits = rows is None
        """Whether blocks come from an iterator, which may take its time."""
        self._parts: Iterable[_Part] = () if first is None else chain([first], parts)

    @property
    def no_ids(self) -> IdArray:
        """The result of adding nothing."""
        return as_id_batch([], self._id_type)

    def gather(self, spool: Spool[_Part]) -> None:
        """Wait for all blocks, which wait in `spool` then.

        Raises:
            InvalidPayloadError: a payload is no plain data. StorageFullError: there is no room.
        """
        for part in self._parts:
            try:
                spool.put(part)
            except (pickle.PicklingError, AttributeError, TypeError) as error:
                raise InvalidPayloadError(f"a payload holds what cannot be stored: {error}") from error
        self._parts = spool

    def append(self, txn: WriteTransaction, payloads: Sequence[Any] | None = None) -> IdArray:
        """Append all rows, and return the ids they got. `payloads`: theirs, where they are known only now."""
        added: list[IdArray] = []
        count = 0
        distinct = self._distinct and not txn.has_appended  # an earlier call of the transaction may have had these ids
        if self.lacks_vectors:
            txn.declare_vectorless()
        for part in map(partial(self._in_space_of, txn), self._parts):
            if payloads is not None:
                part = part._replace(payloads=payloads[count : count + len(part.block)])  # noqa: PLW2901
            given = _append_part(txn, part, self._id_type, self._policy, all_distinct=distinct)
            # Automatic ids follow one another: the first ones say the others, which may be millions.
            if not (self._automatic and count):
                added.append(given)
            count += len(part.block)
        if self._automatic and count:
            return added[0] if len(added[0]) == count else added[0][0] + np.arange(count)
        return np.concatenate(added or [self.no_ids])

    def _in_space_of(self, txn: WriteTransaction, part: _Part) -> _Part:
        """A part as the index stores it now, which may have been trained since the part was encoded."""
        if self._spaces is None or self._space is None:
            return part
        current = self._spaces.of(txn)
        return part if current is self._space else part._replace(block=_moved(part.block, self._space, current))


def _moved(block: RowBlock, before: Space, after: Space) -> RowBlock:
    """Rows in another space.

    Raises:
        PQStoreError: they came as codes, whose vectors nobody has.
    """
    if isinstance(before, ExactSpace):
        return after.prepare(block.codes, 1)
    if before.originals is None or block.originals is None:
        raise PQStoreError("the index was trained anew while codes were on their way: encode the vectors again")
    return after.prepare(before.originals.decode(block.originals), 1)


def batch_of_vectors(
    spaces: Spaces,
    vectors: Any,
    ids: Any,
    on_conflict: str,
    threads: Any,
    payloads: Any,
    id_type: IdType,
    progress: Progress | None = None,
) -> Batch:
    """The arguments of `pqstore.Index.add`."""
    space = spaces.latest
    payloads = unmarked(payloads)
    rows_of_others = None
    if vectors is None:
        payloads = _as_list(payloads)
        rows_of_others = _rows_of_others(ids, payloads)
    vectors, absent = without_missing(vectors, rows_of_others, space.D)
    if absent is not None:
        payloads = marked_payloads(payloads, absent)
    blocks, rows = blocks_of_vectors(vectors, space.D)
    thread_count = resolve_threads(threads)
    encoded = (space.prepare(block, thread_count) for block in blocks)
    batch = Batch(encoded, rows, ids, on_conflict, payloads, id_type, progress, spaces)
    batch.lacks_vectors = absent is not None
    return batch


def _as_list(payloads: Any) -> Any:
    """Payloads that can be counted."""
    return list(payloads) if isinstance(payloads, Iterator) else payloads


def _rows_of_others(ids: Any, payloads: Any) -> int | None:
    """How many rows there are of which there is no vector: as many as payloads, or ids. None: nobody knows."""
    if isinstance(payloads, Mapping) or (payloads is None and is_single_id(ids)):
        return 1
    if isinstance(payloads, Sized):
        return len(payloads)
    return len(ids) if payloads is None and isinstance(ids, Sized) else None


def batch_of_codes(spaces: Spaces, codes: Any, ids: Any, on_conflict: str, payloads: Any, id_type: IdType) -> Batch:
    """The arguments of `pqstore.Index.add_codes`."""
    space = spaces.latest
    if isinstance(space, ExactSpace):
        space.refuse()
    if space.originals is not None:
        raise ValueError("this index stores the original vectors, which cannot be made from codes: use add()")
    blocks, rows = blocks_of_codes(codes, space.M, space.Ks)
    stored = (RowBlock(space.to_stored(block)) for block in blocks)
    return Batch(stored, rows, ids, on_conflict, unmarked(payloads), id_type, None, spaces)


def as_upsert_ids(ids: Any) -> Any:
    """Check the argument `ids` of `pqstore.Index.upsert`.

    Raises:
        InvalidIdError: there are none.
    """
    if ids is None:
        raise InvalidIdError("upsert needs ids: with automatic ids there is nothing to replace; use add")
    return ids


def add_rows(store: Store, batch: Batch, timeout: float | None) -> IdArray:
    """Append rows in one transaction, and return the ids they got; see `pqstore.Index.add`.

    Other writers do not wait for the caller's next block: blocks of an iterator are encoded and put aside until there
    are all of them. Those of an array come as quickly as they are encoded.
    """
    if batch.is_empty:
        return batch.no_ids
    if not batch.waits or store.is_building:
        return store.change(batch.append, timeout)
    with Spool[_Part](store.path) as spool:
        batch.gather(spool)
        return store.change(batch.append, timeout)


def _with_payloads(pairs: Iterable[tuple[RowBlock, IdArray | None]], shares: PayloadShares) -> Iterator[_Part]:
    for block, ids in pairs:
        yield _Part(block, ids, shares.take(len(block)))
    shares.finish()


def _told(parts: Iterable[_Part], rows: int | None, progress: Progress) -> Iterator[_Part]:
    """The parts; whoever takes one has done its work on it when asking for the next."""
    done = 0
    for part in parts:
        yield part
        done += len(part.block)
        progress(ProgressStep("adding", done, rows))


def _as_on_conflict(value: str) -> OnConflict:
    """Check the argument `on_conflict`.

    Raises:
        ValueError: it is none of the three.
    """
    if value not in _POLICIES:
        raise ValueError(f"on_conflict must be one of {', '.join(_POLICIES)}, got {value!r}")
    return value  # type: ignore[return-value] # one of them, as was just looked up


def _append_part(
    txn: WriteTransaction, part: _Part, id_type: IdType, on_conflict: OnConflict, *, all_distinct: bool
) -> IdArray:
    """Append rows under their ids (distinct; None: automatic) and return the ids given to the rows.

    `all_distinct` says that no id of another block of the call is among them either.

    With "skip" the ids that are in the index already keep their rows; they are in the result all the same, so that
    it always lines up with the input.

    Raises:
        DuplicateIdError: `on_conflict` is "error" and an id is in the index already.
    """
    block, ids, payloads = part
    if ids is None:
        if id_type == "int64":
            _, given = txn.append(block.codes, None, block.originals, payloads)
            return given
        ids = automatic_names(len(block))
    else:
        rows = txn.rows_before(ids) if all_distinct else txn.rows_of(ids)
        present = rows >= 0
        if present.any():
            if on_conflict == "error":
                _refuse_present(ids[present])
            elif on_conflict == "replace":
                txn.kill(rows[present])
            else:
                new = block.of(~present)
                if payloads is not None:
                    payloads = [payload for payload, old in zip(payloads, present.tolist(), strict=True) if not old]
                txn.append(new.codes, ids[~present], new.originals, payloads)
                return ids
    txn.append(block.codes, ids, block.originals, payloads)
    return ids


def _are_one_batch(ids: Any, rows: int | None) -> bool:
    """Whether the ids of a call are at hand all at once; else they are taken as they come."""
    return rows is not None or is_single_id(ids) or isinstance(ids, (np.ndarray, list, tuple))


def _pair_blocks(
    blocks: Iterable[RowBlock], ids: Any, id_type: IdType, rows: int | None
) -> Iterator[tuple[RowBlock, IdArray | None]]:
    """Blocks of vectors, each with its share of the ids.

    `rows` is the number of vectors where it is known beforehand: then the ids are checked as one batch before the
    first block. Otherwise ids are taken as they come, and a wrong number of them is found at the end.

    Raises:
        DimensionError: there are not as many ids as vectors.
        DuplicateIdError: an id is given twice.
    """
    if ids is None:
        for block in blocks:
            yield block, None
        return
    refuse_unordered(ids)
    if _are_one_batch(ids, rows):
        batch = as_id_batch(ids, id_type)
        if rows is not None and len(batch) != rows:
            raise DimensionError(f"{rows} vectors need {rows} ids, got {len(batch)}")
        check_distinct(batch)
        taken = 0
        for block in blocks:
            share = batch[taken : taken + len(block)]
            taken += len(share)
            if len(share) < len(block):
                raise DimensionError(f"there are more vectors than ids: {len(batch)} ids were given")
            yield block, share
        if taken < len(batch):
            raise DimensionError(f"{taken} vectors need {taken} ids, got {len(batch)}")
        return
    refuse_map(ids)
    source = iter(ids) if isinstance(ids, Iterable) else iter(as_id_batch(ids, id_type))
    for block in blocks:
        share = as_id_batch([value for _, value in zip(range(len(block)), source, strict=False)], id_type)
        if len(share) < len(block):
            raise DimensionError("there are more vectors than ids")
        check_distinct(share)
        yield block, share
    for _ in source:
        raise DimensionError("there are more ids than vectors")


def _refuse_present(ids: IdArray) -> None:
    shown = ", ".join(repr(value) for value in ids[:5].tolist())
    more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
    raise DuplicateIdError(
        f"{len(ids)} ids are in the index already: {shown}{more}; nothing was added. "
        "Pass on_conflict='replace' or 'skip' to decide for all of them"
    )
