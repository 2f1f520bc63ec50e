"""Some shards of a collection in a process of their own."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

from pqstore.shards.answering import Answer, Restriction, ShardView
from pqstore.shards.fetching import fetch_shards
from pqstore.shards.group import GroupView
from pqstore.shards.open_shards import OpenShards
from pqstore.shards.place import Place
from pqstore.shards.ray.library import REFUSALS

__all__ = ["ShardActor"]


class ShardActor:
    """Some shards in a process of their own. All that it is made of is a path, so that it can be made again."""

    def __init__(self, directory: str, numbers: Sequence[int], threads: int, local: str | None) -> None:
        place = Place(directory)
        if local is not None:
            target = Place(local)
            fetch_shards(place, target, numbers)
            place = target
        self._open = OpenShards(place, readonly=True, numbers=numbers)
        self._threads = threads

    def ready(self) -> int:
        """The number of this process, once the shards are open."""
        import os  # noqa: PLC0415

        return os.getpid()

    def ask(self, question: Any) -> bytes:
        """The answer of the newest state, or what refuses the question; pickled here, quicker than Ray does it."""
        method, arguments = pickle.loads(question) if isinstance(question, bytes) else question
        mine = tuple(
            part._replace(threads=self._threads) if isinstance(part, Restriction) else part for part in arguments
        )
        try:
            answer: Answer | Exception = self._answer(method, mine)
        except REFUSALS as error:
            answer = error
        return pickle.dumps(answer, protocol=5)

    def _answer(self, method: str, arguments: tuple[Any, ...]) -> Answer:
        shards = self._open.latest.shards
        if len(shards) == 1:  # nothing is to be merged
            (index,) = shards.values()
            with index.snapshot() as view:
                return ShardView(view).ask(method, arguments)
        with self._open.asking() as asker:
            return GroupView(asker).ask(method, arguments)
