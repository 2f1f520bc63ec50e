"""Collections on Ray: shards built as tasks, searched by actors that share them, with replicas, or in batches of a data
set. Ray is imported where it is used: `pip install 'pqstore[ray]'`.

What is built is files with manifests, never objects of the store: who owns an object may die. Tasks may run twice, and
actors restart, at any moment: building is idempotent, and all that an actor knows is a path.
"""

from __future__ import annotations

import importlib
import pickle
import threading
import time
from collections.abc import Collection as Collection_
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pqstore.errors import MissingDependencyError, PQStoreError, SilentShardError
from pqstore.index import Filter, RangeResult, ScrollPage, SearchResult
from pqstore.index.arguments.counts import as_count
from pqstore.index.records import as_missing
from pqstore.progress import Progress, ProgressStep, no_progress
from pqstore.quantizer import Quantizer
from pqstore.shards.answering import Answer, Restriction, ShardView
from pqstore.shards.asking import Asker
from pqstore.shards.building import build_shard, missing_shards
from pqstore.shards.collection import Collection
from pqstore.shards.committing import commit
from pqstore.shards.fetching import fetch, fetch_shards
from pqstore.shards.group import GroupView
from pqstore.shards.manifest import CollectionManifest, read_collection
from pqstore.shards.open_shards import OpenShards, nature_of
from pqstore.shards.partial import PartialHits, PartialRange
from pqstore.shards.place import Place
from pqstore.shards.planning import plan as make_plan
from pqstore.shards.replicas import Latencies, Replicas
from pqstore.shards.shard_plan import Plan
from pqstore.shards.training import train

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["SearchBatch", "Searcher", "build"]

_REFUSALS = (PQStoreError, ValueError, TypeError)
_START_SECONDS = 120.0
_LARGE_BYTES = 64 << 10


def build(
    source: Any,
    destination: Any,
    quantizer: Quantizer | None = None,
    *,
    rows_per_shard: int = 1_000_000,
    corpus: Any = None,
    num_cpus: float = 1,
    max_retries: int = 3,
    scratch: Any = None,
    progress: Progress | None = None,
    **settings: Any,
) -> CollectionManifest:
    """Build all shards of a plan that are not built yet, as tasks on a Ray cluster, then commit the collection.

    Killed anywhere, driver, workers or nodes, a further call builds what is missing: no shard is encoded twice, but
    those that were being built.

    Args:
        source: A `Plan`; what `pqstore.shards.plan` takes; or a Ray `Dataset`, which is written to `corpus` first.
        destination: The directory of the collection, which every node sees.
        quantizer: As for `pqstore.shards.train`, which the driver does; left out where it is trained already.
        rows_per_shard: As for `plan`.
        corpus: Where a `Dataset` is written to, as Parquet: a directory that every node sees.
        num_cpus: Of each task, which encodes with as many threads.
        max_retries: How often Ray begins a task again whose worker died.
        scratch: A directory on a local disk of each node; None: where that has temporary files.
        progress: Called with a `ProgressStep` of stage "shards" for each that is built.
        settings: Passed on to `train`: originals, fields, partitions, sample_rows, seed, threads.

    Returns:
        The manifest of the collection.

    Raises:
        MissingDependencyError: Ray is not installed.
        As `plan`, `train`, `build_shard` and `commit`.
    """
    ray = _ray()
    plan = _plan_of(source, corpus, rows_per_shard)
    if quantizer is not None or not Place(destination).recipe.exists():
        train(plan, quantizer, destination, **settings)
    told = progress or no_progress
    numbers = missing_shards(plan, destination)
    done, total = len(plan.shards) - len(numbers), len(plan.shards)
    task = ray.remote(num_cpus=num_cpus, max_retries=max_retries, scheduling_strategy="SPREAD")(_build_one)
    shared, threads = ray.put(plan), max(1, int(num_cpus))
    place, within = str(Place(destination).directory), None if scratch is None else str(scratch)
    waiting = [task.remote(shared, number, place, within, threads) for number in numbers]
    try:
        while waiting:
            ready, waiting = ray.wait(waiting, num_returns=1)
            for failure in ray.get(ready):
                if failure is not None:
                    raise failure
            done += len(ready)
            told(ProgressStep("shards", done, total))
    finally:
        for unfinished in waiting:
            ray.cancel(unfinished, force=True)
    return commit(plan, destination)


def _build_one(plan: Plan, number: int, destination: str, scratch: str | None, threads: int) -> Exception | None:
    """In a task: build a shard. What refuses it is returned, since a task that raises is no different the next time."""
    try:
        build_shard(plan, number, destination, scratch=scratch, threads=threads)
    except _REFUSALS as error:
        return error
    return None


def _plan_of(source: Any, corpus: Any, rows_per_shard: int) -> Plan:
    if isinstance(source, Plan):
        return source
    if hasattr(source, "write_parquet"):
        if corpus is None:
            raise ValueError("a Dataset is written to files first: say with corpus= to which directory")
        if not Path(corpus).exists():
            source.write_parquet(str(corpus))
        return make_plan(corpus, rows_per_shard)
    return make_plan(source, rows_per_shard)


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
        except _REFUSALS as error:
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
        self._ray = _ray()
        self._place = Place(collection)
        self._manifest = read_collection(self._place)
        self._on_missing, self._timeout = on_missing, float(timeout)
        count = as_count(replicas, "replicas")
        self._groups = _groups(self._manifest, None if actors is None else as_count(actors, "actors"))
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
                    reasons[shard] = _reason(error)
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
        asked = _Asked(self, method, arguments)
        try:
            # Most often all answer in time, and one call fetches them.
            values = self._ray.get(list(asked.open), timeout=self._first_wait(method))
            answers = {
                shard: pickle.loads(value) for (shard, _), value in zip(asked.open.values(), values, strict=True)
            }
            asked.all_ended()
        except (self._ray.exceptions.GetTimeoutError, self._ray.exceptions.RayError):
            answers = asked.one_by_one(started + self._timeout)
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

    def _silent(self, groups: Collection_[int], reasons: Mapping[int, str]) -> SilentShardError:
        named = ", ".join(map(str, self._shards_of(groups)[:10]))
        why = next((f": {reasons[group]}" for group in sorted(groups) if group in reasons), "")
        return SilentShardError(
            f"shards {named} of {self._place.directory} did not answer within {self._timeout:g} s{why}; look at their "
            "actors, or take partial answers with on_missing='partial'"
        )


def _groups(manifest: CollectionManifest, actors: int | None) -> list[tuple[int, ...]]:
    """The numbers of the shards that each actor has: such that follow one another, with about as many rows each."""
    entries = manifest.shards
    count = len(entries) if actors is None else min(actors, len(entries))
    total = max(1, manifest.rows)
    groups: list[list[int]] = [[] for _ in range(count)]
    before = 0
    for place, entry in enumerate(entries):
        # By the middle of its rows; but no group stays empty.
        wanted = min(count - 1, (2 * before + entry.rows) * count // (2 * total))
        least = max(0, count - (len(entries) - place))
        last = max((at for at, group in enumerate(groups) if group), default=-1)
        groups[min(max(wanted, least), last + 1)].append(entry.number)
        before += entry.rows
    return [tuple(group) for group in groups]


class _Asked:
    """One question on its way to several shards."""

    def __init__(self, searcher: Searcher, method: str, arguments: Mapping[int, tuple[Any, ...]]) -> None:
        self._searcher, self._method, self._arguments = searcher, method, arguments
        self.open: dict[Any, tuple[int, int]] = {}
        """What was asked and not answered: reference -> (shard, replica)."""
        self._made: dict[int, Any] = {}
        self._tried: dict[int, list[int]] = {shard: [] for shard in arguments}
        self.reasons: dict[int, str] = {}
        for shard in arguments:
            self._ask(shard)

    def _ask(self, shard: int) -> bool:
        """Ask a replica that was not asked; False: all were."""
        replica = self._searcher._replicas.begin(shard, self._tried[shard])
        if replica is None:
            return False
        self._tried[shard].append(replica)
        actor = self._searcher._actors[shard, replica]
        self.open[actor.ask.remote(self._sent(self._arguments[shard]))] = (shard, replica)
        return True

    def _sent(self, arguments: tuple[Any, ...]) -> Any:
        """A question as it is sent, made once where it is the same for all: few bytes go with the call, many through
        the store of objects, whose arrays nobody copies."""
        known = self._made.get(id(arguments))
        if known is None:
            large = sum(part.nbytes for part in arguments if isinstance(part, np.ndarray)) > _LARGE_BYTES
            question = (self._method, arguments)
            known = self._searcher._ray.put(question) if large else pickle.dumps(question, protocol=5)
            self._made[id(arguments)] = known
        return known

    def all_ended(self) -> None:
        """Every answer has come."""
        for shard, replica in self.open.values():
            self._searcher._replicas.end(shard, replica)

    def one_by_one(self, end: float) -> dict[int, Answer]:
        """Answers as they come, until all are there or the time is over. Who is late is asked for elsewhere too."""
        ray = self._searcher._ray
        answers: dict[int, Answer] = {}
        hedged = not self._searcher._hedges
        while self.open and len(answers) < len(self._arguments):
            left = max(0.0, end - time.monotonic())
            ready, _ = ray.wait(list(self.open), num_returns=1, timeout=left if hedged else 0)
            for ref in ready:
                shard, replica = self.open.pop(ref)
                self._searcher._replicas.end(shard, replica)
                self._take(ref, shard, answers)
            if not ready and hedged:
                break  # the time is over
            if not ready:
                hedged = True
                for shard in self._arguments.keys() - answers.keys():
                    self._ask(shard)
        self._searcher._expect_late([(ref, *where) for ref, where in self.open.items()])
        return answers

    def _take(self, ref: Any, shard: int, answers: dict[int, Answer]) -> None:
        """An answer; of a replica that failed, that of another one."""
        try:
            answer = self._searcher._ray.get(ref)
            answers.setdefault(shard, pickle.loads(answer))
        except self._searcher._ray.exceptions.RayError as error:
            self.reasons[shard] = _reason(error)
            self._ask(shard)


class SearchBatch:
    """Queries of a data set, batch by batch: for ``ds.map_batches(SearchBatch, batch_size=1024, concurrency=2,
    fn_constructor_kwargs={"collection": path, "k": 10})``.

    Each worker opens the whole collection; those of one node share its pages in memory. A batch comes back with two
    columns more: "ids" and "distances", k of each a query.
    """

    def __init__(
        self,
        collection: Any,
        k: int = 10,
        *,
        column: str = "vector",
        local: Any = None,
        rerank: int | None = None,
        where: Filter | None = None,
        nprobe: int | str | None = None,
        threads: int | None = None,
    ) -> None:
        """Open the collection in this worker.

        Args:
            collection: Its directory.
            k, rerank, where, nprobe: As for `Collection.search`.
            column: The column of queries.
            local: A directory on a local disk, to which the collection is copied first; None: it lies on one.
            threads: Threads to scan with; None: as many as Ray has given this worker CPUs.
        """
        if local is not None:
            fetch(collection, local)
        self._collection = Collection.open(collection if local is None else local, readonly=True)
        self._column, self._k, self._threads = column, k, _assigned_threads() if threads is None else threads
        self._settings: dict[str, Any] = {"rerank": rerank, "where": where, "nprobe": nprobe}

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Columns (n, ...) -> the same columns and those that were found."""
        queries = batch[self._column]
        if isinstance(queries, np.ndarray) and queries.dtype == object:
            queries = np.stack([np.asarray(query) for query in queries])
        ids, distances = self._collection.search(queries, self._k, self._threads, **self._settings)
        return {**batch, "ids": ids if ids.dtype != object else _as_lists(ids), "distances": distances}


def _as_lists(ids: Any) -> Any:
    """Strings (n, k) as a column of n lists."""
    column = np.empty(len(ids), dtype=object)
    for at, row in enumerate(ids.tolist()):
        column[at] = [id for id in row if id is not None]
    return column


def _assigned_threads() -> int:
    """As many threads as Ray has given this worker CPUs, one at least: others work beside it."""
    ray = _ray()
    if not ray.is_initialized():
        return 1
    return max(1, int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1)))


def _reason(error: Exception) -> str:
    """The line of an error of Ray that says why."""
    cause = getattr(error, "cause", None) or error
    lines: Sequence[str] = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[-1] if lines else 'no reason is known'}"[:300]


def _ray() -> Any:
    """Ray, when it is used.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "ray":
            raise
        raise MissingDependencyError("collections on Ray need it: pip install 'pqstore[ray]'") from error
