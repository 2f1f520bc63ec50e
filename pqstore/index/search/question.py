"""What a search is asked beyond its queries, and what its arguments mean."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from pqstore.index.arguments.counts import as_count
from pqstore.index.reading import Reading
from pqstore.index.search.calibration import calibrated_rerank

__all__ = ["NO_EFFORT", "NO_VARIETY", "Question", "as_include", "as_rerank"]

_RERANKED_FOR = 10  # the k that `Training.rerank` is meant for
_INCLUDABLE = ("payload", "vector")


class Question(NamedTuple):
    """Arguments as of `pqstore.Index.search`."""

    k: Any = 10
    threads: int | None = None
    rerank: Any = None
    where: Any = None
    allow: Any = None
    deny: Any = None
    include: Any = ()
    explain: bool = False
    nprobe: Any = None
    scan: Any = None
    recall: Any = None
    group_by: Any = None
    per_group: Any = 1
    mmr: Any = None
    candidates: Any = None

    @property
    def effort(self) -> tuple[Any, Any, Any]:
        """How far lists are read: nprobe, scan and recall."""
        return self.nprobe, self.scan, self.recall


NO_EFFORT = Question().effort
"""Where nothing is said of it."""
NO_VARIETY = Question()[11:]
"""`group_by` and what follows, where nothing is asked for but the nearest."""


def as_rerank(reading: Reading, rerank: Any, k: int) -> int | None:
    """How many candidates are scored by their originals; None: none, distances are by codes or exact anyway.

    Raises:
        ValueError, TypeError: it is below k, no count, or the index stores no originals.
    """
    training = reading.space.training
    if rerank is None:
        if training is None or training.rerank == 0:
            return None
        return max(training.rerank, training.rerank * k // _RERANKED_FOR)
    if isinstance(rerank, (int, np.integer)) and not isinstance(rerank, bool) and rerank == 0:
        return None
    exact = reading.space.phase == "exact"
    if reading.space.originals is None and not exact:
        raise ValueError(
            "rerank needs the original vectors, which this index does not store: create it with originals='float16'"
        )
    if isinstance(rerank, str):
        if rerank != "auto":
            raise ValueError(f"rerank must be a number, 'auto' or None, got {rerank!r}")
        return None if exact else calibrated_rerank(reading, k)
    if isinstance(rerank, bool):
        raise TypeError("rerank is the number of candidates to score exactly, or 'auto': got a bool")
    count = as_count(rerank, "rerank")
    if count < k:
        raise ValueError(f"rerank must be at least k = {k}, got {count}: the k best come from the reranked ones")
    return None if exact else count


def as_include(include: Any) -> frozenset[str]:
    """Which of "payload" and "vector" to bring.

    Raises:
        TypeError, ValueError: it names something else.
    """
    names = (include,) if isinstance(include, str) else include
    if not isinstance(names, Iterable):
        raise TypeError(f"include must be a sequence of names, got {type(include).__name__}")
    chosen = frozenset(names)
    if not chosen <= set(_INCLUDABLE):
        raise ValueError(f"include may name {', '.join(_INCLUDABLE)}, got {sorted(map(str, chosen))}")
    return chosen
