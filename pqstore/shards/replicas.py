"""Which of several copies of a shard is asked, and how long its answer may take before another is asked too."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable

import numpy as np

__all__ = ["Latencies", "Replicas"]

_REMEMBERED = 256
_ENOUGH = 20
_UNKNOWN_SECONDS = 1.0
_LEAST_SECONDS = 0.001


class Replicas:
    """Counts the requests that each copy has not answered: one that hangs is asked no more while others are there."""

    def __init__(self, count: int) -> None:
        """`count`: copies of each shard."""
        self._count = count
        self._open: Counter[tuple[int, int]] = Counter()
        self._turn: Counter[int] = Counter()
        self._lock = threading.Lock()

    def begin(self, shard: int, besides: Iterable[int] = ()) -> int | None:
        """The copy to ask: of those with the fewest open requests the next in turn; None: there is none besides."""
        asked = set(besides)
        with self._lock:
            turn = self._turn[shard]
            free = [copy for copy in range(self._count) if copy not in asked]
            if not free:
                return None
            chosen = min(free, key=lambda copy: (self._open[shard, copy], (copy - turn) % self._count))
            self._turn[shard] = chosen + 1
            self._open[shard, chosen] += 1
            return chosen

    def end(self, shard: int, copy: int) -> None:
        """A copy has answered, or failed."""
        with self._lock:
            self._open[shard, copy] -= 1


class Latencies:
    """How long answers took, of each kind of question."""

    def __init__(self) -> None:
        self._seconds: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def add(self, method: str, seconds: float) -> None:
        """All shards have answered."""
        with self._lock:
            self._seconds.setdefault(method, deque(maxlen=_REMEMBERED)).append(seconds)

    def p95(self, method: str) -> float:
        """Seconds within which 95 of 100 questions were answered; a second, before enough were asked."""
        with self._lock:
            known = list(self._seconds.get(method, ()))
        return max(_LEAST_SECONDS, float(np.quantile(known, 0.95))) if len(known) >= _ENOUGH else _UNKNOWN_SECONDS
