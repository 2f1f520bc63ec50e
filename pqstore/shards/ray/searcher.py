"""A collection whose shards are searched by actors."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from pqstore.errors import SilentShardError
from pqstore.index import Filter, RangeResult, ScrollPage, SearchResult
from pqstore.index.arguments.counts import as_count
from pqstore.index.records import as_missing
from pqstore.shards.answering import Answer, Restriction
from pqstore.shards.asking import Asker
from pqstore.shards.manifest import read_collection
from pqstore.shards.open_shards import nature_of
from pqstore.shards.partial import PartialHits, PartialRange
from pqstore.shards.place import Place
from pqstore.shards.ray.library import ray_library, reason_of
from pqstore.shards.ray.round import Round
from pqstore.shards.ray.shard_actor import ShardActor
from pqstore.shards.ray.sharing import shared_out
from pqstore.shards.replicas import Latencies, Replicas

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Searcher"]

_START_SECONDS = 120.0


class Searcher:
    """A collection whose shards are searched by actors all over a Ray cluster: those that there are when it is made.

    Answers are those of `Collection`, and of one index over the same vectors. A single query is not worth it below some
    10^7 rows: a question to actors takes milliseconds, which the first million rows do not take.
    """

    def __init__(
        self,
        collection: Any,
        *,
        replicas: int = 1,
        actors: int | None = None,
        num_cpus: float = 1,
        local: Any = None,
        on_missing: Literal["error", "partial"] = "error",
        timeout: float = 60.0,
        hedge: bool = True,
        actor_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Start the actors, and wait until every shard is open somewhere.

        Args:
            collection: The directory of a collection, which every node sees.
            replicas: Actors for each shard.
            actors: How many actors share the shards, times `replicas`; each scans its share as one. None: one a shard.
            num_cpus: Of each actor, which searches with as many threads, with one at least.
            local: A directory on a local disk of each node, to which an actor copies its shard; None: the collection
                lies on local disks already.
            on_missing: What to do when a shard does not answer: "error", or "partial": answer without it, and say so.
            timeout: Seconds after which a shard counts as one that does not answer.
            hedge: Ask another replica when the first has not answered after as long as 95 of 100 questions take.
            actor_options: Options of Ray for the actors: `scheduling_strategy`, `resources`, ...

        Raises:
            MissingShardError, DocumentError: there is no collection.
            SilentShardError: a shard could not be opened anywhere, with on_missing="error".
            MissingDependencyError: Ray is not installed.
        """
        if on_missing not in ("error", "partial"):
            raise ValueError(f"on_missing must be 'error' or 'partial', got {on_missing!r}")
        self._ray = ray_library()
        self._place = Place(collection)
        self._manifest = read_collection(self._place)
        self._on_missing, self._timeout = on_missing, float(timeout)
        count = as_count(replicas, "replicas")
        self._groups = shared_out(self._manifest, None if actors is None else as_count(actors, "actors"))
        self._hedges = bool(hedge) and count > 1
        self._replicas, self._latencies = Replicas(count), Latencies()
        self._actors = self._started(count, num_cpus, local, actor_options or {})
        self._late: list[tuple[Any, int, int]] = []
        self._lock = threading.Lock()
        self._await_start()

    def _started(
        self, replicas: int, num_cpus: float, local: Any, options: Mapping[str, Any]
    ) -> dict[tuple[int, int], Any]:
        usual = {"num_cpus": num_cpus, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": "SPREAD"}
        kind = self._ray.remote(**{**usual, **options})(ShardActor)
        threads, directory = max(1, int(num_cpus)), str(self._place.directory)
        copy = None if local is None else str(Place(local).directory)
        return {
            (group, replica): kind.remote(directory, numbers, threads, copy)
            for group, numbers in enumerate(self._groups)
            for replica in range(replicas)
        }

    def _await_start(self) -> None:
        """Every shard is open somewhere."""
        starting = {actor.ready.remote(): shard for (shard, _), actor in self._actors.items()}
        missing, reasons = {shard for shard, _ in self._actors}, {}
        end = time.monotonic() + _START_SECONDS
        while missing and starting and time.monotonic() < end:
            ready, _ = self._ray.wait(list(starting), num_returns=1, timeout=max(0.0, end - time.monotonic()))
            for ref in ready:
                shard = starting.pop(ref)
                try:
                    self._ray.get(ref)
                    missing.discard(shard)
                except self._ray.exceptions.RayError as error:
                    reasons[shard] = reason_of(error)
        if missing and self._on_missing == "error":
            self.close()
            raise self._silent(missing, reasons)

    def close(self) -> None:
        """Stop the actors; closing twice is allowed."""
        for actor in self._actors.values():
            self._ray.kill(actor, no_restart=True)
        self._actors = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def search(
        self,
        queries: Any,
        k: int = 10,
        *,
        rerank: int | None = None,
        where: Filter | None = None,
        allow: Any = None,
        deny: Any = None,
        include: Any = (),
        nprobe: int | str | None = None,
        scan: int | None = None,
    ) -> SearchResult:
        """As `Collection.search`; with on_missing="partial" the result is a `PartialHits`, whose `missing` numbers the
        shards that did not answer.

        Raises:
            SilentShardError: a shard did not answer, with on_missing="error"; or none did.
            As `Collection.search`.
        """
        missing: set[int] = set()
        asked = Restriction(where, allow, deny, nprobe, scan)
        result = self._asker(missing).search(queries, k, rerank, include, asked)
        if self._on_missing == "error":
            return result
        partial = PartialHits(result.ids, result.distances)
        for name in ("payloads", "vectors"):
            setattr(partial, name, getattr(result, name, None))
        partial.missing = self._shards_of(missing)
        return partial

    def range_search(
        self,
        queries: Any,
        radius: float,
        *,
        limit: int | None = None,
        rerank: int | None = None,
        where: Filter | None = None,
        allow: Any = None,
        deny: Any = None,
    ) -> RangeResult:
        """As `Collection.range_search`; with on_missing="partial" a `PartialRange`."""
        missing: set[int] = set()
        result = self._asker(missing).range_search(queries, radius, limit, rerank, Restriction(where, allow, deny))
        if self._on_missing == "error":
            return result
        partial = PartialRange(*result)
        partial.missing = self._shards_of(missing)
        return partial

    def get(self, ids: Any, *, include: Any = ("payload", "vector"), missing: str = "error") -> Any:
        """As `Collection.get`; of all shards, whatever `on_missing` says."""
        return self._asker(None).get(ids, include, as_missing(missing))

    def count(self, where: Filter | None = None, *, allow: Any = None, deny: Any = None) -> int:
        """As `Collection.count`; of all shards, whatever `on_missing` says."""
        return self._asker(None).count(Restriction(where, allow, deny))

    def scroll(
        self,
        where: Filter | None = None,
        *,
        limit: int = 100,
        after: int | str | None = None,
        include: Any = ("payload",),
    ) -> ScrollPage:
        """As `Collection.scroll`; of all shards, whatever `on_missing` says."""
        return self._asker(None).scroll(where, limit, after, include)

    def _asker(self, missing: set[int] | None) -> Asker:
        """Shards that do not answer go to `missing`; None: they are an error."""
        if not self._actors:
            raise SilentShardError("the searcher is closed")

        def fan_out(method: str, arguments: Mapping[int, tuple[Any, ...]]) -> dict[int, Answer]:
            left = {shard: asked for shard, asked in arguments.items() if missing is None or shard not in missing}
            answers, reasons = self._answers(method, left)
            silent = left.keys() - answers.keys()
            if silent and (missing is None or self._on_missing == "error" or not answers):
                raise self._silent(silent, reasons)
            if missing is not None:
                missing.update(silent)
            return answers

        return Asker(nature_of(self._manifest), range(len(self._groups)), fan_out)

    def _answers(
        self, method: str, arguments: Mapping[int, tuple[Any, ...]]
    ) -> tuple[dict[int, Answer], dict[int, str]]:
        """What shards answer, and why others do not.

        Raises:
            What a shard refuses the question with.
        """
        started = time.monotonic()
        self._forget_late()
        asked = Round(self._actors, self._replicas, method, arguments)
        try:
            # Most often all answer in time, and one call fetches them.
            values = self._ray.get(list(asked.open), timeout=self._first_wait(method))
            answers = {
                shard: pickle.loads(value) for (shard, _), value in zip(asked.open.values(), values, strict=True)
            }
            asked.all_ended()
        except (self._ray.exceptions.GetTimeoutError, self._ray.exceptions.RayError):
            answers = asked.one_by_one(started + self._timeout, hedge=self._hedges)
            self._expect_late([(ref, *where) for ref, where in asked.open.items()])
        for value in answers.values():
            if isinstance(value, Exception):
                raise value
        if len(answers) == len(arguments):
            self._latencies.add(method, time.monotonic() - started)
        return answers, asked.reasons

    def _first_wait(self, method: str) -> float:
        return min(self._timeout, self._latencies.p95(method)) if self._hedges else self._timeout

    def _forget_late(self) -> None:
        """Replicas whose late answers have come, which nobody waits for, may be asked again."""
        if not self._late:
            return
        with self._lock:
            late, self._late = self._late, []
        refs = [ref for ref, _, _ in late]
        ready = set(self._ray.wait(refs, num_returns=len(refs), timeout=0)[0]) if refs else set()
        for ref, shard, replica in late:
            if ref in ready:
                self._replicas.end(shard, replica)
        self._expect_late([each for each in late if each[0] not in ready])

    def _expect_late(self, late: list[tuple[Any, int, int]]) -> None:
        """(reference, shard, replica) of answers that nobody waits for."""
        with self._lock:
            self._late += late

    def _shards_of(self, groups: Iterable[int]) -> tuple[int, ...]:
        return tuple(sorted(number for group in groups for number in self._groups[group]))

    def _silent(self, groups: Collection[int], reasons: Mapping[int, str]) -> SilentShardError:
        named = ", ".join(map(str, self._shards_of(groups)[:10]))
        why = next((f": {reasons[group]}" for group in sorted(groups) if group in reasons), "")
        return SilentShardError(
            f"shards {named} of {self._place.directory} did not answer within {self._timeout:g} s{why}; look at their "
            "actors, or take partial answers with on_missing='partial'"
        )
