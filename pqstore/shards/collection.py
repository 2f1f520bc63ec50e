"""`Collection`: the shards of a directory, asked as one index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pqstore.errors import ForeignShardError, IndexClosedError, IndexNotFoundError, MissingShardError
from pqstore.index import Filter, Index, RangeResult, ScrollPage, SearchResult
from pqstore.index.records import as_missing
from pqstore.shards.answering import Answer, Restriction, ShardView
from pqstore.shards.asking import Asker, Nature
from pqstore.shards.file_system import refuse_network
from pqstore.shards.locking import looking
from pqstore.shards.manifest import CollectionManifest, read_collection
from pqstore.shards.place import Place
from pqstore.shards.recipe import hash_of

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Collection"]


class Collection:
    """Shards that answer as one index over the same vectors would, to the bit; open one with `Collection.open`."""

    _place: Place
    _manifest: CollectionManifest
    _shards: dict[int, Index]
    _readonly: bool
    _closed: bool

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
        place = Place(path)
        manifest = read_collection(place)
        refuse_network(place.directory, "the collection", "copy it to a local disk with fetch()")
        collection = cls.__new__(cls)
        collection._place, collection._manifest, collection._readonly = place, manifest, bool(readonly)
        collection._closed = False
        with ExitStack() as opened:
            shards = {}
            for entry in manifest.shards:
                shards[entry.number] = open_shard(place, manifest, entry.number, readonly=readonly)
                opened.callback(shards[entry.number].close)
            opened.pop_all()
        collection._shards = shards
        return collection

    def close(self) -> None:
        """Close all shards; closing twice is allowed."""
        self._closed = True
        for index in self._shards.values():
            index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return Collection.open, (self.path, self._readonly)

    @property
    def path(self) -> str:
        """The directory, absolute."""
        return str(self._place.directory)

    @property
    def manifest(self) -> CollectionManifest:
        """What was committed: shards, rows, quantizer."""
        return self._manifest

    def __repr__(self) -> str:
        facts = self._manifest
        return (
            f"<pqstore.shards.Collection {self.path!r}: {len(facts.shards)} shards, {facts.rows:,} vectors committed, "
            f"D={facts.D}, {facts.metric}, {facts.id_type} ids{', closed' if self._closed else ''}>"
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
        with self._asker() as asker:
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
        with self._asker() as asker:
            return asker.range_search(queries, radius, limit, rerank, Restriction(where, allow, deny, threads=threads))

    def get(self, ids: Any, *, include: Any = ("payload", "vector"), missing: str = "error") -> Any:
        """Vectors by id, as `Index.get`."""
        must_exist = as_missing(missing)
        with self._asker() as asker:
            return asker.get(ids, include, must_exist)

    def count(self, where: Filter | None = None, *, allow: Any = None, deny: Any = None) -> int:
        """How many vectors a filter finds, as `Index.count`."""
        with self._asker() as asker:
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
        with self._asker() as asker:
            return asker.scroll(where, limit, after, include)

    def __len__(self) -> int:
        return self.count()

    def __contains__(self, id: object) -> bool:
        self._check()
        return any(id in index for index in self._shards.values())

    def _check(self) -> None:
        if self._closed:
            raise IndexClosedError(f"the collection at {self.path} is closed")

    @contextmanager
    def _asker(self) -> Iterator[Asker]:
        """All shards in one state: none is seen within a change of several."""
        self._check()
        with ExitStack() as opened:
            with looking(self._place.lock):
                views = {n: opened.enter_context(index.snapshot()) for n, index in self._shards.items()}
            shards = {number: ShardView(view) for number, view in views.items()}

            def fan_out(method: str, arguments: Mapping[int, tuple[Any, ...]]) -> dict[int, Answer]:
                return {number: shards[number].ask(method, asked) for number, asked in arguments.items()}

            yield Asker(nature_of(self._manifest), sorted(shards), fan_out)


def nature_of(manifest: CollectionManifest) -> Nature:
    """What the shards of a collection have in common."""
    return Nature(manifest.D, manifest.metric, manifest.id_type, manifest.originals)


def open_shard(place: Place, manifest: CollectionManifest, number: int, *, readonly: bool) -> Index:
    """A shard that is what the manifest says.

    Raises:
        MissingShardError: it is not there. ForeignShardError: it is another index.
    """
    entry = next(entry for entry in manifest.shards if entry.number == number)
    path = place.directory / entry.name
    try:
        index = Index.open(path, readonly=readonly)
    except IndexNotFoundError as error:
        raise MissingShardError(f"shard {number} of the collection is missing: {error}") from error
    try:
        _check_shard(index, manifest, entry.uuid)
    except BaseException:
        index.close()
        raise
    return index


def _check_shard(index: Index, manifest: CollectionManifest, uuid: str) -> None:
    said = (manifest.quantizer, manifest.metric, manifest.D, manifest.id_type, manifest.originals, uuid)
    is_so = (hash_of(index.quantizer), index.metric, index.dim, index.id_type, index.originals, index.stats().uuid)
    names = ("quantizer", "metric", "dimension", "kind of ids", "kind of originals", "UUID")
    for name, expected, got in zip(names, said, is_so, strict=True):
        if expected != got:
            raise ForeignShardError(
                f"{index.path} is no shard of this collection: its {name} is {got}, not {expected}; put the "
                "right shard in its place"
            )
