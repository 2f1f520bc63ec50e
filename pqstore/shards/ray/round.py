"""A question to several shards, each of which one replica answers."""

from __future__ import annotations

import pickle
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from pqstore.shards.answering import Answer
from pqstore.shards.ray.library import ray_library, reason_of
from pqstore.shards.replicas import Replicas

__all__ = ["Round"]

_LARGE_BYTES = 64 << 10


class Round:
    """One question on its way to several shards."""

    def __init__(
        self,
        actors: Mapping[tuple[int, int], Any],
        replicas: Replicas,
        method: str,
        arguments: Mapping[int, tuple[Any, ...]],
    ) -> None:
        """`actors`: by (shard, replica)."""
        self._ray = ray_library()
        self._actors, self._replicas = actors, replicas
        self._method, self._arguments = method, arguments
        self.open: dict[Any, tuple[int, int]] = {}
        """What was asked and not answered: reference -> (shard, replica)."""
        self._made: dict[int, Any] = {}
        self._tried: dict[int, list[int]] = {shard: [] for shard in arguments}
        self.reasons: dict[int, str] = {}
        for shard in arguments:
            self._ask(shard)

    def _ask(self, shard: int) -> bool:
        """Ask a replica that was not asked; False: all were."""
        replica = self._replicas.begin(shard, self._tried[shard])
        if replica is None:
            return False
        self._tried[shard].append(replica)
        actor = self._actors[shard, replica]
        self.open[actor.ask.remote(self._sent(self._arguments[shard]))] = (shard, replica)
        return True

    def _sent(self, arguments: tuple[Any, ...]) -> Any:
        """A question as it is sent, made once where it is the same for all: few bytes go with the call, many through
        the store of objects, whose arrays nobody copies."""
        known = self._made.get(id(arguments))
        if known is None:
            large = sum(part.nbytes for part in arguments if isinstance(part, np.ndarray)) > _LARGE_BYTES
            question = (self._method, arguments)
            known = self._ray.put(question) if large else pickle.dumps(question, protocol=5)
            self._made[id(arguments)] = known
        return known

    def all_ended(self) -> None:
        """Every answer has come."""
        for shard, replica in self.open.values():
            self._replicas.end(shard, replica)

    def one_by_one(self, end: float, *, hedge: bool) -> dict[int, Answer]:
        """Answers as they come, until all are there or the time is over; what is `open` then nobody waits for.

        `hedge`: who is late is asked for elsewhere too.
        """
        ray = self._ray
        answers: dict[int, Answer] = {}
        hedged = not hedge
        while self.open and len(answers) < len(self._arguments):
            left = max(0.0, end - time.monotonic())
            ready, _ = ray.wait(list(self.open), num_returns=1, timeout=left if hedged else 0)
            for ref in ready:
                shard, replica = self.open.pop(ref)
                self._replicas.end(shard, replica)
                self._take(ref, shard, answers)
            if not ready and hedged:
                break  # the time is over
            if not ready:
                hedged = True
                for shard in self._arguments.keys() - answers.keys():
                    self._ask(shard)
        return answers

    def _take(self, ref: Any, shard: int, answers: dict[int, Answer]) -> None:
        """An answer; of a replica that failed, that of another one."""
        try:
            answer = self._ray.get(ref)
            answers.setdefault(shard, pickle.loads(answer))
        except self._ray.exceptions.RayError as error:
            self.reasons[shard] = reason_of(error)
            self._ask(shard)
