"""Rows without a vector: how a payload says so, and what of it callers see.

Such a row has codes as any other, of a vector of ones (a cosine wants a direction),
which no search may return. Its payload has one key more, whose
value says whether the caller gave one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.errors import DimensionError, InvalidPayloadError
from pqstore.storage import VECTORLESS_KEY

__all__ = ["has_no_vector", "mark_again", "marked_payloads", "seen_payload", "unmarked", "without_missing"]


def without_missing(vectors: Any, rows: int | None, D: int) -> tuple[Any, npt.NDArray[np.bool_] | None]:
    """(vectors with ones in place of those that are None, which these are; None: none is).

    `vectors` None stands for `rows` of them; where nobody knows how many there are to be, it stays.
    """
    if vectors is None and rows is not None:
        return np.ones((rows, D), dtype=np.float32), np.ones(rows, dtype=np.bool_)
    if not isinstance(vectors, (list, tuple)) or not any(vector is None for vector in vectors):
        return vectors, None
    absent = np.fromiter((vector is None for vector in vectors), dtype=np.bool_, count=len(vectors))
    filler = np.ones(D, dtype=np.float32)
    if absent.all():
        return np.ones((len(absent), D), dtype=np.float32), absent
    return [filler if vector is None else vector for vector in vectors], absent


def unmarked(payloads: Any) -> Any:
    """Payloads as callers give them, none of which says that its row has no vector: that is for `pqstore` to say.

    Raises:
        InvalidPayloadError: one does; of an iterator, when it comes to it.
    """
    if payloads is None:  # most often, and to ask it for its kind takes long
        return None
    if isinstance(payloads, Iterator):
        return (_unmarked(payload, at) for at, payload in enumerate(payloads))
    if isinstance(payloads, Mapping):
        return _unmarked(payloads, 0)
    if isinstance(payloads, (Sequence, np.ndarray)):  # what is neither is refused where it is taken
        for at, payload in enumerate(payloads):
            _unmarked(payload, at)
    return payloads


def _unmarked(payload: Any, at: int) -> Any:
    if isinstance(payload, Mapping) and VECTORLESS_KEY in payload:
        raise InvalidPayloadError(f"payload {at} has the key {VECTORLESS_KEY!r}, which only pqstore may use: rename it")
    return payload


def marked_payloads(payloads: Any, absent: npt.NDArray[np.bool_]) -> list[Any]:
    """One payload a row, those of rows without a vector saying so.

    Raises:
        DimensionError: there are not as many as rows. InvalidPayloadError: one is no map.
    """
    if payloads is None:
        return [{VECTORLESS_KEY: False} if missing else None for missing in absent.tolist()]
    given = [payloads] if isinstance(payloads, Mapping) else list(payloads)
    if len(given) != len(absent):
        raise DimensionError(f"{len(absent)} vectors need {len(absent)} payloads, got {len(given)}")
    for at in np.flatnonzero(absent).tolist():
        payload = given[at]
        if payload is not None and not isinstance(payload, Mapping):
            raise InvalidPayloadError(
                f"payload {at} must be a dict with str keys, or None, got {type(payload).__name__}"
            )
        given[at] = {**(payload or {}), VECTORLESS_KEY: payload is not None}
    return given


def seen_payload(payload: dict[str, Any] | None) -> dict[str, Any] | None:
    """A payload as its caller gave it."""
    if payload is None or VECTORLESS_KEY not in payload:
        return payload
    given = payload.pop(VECTORLESS_KEY)
    return payload if given else None


def has_no_vector(payload: Mapping[str, Any] | None) -> bool:
    """Whether a payload as it is stored says that its row has no vector."""
    return payload is not None and VECTORLESS_KEY in payload


def mark_again(payloads: Sequence[Any], absent: Sequence[bool]) -> list[Any]:
    """New payloads of rows, of which some have no vector."""
    return marked_payloads(payloads, np.array(absent, dtype=np.bool_)) if any(absent) else list(payloads)
