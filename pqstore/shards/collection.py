"""`Collection`: the shards of a directory, asked as one index."""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pqstore.index import Filter, IndexStats, RangeResult, ScrollPage, SearchResult
from pqstore.index.arguments.counts import as_timeout
from pqstore.index.arguments.ids import IdArray, as_id_batch
from pqstore.index.arguments.types import Missing, OnConflict, Payloads
from pqstore.index.records import as_missing
from pqstore.progress import Progress, no_progress
from pqstore.shards.answering import Restriction
from pqstore.shards.enlarging import empty_shard, move_home, with_shard
from pqstore.shards.manifest import CollectionManifest
from pqstore.shards.open_shards import OpenShards, nature_of
from pqstore.shards.place import Place
from pqstore.shards.several_transactions import several_transactions
from pqstore.shards.verifying import misplaced
from pqstore.shards.writing import add, as_addition, remove
from pqstore.storage import Problem

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Collection"]


class Collection:
    """Shards that answer as one index over the same vectors would, to the bit; open one with `Collection.open`."""

    _open: OpenShards

    def __init__(self, *_: Any, **__: Any) -> None:
        """Not the way in: see `Collection.open`."""
        raise TypeError("use Collection.open(path) for a collection that was committed")

    @classmethod
    def open(cls, path: Any, readonly: bool = False) -> Collection:
        """Open a collection that was committed, with all of its shards.

        Raises:
            MissingShardError: nothing is committed at `path`, or a shard is not there.
            ForeignShardError: a shard has another quantizer, metric or kind of ids than the collection, or is another
                index than the one that was committed.
            NetworkFileSystemError: it lies on a file system of a network: `fetch` makes a local copy.
            DocumentError, FormatVersionError: the manifest cannot be read.
            CorruptIndexError: a shard is damaged.
        """
        collection = cls.__new__(cls)
        collection._open = OpenShards(Place(path), readonly=bool(readonly))
        return collection

    def close(self) -> None:
        """Close all shards; closing twice is allowed."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return Collection.open, (self.path, self._open.readonly)

    @property
    def path(self) -> str:
        """The directory, absolute."""
        return str(self._open.place.directory)

    @property
    def manifest(self) -> CollectionManifest:
        """What was committed: shards, rows, quantizer."""
        return self._open.latest.manifest if self._open.closed else self._open.state().manifest

    def __repr__(self) -> str:
        facts = self.manifest
        return (
            f"<pqstore.shards.Collection {self.path!r}: {len(facts.shards)} shards, {facts.rows:,} vectors committed, "
            f"D={facts.D}, {facts.metric}, {facts.id_type} ids{', closed' if self._open.closed else ''}>"
        )

    def search(
        self,
        queries: Any,
        k: int = 10,
        threads: int | None = None,
        *,
        rerank: int | None = None,
        where: Filter | None = None,
        allow: Any = None,
        deny: Any = None,
        include: Any = (),
        nprobe: int | str | None = None,
        scan: int | None = None,
    ) -> SearchResult:
        """The k nearest vectors of all shards: ids and distances are those of one index over the same vectors.

        Args:
            queries: Array-like (D,) for one query, (n, D) for several.
            k: How many to find.
            threads: Threads to scan with; None means all cores.
            rerank: So many of the best by codes, of all shards together, are scored by their originals. So recall is
                that of one index; no shard adds candidates of its own.
            where, allow, deny, include: As for `Index.search`.
            nprobe, scan: As for `Index.search`, of each shard; with inverted lists, "all" alone is exact.

        Returns:
            `SearchResult(ids, distances)`, or `SearchHits` with `include`; equal distances in the order of ids.

        Raises:
            As `Index.search`.
        """
        with self._open.asking() as asker:
            return asker.search(queries, k, rerank, include, Restriction(where, allow, deny, nprobe, scan, threads))

    def range_search(
        self,
        queries: Any,
        radius: float,
        *,
        limit: int | None = None,
        threads: int | None = None,
        rerank: int | None = None,
        where: Filter | None = None,
        allow: Any = None,
        deny: Any = None,
    ) -> RangeResult:
        """All vectors within a radius of each query; arguments and errors as for `Index.range_search`, with `rerank`
        as for `search`."""
        with self._open.asking() as asker:
            return asker.range_search(queries, radius, limit, rerank, Restriction(where, allow, deny, threads=threads))

    def get(self, ids: Any, *, include: Any = ("payload", "vector"), missing: str = "error") -> Any:
        """Vectors by id, as `Index.get`."""
        must_exist = as_missing(missing)
        with self._open.asking() as asker:
            return asker.get(ids, include, must_exist)

    def count(self, where: Filter | None = None, *, allow: Any = None, deny: Any = None) -> int:
        """How many vectors a filter finds, as `Index.count`."""
        with self._open.asking() as asker:
            return asker.count(Restriction(where, allow, deny))

    def scroll(
        self,
        where: Filter | None = None,
        *,
        limit: int = 100,
        after: int | str | None = None,
        include: Any = ("payload",),
    ) -> ScrollPage:
        """Records page by page, as `Index.scroll`: int64 ids ascend; str ids come shard by shard, and their `after`,
        which names the shard too, is that of the page before, and no id."""
        with self._open.asking() as asker:
            return asker.scroll(where, limit, after, include)

    def __len__(self) -> int:
        return self.count()

    def __contains__(self, id: object) -> bool:
        return any(id in index for index in self._open.state().shards.values())

    def add(
        self,
        vectors: Any,
        ids: Any,
        on_conflict: OnConflict = "error",
        threads: int | None = None,
        *,
        payloads: Payloads = None,
        timeout: float | None = None,
    ) -> IdArray:
        """Add vectors, each to the shard that the hash of its id names; one that is to be replaced, where it lies.

        What can be refused is refused before anything is stored. Each shard then stores its part as one
        transaction, one after another; others that read the collection see all of them or none.

        Args:
            vectors: Array-like (n, D), or (D,) for one.
            ids: One id a vector; there are no automatic ones.
            on_conflict, threads, payloads, timeout: As for `Index.add`.

        Returns:
            The ids.

        Raises:
            PartialChangeError: a shard could not commit after others had; it names them. The same call with
                on_conflict="replace" makes it whole.
            As `Index.add`.
        """
        nature = nature_of(self.manifest)
        addition = as_addition(nature.D, nature.id_type, vectors, ids, on_conflict, payloads, threads)
        if len(addition.ids):
            with self._open.changing(addition.ids, timeout) as transactions:
                add(addition, transactions, sorted(self._open.latest.shards))
        return addition.ids

    def upsert(
        self,
        vectors: Any,
        ids: Any,
        *,
        payloads: Payloads = None,
        threads: int | None = None,
        timeout: float | None = None,
    ) -> IdArray:
        """`add` with on_conflict="replace": made twice it is as made once."""
        return self.add(vectors, ids, "replace", threads, payloads=payloads, timeout=timeout)

    def remove(self, ids: Any, missing: Missing = "error", *, timeout: float | None = None) -> int:
        """Remove vectors by id, as `Index.remove`; stored as by `add`.

        Raises:
            PartialChangeError: as `add`; the same call with missing="ignore" makes it whole.
            UnknownIdError: an id is in no shard, with missing="error".
        """
        as_missing(missing)
        batch = as_id_batch(ids, self.manifest.id_type)
        if not len(batch):
            return 0
        with self._open.changing(batch, timeout) as transactions:
            return remove(batch, missing, transactions, sorted(self._open.latest.shards))

    def add_shard(self, *, scratch: Any = None, timeout: float | None = None) -> int:
        """Add an empty shard, and return its number. New ids may go there from now on; `rebalance` moves those that
        belong there.

        Args:
            scratch: A directory on a local disk; None: where the system has temporary files.
            timeout: Seconds to wait for other writers of each shard; None means 60.

        Raises:
            MissingShardError, DocumentError: quantizer or recipe are not beside the shards.
            ReadOnlyError, IndexLockedError: as `add`.
        """
        with self._open.changing(None, timeout):
            manifest = self._open.latest.manifest
            entry = empty_shard(self._open.place, manifest, scratch)
            self._open.publish(with_shard(manifest, entry))
        self._open.state()
        return entry.number

    def rebalance(self, *, timeout: float | None = None, progress: Progress | None = None) -> int:
        """Move vectors to the shards that the hashes of their ids name, to the bit, while others read and write. From
        then on a write locks only the shards that its ids belong to. Killed anywhere, a further call goes on.

        Args:
            timeout: Seconds to wait for other writers of each shard; None means 60.
            progress: Called with a `ProgressStep` after some thousands of vectors.

        Returns:
            How many were moved.
        """
        wait, lock = as_timeout(timeout), self._open.place.lock
        shards = self._open.state().shards
        moved = move_home(
            shards,
            lambda numbers, last: several_transactions(shards, numbers, lock, wait, last),
            progress or no_progress,
        )
        with self._open.changing(None, wait):
            manifest = self._open.latest.manifest
            if self._open.latest.shards.keys() == shards.keys() and manifest.placement != "by hash":
                self._open.publish(replace(manifest, revision=manifest.revision + 1, placement="by hash"))
        return moved

    def verify(self, deep: bool = False) -> dict[int, list[Problem]]:
        """Check the records of every shard; what is wrong, by the numbers of the shards that are not sound.

        Args:
            deep: As for `Index.verify`; also that no id lies in two shards, and each where the manifest says.
        """
        state = self._open.state()
        found = {number: index.verify(deep) for number, index in state.shards.items()}
        if deep:
            for number, problem in misplaced(state.shards, by_hash=state.manifest.placement == "by hash"):
                found[number].append(problem)
        return {number: problems for number, problems in found.items() if problems}

    def stats(self) -> dict[int, IndexStats]:
        """Sizes and counts of every shard, by number."""
        return {number: index.stats() for number, index in self._open.state().shards.items()}
