"""Adding rows in one transaction: conflicts of ids decided, vectors encoded block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Literal, cast, get_args

import numpy as np

from pqstore.errors import DimensionError, DuplicateIdError, InvalidPayloadError
from pqstore.index.arguments.ids import (
    IdArray,
    IdType,
    as_id_batch,
    automatic_names,
    check_distinct,
    is_single_id,
    refuse_map,
    refuse_unknown,
    refuse_unordered,
)
from pqstore.index.arguments.payloads import PayloadBatch, PayloadShares
from pqstore.index.code_space import RowBlock
from pqstore.storage import Store, WriteTransaction

__all__ = ["OnConflict", "add_rows", "update_payloads"]

OnConflict = Literal["error", "skip", "replace"]


def add_rows(
    store: Store, blocks: Iterable[RowBlock], rows: int | None, ids: Any, on_conflict: str, payloads: Any
) -> IdArray:
    """Append blocks of rows in one transaction, and return the ids they got; see `pqstore.Index.add`.

    `rows`: how many there are in all, where that is known beforehand.
    """
    policy, id_type = _as_on_conflict(on_conflict), store.id_type
    pairs = _pair_blocks(blocks, ids, id_type, rows)
    automatic = ids is None and id_type == "int64"
    added = [as_id_batch([], id_type)]
    count = 0
    shares = PayloadShares(payloads, rows)
    distinct = _are_one_batch(ids, rows)
    # The first block, most often the only one, is checked and encoded before other writers have to wait.
    first = next(pairs, None)
    if first is None:
        shares.finish()
        return added[0]
    with store.write() as txn:
        for block, names in chain([first], pairs):
            given = _append_block(txn, block, names, shares.take(len(block)), id_type, policy, all_distinct=distinct)
            # Automatic ids follow one another: the first ones say the others, which may be millions.
            if not (automatic and count):
                added.append(given)
            count += len(block)
        shares.finish()
    batch = np.concatenate(added)
    return batch[0] + np.arange(count) if automatic and count else batch


def _as_on_conflict(value: str) -> OnConflict:
    """Check the argument `on_conflict`.

    Raises:
        ValueError: it is none of the three.
    """
    if value not in get_args(OnConflict):
        raise ValueError(f"on_conflict must be one of {', '.join(get_args(OnConflict))}, got {value!r}")
    return cast(OnConflict, value)


def _append_block(
    txn: WriteTransaction,
    block: RowBlock,
    ids: IdArray | None,
    payloads: PayloadBatch | None,
    id_type: IdType,
    on_conflict: OnConflict,
    *,
    all_distinct: bool,
) -> IdArray:
    """Append rows under `ids` (distinct; None: automatic) and return the ids given to the rows.

    `all_distinct` says that no id of another block of the call is among them either.

    With "skip" the ids that are in the index already keep their rows; they are in the result all the same, so that
    it always lines up with the input.

    Raises:
        DuplicateIdError: `on_conflict` is "error" and an id is in the index already.
    """
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


def update_payloads(
    txn: WriteTransaction, ids: IdArray, changes: PayloadBatch, *, merge: bool, with_originals: bool
) -> None:
    """Give vectors new payloads. Rows never change: each becomes a new row with the code and original of the old.

    Raises:
        UnknownIdError: an id is not in the index.
    """
    rows = txn.rows_of(ids)
    refuse_unknown(ids, rows)
    payloads = list(changes)
    for at, payload in enumerate(payloads):
        if payload is not None and not isinstance(payload, Mapping):
            raise InvalidPayloadError(f"payload {at} must be a dict or None, got {type(payload).__name__}")
    if merge:
        merged = [(at, new) for at, new in enumerate(payloads) if new is not None]
        earlier = txn.payloads_of(rows[[at for at, _ in merged]])
        for (at, new), old in zip(merged, earlier, strict=True):
            payloads[at] = {**(old or {}), **new}
    codes = txn.codes_of(rows)
    originals = txn.originals_of(rows) if with_originals else None
    txn.kill(rows)
    txn.append(codes, ids, originals, payloads)
