"""When rows end: what the column of a field of datetimes says of a moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import numpy as np

from pqstore.arrays import U8
from pqstore.errors import CorruptIndexError, InvalidPayloadError
from pqstore.storage.attachments.column_groups import TIME, Numbers
from pqstore.storage.attachments.field_column import FieldColumn, Wanted
from pqstore.storage.attachments.field_paths import ABSENT, field_name, field_value

__all__ = ["FAR_FUTURE", "FAR_PAST", "Ended", "ended_at", "others_than_ends", "refuse_other_ends"]

# Beyond all ends, which are microseconds since 1970 in an int64.
FAR_PAST: Final = -(1 << 63)
FAR_FUTURE: Final = 1 << 63


class Ended(NamedTuple):
    """The rows of a column that have ended, from one end of theirs until the next."""

    since: int
    """The last end there was; `FAR_PAST`: there was none."""
    until: int
    """The next; `FAR_FUTURE`: there is none."""
    mask: U8 | None
    """A bitmap, lowest bit first; None: no row."""


def ended_at(column: FieldColumn, moment: int) -> Ended:
    """The rows that have ended at a moment, in microseconds since 1970: those whose end is not after it."""
    group = column.groups.get(TIME)
    if group is None or len(group.values) == 0:
        return Ended(FAR_PAST, FAR_FUTURE, None)
    values = group.values
    assert isinstance(values, Numbers)
    ends = values.array
    place = int(ends.searchsorted(min(max(moment, FAR_PAST), FAR_FUTURE - 1), "right"))
    until = int(ends[place]) if place < len(ends) else FAR_FUTURE
    if place == 0:
        return Ended(FAR_PAST, until, None)
    mask = np.zeros(-(-column.rows // 8), dtype=np.uint8)
    try:
        group.mark_between(0, place, mask)
    except (ValueError, IndexError) as error:
        raise CorruptIndexError(f"{column.name}: cannot be read ({error})") from error
    if column.rows % 8:
        mask[-1] &= (1 << column.rows % 8) - 1
    return Ended(int(ends[place - 1]), until, mask)


def others_than_ends(column: FieldColumn) -> U8:
    """The rows whose value is no datetime, and not null either: a bitmap."""
    others = column.present() & ~column.equal(Wanted([None]))
    with_end = ended_at(column, FAR_FUTURE - 1).mask
    return others if with_end is None else others & ~with_end


def refuse_other_ends(payloads: Sequence[Any], field: str) -> None:
    """Raise `InvalidPayloadError` where a plain payload has another value than a datetime in the field of ends."""
    for at, payload in enumerate(payloads):
        value = ABSENT if payload is None else field_value(payload, field)
        if value is not ABSENT and value is not None and not isinstance(value, datetime):
            raise InvalidPayloadError(
                f"payload {at} has a {type(value).__name__} in {field_name(field)!r}, which says when vectors of this "
                "index expire: it must be a datetime with a time zone, or None"
            )
