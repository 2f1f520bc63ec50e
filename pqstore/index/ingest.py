"""Adding rows inside one transaction: conflicts of ids decided, vectors encoded block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from pqstore.errors import DimensionError, DuplicateIdError
from pqstore.index.ids import IdArray, IdType, as_id_batch, automatic_names, check_distinct, is_single_id
from pqstore.storage import WriteTransaction

__all__ = ["OnConflict", "append_block", "as_on_conflict", "pair_blocks"]

OnConflict = Literal["error", "skip", "replace"]


def as_on_conflict(value: str) -> OnConflict:
    """Check the argument `on_conflict`.

    Raises:
        ValueError: it is none of the three.
    """
    if value not in get_args(OnConflict):
        raise ValueError(f"on_conflict must be one of {', '.join(get_args(OnConflict))}, got {value!r}")
    return cast(OnConflict, value)


def append_block(
    txn: WriteTransaction, codes: npt.NDArray[Any], ids: IdArray | None, id_type: IdType, on_conflict: OnConflict
) -> IdArray:
    """Append stored codes (n, M) under `ids` (distinct; None: automatic) and return the ids given to the rows.

    With "skip" the ids that are in the index already keep their rows; they are in the result all the same, so that
    it always lines up with the input.

    Raises:
        DuplicateIdError: `on_conflict` is "error" and an id is in the index already.
    """
    if ids is None:
        if id_type == "int64":
            _, given = txn.append(codes)
            return given
        ids = automatic_names(len(codes))
    else:
        rows = txn.rows_of(ids)
        present = rows >= 0
        if present.any():
            if on_conflict == "error":
                _refuse_present(ids[present])
            elif on_conflict == "replace":
                txn.kill(rows[present])
            else:
                txn.append(codes[~present], ids[~present])
                return ids
    txn.append(codes, ids)
    return ids


def pair_blocks(
    blocks: Iterable[npt.NDArray[Any]], ids: Any, id_type: IdType, rows: int | None
) -> Iterator[tuple[npt.NDArray[Any], IdArray | None]]:
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
    if rows is not None or is_single_id(ids) or isinstance(ids, (np.ndarray, list, tuple)):
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
