"""Payloads as callers give them: one a vector, checked at the door."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

import numpy as np

from pqstore.errors import DimensionError, InvalidPayloadError

__all__ = ["PayloadBatch", "PayloadShares", "as_payload_batch"]

PayloadBatch: TypeAlias = "Sequence[Mapping[str, Any] | None]"


def as_payload_batch(payloads: Any, count: int | None) -> PayloadBatch:
    """A sequence of `count` maps (None: any number); one map is a batch of one.

    Raises:
        DimensionError: there are not as many payloads as vectors.
        InvalidPayloadError: no sequence at all.
    """
    if isinstance(payloads, Mapping):
        payloads = [payloads]
    if isinstance(payloads, np.ndarray):
        payloads = payloads.tolist()
    if isinstance(payloads, (str, bytes)) or not isinstance(payloads, Sequence):
        raise InvalidPayloadError(f"payloads must be a sequence of dicts, one a vector, got {type(payloads).__name__}")
    if count is not None and len(payloads) != count:
        raise DimensionError(f"{count} vectors need {count} payloads, got {len(payloads)}")
    return payloads


class PayloadShares:
    """Payloads dealt out to blocks of vectors."""

    def __init__(self, payloads: Any, rows: int | None) -> None:
        """`rows`: how many vectors there are, where that is known: then their number is checked at once.

        Raises:
            DimensionError, InvalidPayloadError: as `as_payload_batch`.
        """
        self._source: Iterator[Any] | None = None
        self._taken = 0
        if payloads is not None:
            if not isinstance(payloads, Iterator):
                payloads = as_payload_batch(payloads, rows)
            self._source = iter(payloads)

    def take(self, count: int) -> PayloadBatch | None:
        """The next `count` payloads; None when there are none at all.

        Raises:
            DimensionError: there are fewer.
        """
        if self._source is None:
            return None
        share = list(islice(self._source, count))
        self._taken += len(share)
        if len(share) < count:
            raise DimensionError(f"there are more vectors than payloads: {self._taken} payloads were given")
        return share

    def finish(self) -> None:
        """Check that none are left over.

        Raises:
            DimensionError: some are.
        """
        for _ in self._source or ():
            raise DimensionError(f"there are more payloads than vectors: {self._taken} vectors were given")
