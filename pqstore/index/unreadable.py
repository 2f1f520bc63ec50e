"""Payloads that cannot be read, though no byte of them is damaged: they count as none, and one warning tells of all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pqstore.arrays import I64
from pqstore.errors import CorruptIndexError, UnreadablePayloadWarning
from pqstore.warning import warn_caller

__all__ = ["UnreadablePayloads"]

_SHOWN = 5


class UnreadablePayloads:
    """Called for each of them by what reads payloads of many rows."""

    def __init__(self, ids_of: Callable[[I64], Any]) -> None:
        """`ids_of`: ids of rows."""
        self._ids_of = ids_of
        self._rows: list[int] = []
        self._why = ""

    def __call__(self, row: int, error: CorruptIndexError) -> None:
        self._rows.append(row)
        self._why = self._why or str(error)

    def complaint(self) -> str | None:
        """What to say of them; None when there were none."""
        if not self._rows:
            return None
        count = len(self._rows)
        ids = self._ids_of(np.array(self._rows[:_SHOWN], dtype=np.int64)).tolist()
        shown = ", ".join(map(repr, ids)) + (f" and {count - _SHOWN} more" if count > _SHOWN else "")
        return (
            f"the payloads of {count} vectors cannot be read and count as none: ids {shown} ({self._why}); "
            "update_payload(ids, payload, merge=False) puts others in their place, Index.repair() drops them"
        )

    def warn(self) -> None:
        """Warn where there were any."""
        complaint = self.complaint()
        if complaint is not None:
            warn_caller(complaint, UnreadablePayloadWarning)
