"""The index: a trained quantizer and a store of codes, under one name."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import numpy as np
import numpy.typing as npt

from pqstore.errors import CorruptIndexError, PQStoreError
from pqstore.index import records
from pqstore.index.arguments.clock import Clock, as_moment
from pqstore.index.arguments.counts import as_timeout
from pqstore.index.arguments.ids import IdArray, IdType
from pqstore.index.arguments.sets import as_set_name
from pqstore.index.arguments.types import Filter, Id, Include, Missing, OnConflict, Payload, Payloads, Rerank
from pqstore.index.asynchronous import in_thread, in_threads, twin_of
from pqstore.index.background import in_background
from pqstore.index.code_space import CodeSpace, Phase, RetrainMode
from pqstore.index.drift import DriftWatch
from pqstore.index.exact_space import ExactSpace, TrainMode
from pqstore.index.expiry import as_expiry, expiry_of, setting_of_expiry
from pqstore.index.facts.field_kinds import field_kinds
from pqstore.index.facts.field_range import FieldRange, field_range
from pqstore.index.facts.field_values import FieldValues, field_values
from pqstore.index.ingest import Batch, add_rows, as_upsert_ids, batch_of_codes, batch_of_vectors
from pqstore.index.lists.in_order import partitioned_rows
from pqstore.index.lists.partitioning import PartitionReport, partition, partition_around
from pqstore.index.lists.wish import Wish, as_wish, granted, notes_of_wish, wish_of
from pqstore.index.open_or_create import open_or_create, refuse_difference
from pqstore.index.payload_updates import NOT_GIVEN, payload_update
from pqstore.index.reading import Reading
from pqstore.index.recall.calibrating import measure_calibration
from pqstore.index.recall.measuring import recall_report
from pqstore.index.recall.report import RecallReport
from pqstore.index.records import ScrollPage
from pqstore.index.removal import removal_of_ids, removal_of_selected
from pqstore.index.saved_sets import dropping_of_set, ids_of_set, saving_of_set, sizes_of_sets
from pqstore.index.search.calibration import Calibration, keep_calibration
from pqstore.index.search.plain import PlainSearches
from pqstore.index.search.question import NO_EFFORT, NO_VARIETY, Question
from pqstore.index.search.results import RangeResult, Record, SearchHits, SearchResult
from pqstore.index.search.top_k import search
from pqstore.index.search.within import range_search
from pqstore.index.selection.select import count
from pqstore.index.settings import (
    as_field,
    as_fields,
    as_index_arguments,
    as_original_kind,
    features_of,
    fields_of,
    first_space,
    packing_of,
    record_of,
)
from pqstore.index.snapshot_view import SnapshotView
from pqstore.index.spaces import Space, Spaces
from pqstore.index.stats import IndexStats, shown_extras
from pqstore.index.table_rows import Columns, TableRows, rows_of_table, stream_of
from pqstore.index.table_stream import add_stream
from pqstore.index.training import is_due, retrain, train
from pqstore.index.transaction import Transaction
from pqstore.index.unreadable import UnreadablePayloads
from pqstore.index.vector_updates import vector_update
from pqstore.kernels import OriginalKind, resolve_threads
from pqstore.progress import Progress, no_progress
from pqstore.quantizer import Metric, Quantizer
from pqstore.storage import (
    Durability,
    Problem,
    RepairReport,
    Snapshot,
    Store,
    WriteTransaction,
    stored_field,
)

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Index"]

Result = TypeVar("Result")


class Index:
    """A persistent index of product-quantized vectors: a directory on disk, searched in place.

    Make one with `Index.create`, open one with `Index.open`. Every call that changes it is one transaction: when the
    call returns, the change is on the disk; when it raises, nothing was changed. Many processes and threads may read
    while one writes. An index pickles as its path.

    Every method that waits for the disk or computes has a twin for event loops that begins with "a": ``await
    index.asearch(...)`` is ``index.search(...)`` in a thread, with the same arguments and errors. ``async with`` closes
    too.

    Examples:
        >>> import numpy as np, pqstore, tempfile
        >>> vectors = np.random.default_rng(0).random((1000, 16), dtype=np.float32)
        >>> pq = pqstore.PQ(M=4, Ks=16, verbose=False).fit(vectors)
        >>> with pqstore.Index.create(tempfile.mkdtemp() + "/index", pq) as index:
        ...     ids = index.add(vectors)
        ...     nearest, distances = index.search(vectors[7], k=3)
        >>> len(ids), nearest.shape, distances.dtype
        (1000, (3,), dtype('float32'))
    """

    _store: Store
    _clock: Clock | None
    _spaces: Spaces
    _id_type: IdType
    _wish: Wish
    _drift: DriftWatch
    _plain: PlainSearches

    def __init__(self, *arguments: Any, **_: Any) -> None:
        """Not the way in: see `Index.open` and `Index.create`."""
        path = repr(str(arguments[0])) if arguments and isinstance(arguments[0], (str, os.PathLike)) else "path"
        raise TypeError(
            f"use Index.open({path}) for an index that is there, or Index.create({path}, quantizer) for a new one"
        )

    @classmethod
    def _of(cls, store: Store, clock: Clock | None) -> Self:
        index = cls.__new__(cls)
        index._store = store
        index._clock = clock
        try:
            index._spaces = Spaces(store)
            index._spaces.now  # noqa: B018 - what cannot be read is told now
            with store.read(as_stored=True) as snapshot:
                index._wish = wish_of(snapshot)
            index._id_type = store.identity.id_type
            index._drift = DriftWatch()
            index._plain = PlainSearches(store)
        except BaseException:
            store.close()  # nobody has the handle, to close it
            raise
        return index

    # Opening and closing

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        quantizer: Quantizer | None = None,
        id_type: IdType = "int64",
        metric: Metric | None = None,
        durability: Durability = "full",
        bulk: bool = False,
        *,
        dim: int | None = None,
        originals: OriginalKind | Literal["default"] | None = "default",
        fields: Iterable[str] = (),
        train: TrainMode = "auto",
        train_at: int | Literal["default"] | None = "default",
        retrain: RetrainMode = "manual",
        partitions: int | str | None = None,
        expiry: str | None = None,
        clock: Clock | None = None,
    ) -> Index:
        """Make a new, empty index in a directory that does not exist yet, or is empty.

        With `dim` nothing needs to be trained: vectors are stored as they are, and searches are exact. Once there are
        `train_at` of them the index trains a quantizer on them, in one step that readers do not notice; searches go by
        codes from then on, and re-rank by the vectors themselves.

        Args:
            path: The directory.
            quantizer: A trained `PQ` or `OPQ`, of which a copy is stored. One that is not trained is what the index
                trains itself to, and needs `dim`; None leaves the choice to the index.
            id_type: "int64" or "str".
            metric: "l2", "dot" or "cosine"; None takes the quantizer's, "l2" without one.
            durability: "full" (a call that returned survives a power cut) or "relaxed" (the last calls may be
                lost by a power cut, never torn; faster).
            bulk: Build under a temporary name without waiting for the disk, for a whole corpus at once. `publish`, or
                the end of a ``with`` block without an exception, makes the index durable and gives it its name;
                otherwise nothing is left of it.
            dim: Dimension of the vectors, of an index that begins without codes.
            originals: Also keep the vectors themselves, on disk beside the codes, for `rerank=` and `get`: "float32",
                "float16", or "int8" (256 steps over the range of each vector: whole numbers that span at most 255 are
                exact). None keeps codes only. "default": "float16" in an index that trains itself, else None.
            fields: Payload fields that get an index, for quick filters; more with `create_field_index`. Names with dots
                are paths through maps within maps, as in filters.
            train: Who trains an index that began with `dim`: "auto", the `add` by which it has `train_at` vectors;
                "background", a thread that it starts (with `bulk` as "auto"); "manual", whoever calls `train`.
            train_at: "default": 40 vectors a codeword, 2,048 at least; None: never by itself.
            retrain: Who trains it anew when the data have moved (`stats().drift` of 1.5 and more, which is logged):
                "auto", the `add` that finds it; "background", a thread that it starts; "manual", whoever calls
                `retrain`.
            partitions: Divide the vectors into so many inverted lists (see `partition`) as soon as there are 64 for
                each; "auto": at 100,000 vectors, by the call that adds them. None: when `partition` is called.
            expiry: A payload field whose datetime says when a vector expires: see `set_expiry`. It gets an index.
            clock: As for `open`.

        Raises:
            NotTrainedError: the quantizer is not trained, and there is no `dim`.
            DimensionError: `dim` is not that of the quantizer, or its M does not divide it.
            IndexExistsError: something is at `path` already.
            TypeError, ValueError: an argument cannot be meant.
        """
        if isinstance(path, Quantizer):
            raise TypeError("the path comes first: Index.create(path, quantizer)")
        metric = as_index_arguments(quantizer, id_type, metric, durability)
        wish, moment, ends = as_wish(partitions), as_moment(clock), as_expiry(expiry)
        names = as_fields((*as_fields(fields), *(() if ends is None else (ends,))))
        space = first_space(quantizer, metric, dim, originals, train, train_at, retrain)
        settings, arrays = record_of(space)
        store = Store.create(
            path,
            settings,
            arrays,
            space.packing,
            id_type=id_type,
            durability=durability,
            row_bytes=0 if space.originals is None else space.originals.row_bytes,
            bulk=bulk,
            fields=tuple(map(stored_field, names)),
            expiry=None if ends is None else stored_field(ends),
            features=features_of(space),
            packing_of=packing_of,
            notes=notes_of_wish(wish),
            moment=moment,
        )
        return cls._of(store, clock)

    @classmethod
    def open(cls, path: str | os.PathLike[str], readonly: bool = False, *, clock: Clock | None = None) -> Index:
        """Open an index.

        Opening a path twice in one process shares one environment: close each of them.

        Args:
            path: The directory.
            readonly: Whether nothing is to be changed.
            clock: What says which vectors have expired (`set_expiry`), for this handle: seconds since 1970, as
                `time.time` gives them, which None stands for.

        Raises:
            IndexNotFoundError: nothing is at `path`, or a directory that is no index.
            FormatVersionError: the index is of a newer format.
            CorruptIndexError: its first records are damaged.
            TypeError: `readonly` is no bool, but a mode as of files, perhaps; or `clock` no function.
        """
        if not isinstance(readonly, (bool, np.bool_)):
            raise TypeError(f"readonly must be True or False, got {readonly!r}")
        return cls._of(Store.open(path, packing_of, readonly=bool(readonly), moment=as_moment(clock)), clock)

    @classmethod
    def open_or_create(
        cls,
        path: str | os.PathLike[str],
        quantizer: Quantizer | Callable[[], Quantizer] | None = None,
        id_type: IdType = "int64",
        metric: Metric | None = None,
        durability: Durability = "full",
        *,
        dim: int | None = None,
        originals: OriginalKind | Literal["default"] | None = "default",
        fields: Iterable[str] = (),
        train: TrainMode = "auto",
        train_at: int | Literal["default"] | None = "default",
        retrain: RetrainMode = "manual",
        partitions: int | str | None = None,
        expiry: str | None = None,
        clock: Clock | None = None,
    ) -> Index:
        """Open the index at a path, or make an empty one where there is none yet.

        Many processes may call it at once: one of them makes the index, and all open that one.

        Args:
            path: The directory.
            quantizer: As for `create`; or a function that returns one, which is called only where there is no index
                yet.
            id_type, metric, durability, dim, originals, fields, train, train_at, retrain, partitions: As for `create`.
                An index that is there keeps its own durability, fields, training and lists; see Raises for the others.
            expiry, clock: As for `create`.

        Raises:
            ValueError: the index that is there has ids of another type, or another metric, kind of originals or field
                of ends than the one given here.
            DimensionError: it is of vectors of another dimension than given here.
            IndexExistsError: something that is no index is at `path`.
            What `open` and `create` raise.
        """

        def create() -> Index:
            made = quantizer if isinstance(quantizer, Quantizer) or not callable(quantizer) else quantizer()
            return cls.create(
                path,
                made,
                id_type,
                metric,
                durability,
                dim=dim,
                originals=originals,
                fields=fields,
                train=train,
                train_at=train_at,
                retrain=retrain,
                partitions=partitions,
                expiry=expiry,
                clock=clock,
            )

        def look_over(index: Index) -> None:
            asked = None if originals == "default" else as_original_kind(originals)
            kind = None if index._space.fulfils(asked) else asked
            refuse_difference(index, quantizer, id_type, metric, kind, dim, as_expiry(expiry))

        return open_or_create(lambda: cls.open(path, clock=clock), create, look_over)

    def publish(self) -> None:
        """Make an index created with ``bulk=True`` durable, and give it its name; no other needs it."""
        if self._store.is_building:
            self._make_wanted_lists()
        self._store.publish()

    def close(self) -> None:
        """Close the index; closing twice is allowed. Other handles of the same path stay open."""
        self._store.close()
        self._plain.forget()

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and not self.closed:
                self.publish()
        finally:
            self.close()

    async def __aenter__(self) -> Index:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await in_thread(self.__exit__, kind, error, trace)

    def __reduce__(self) -> tuple[Any, ...]:
        opened = Index.open if self._clock is None else partial(Index.open, clock=self._clock)
        return opened, (str(self._store.path), self._store.readonly)

    # What it is

    @property
    def path(self) -> str:
        """The directory, absolute."""
        return str(self._store.path)

    @property
    def quantizer(self) -> Quantizer:
        """The quantizer of the index; before it is trained, what it will be. Do not change it: the codes on disk would
        not follow."""
        return self._space.quantizer

    @property
    def phase(self) -> Phase:
        """ "exact": vectors are stored as they are, every search is exact; "codes": they are quantized."""
        return self._space.phase

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return self._spaces.latest.D  # of every state

    @property
    def metric(self) -> Metric:
        """ "l2", "dot" or "cosine"."""
        return self._spaces.latest.metric  # of every state

    @property
    def id_type(self) -> IdType:
        """ "int64" or "str"."""
        return self._id_type

    @property
    def originals(self) -> OriginalKind | None:
        """How vectors themselves are kept: "float32", "float16", "int8" or None."""
        return self._space.original_kind

    @property
    def _space(self) -> Space:
        return self._spaces.now

    @property
    def fields(self) -> tuple[str, ...]:
        """Payload fields that have an index."""
        with self._store.read() as snapshot:
            return fields_of(snapshot)

    @property
    def expiry(self) -> str | None:
        """The payload field that says when vectors expire (`set_expiry`); None: they do not."""
        with self._store.read(as_stored=True) as snapshot:
            return expiry_of(snapshot)

    @property
    def sets(self) -> dict[str, int]:
        """Names of the saved sets of ids, and how many ids each has."""
        with self._store.read() as snapshot:
            return sizes_of_sets(snapshot)

    @property
    def readonly(self) -> bool:
        """Whether it was opened for reading only."""
        return self._store.readonly

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._store.closed

    def __repr__(self) -> str:
        facts = [
            *(["closed"] if self.closed else []),
            self._codes_shown(),
            f"{self.metric}, {self.id_type} ids",
            *([f"{self.originals} originals"] if self.originals and self.phase == "codes" else []),
        ]
        if not self.closed:
            with self._store.read() as snapshot:
                facts = [f"{snapshot.live_rows:,} vectors", *facts, *shown_extras(snapshot)]
        return f"<pqstore.Index {self.path!r}: {', '.join([*facts, *(['readonly'] if self.readonly else [])])}>"

    def _codes_shown(self) -> str:
        space = self._space
        codes = f"{space.quantizer.kind} M={space.M} Ks={space.Ks}"
        if isinstance(space, ExactSpace):
            when = "train()" if space.wish.train == "manual" else f"{space.wish.train_at:,} vectors"
            return f"D={space.D}, exact until {when}, then {codes}"
        return f"D={space.D}, {codes}"

    # Changing it

    def add(
        self,
        vectors: Any,
        ids: Any = None,
        on_conflict: OnConflict = "error",
        threads: int | None = None,
        *,
        payloads: Payloads = None,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> IdArray:
        """Encode vectors and add them, in one transaction.

        Other writers wait while it writes, not while it waits for the next array of an iterator.

        Args:
            vectors: Array-like (n, D), or (D,) for one vector; or an iterator of such arrays. Converted to float32 in
                blocks, so an array mapped from a file of any size is read in bounded memory. A list may hold None for
                rows without a vector, and None alone is a row without one for each payload or id: such rows are found
                by `get`, `scroll`, `count` and filters, never by a search, until `update_vector` gives them one.
            ids: One id a vector; None gives automatic ids: ascending integers from 0, or new UUIDs where ids are str.
            on_conflict: What to do when an id is in the index already: "error" adds nothing at all, "skip" keeps
                the old vector, "replace" takes the new one.
            threads: Threads to encode with; None means all cores.
            payloads: A dict or None for each vector: what comes back from `get` and searches, and what filters see.
                Keys are str; values are maps, lists, str, 64-bit numbers, bool, None, bytes and datetimes with a time
                zone (which come back in UTC), or what NumPy, pandas and enums have of these, which is stored as the
                plain value that it stands for. A replaced vector's payload goes with it.
            timeout: Seconds to wait while another writes; None means 60.
            progress: Called with a `ProgressStep` after each block of vectors; when it raises, nothing was added.

        Returns:
            The ids of the vectors, in their order: int64 (n,), or dtype object holding str.

        Raises:
            DimensionError: vectors of another shape, or not as many ids as vectors.
            InvalidVectorError: NaN, infinity, or a value beyond float32, anywhere.
            InvalidIdError: ids of the wrong type, out of int64, empty or too long.
            DuplicateIdError: an id given twice, or, with on_conflict="error", in the index already.
            InvalidPayloadError: a payload that cannot be stored; DimensionError when there are not as many as vectors.
            ReadOnlyError: the index was opened with readonly=True.
            IndexLockedError: another writer held the index for longer than `timeout`.
            StorageFullError: there is no room.
        """
        wait = as_timeout(timeout)
        batch = batch_of_vectors(self._spaces, vectors, ids, on_conflict, threads, payloads, self._id_type, progress)
        return self._added(batch, wait)

    def _added(self, batch: Batch, timeout: float | None) -> IdArray:
        ids = add_rows(self._store, batch, timeout)
        self._grow()
        return ids

    def _grow(self) -> None:
        """What the index does by itself once it has enough vectors."""
        self._train_if_due()
        if not self._store.is_building:
            self._make_wanted_lists()
            self._follow_drift()

    def _follow_drift(self) -> None:
        """Look from time to time whether the codebook still fits, and say or do something about it."""
        space = self._spaces.latest
        if (
            not isinstance(space, CodeSpace)
            or space.training is None
            or not self._drift.is_due(self._store, space.training)
        ):
            return
        mode = space.training.retrain
        self._store.attempt("looking at drift", lambda: self._act_on_drift(mode))

    def _act_on_drift(self, mode: RetrainMode) -> None:
        with self._read() as reading:
            has_moved = self._drift.has_moved(reading)
        if has_moved and mode == "auto":
            self._store.attempt("retraining", self.retrain)
        elif has_moved and mode == "background":
            in_background(self._store.path, partial(self._with_another_handle, Index.retrain))

    def _make_wanted_lists(self) -> None:
        if self._wish is None:
            return
        space = self._spaces.now  # it may have been trained by this very call
        if isinstance(space, CodeSpace):
            self._wish = granted(self._store, space, self._wish)

    def _train_if_due(self) -> None:
        """Training that the index does by itself; its failure is kept, since what was added is stored."""
        space = self._spaces.latest
        if not isinstance(space, ExactSpace) or not is_due(self._store, space):
            return
        # What is built has another name soon, or none: nobody else can open it, and nobody waits for it.
        if space.wish.train == "background" and not self._store.is_building:
            in_background(self._store.path, partial(self._with_another_handle, Index.train))
        else:
            self._store.attempt("training", self.train)

    def _with_another_handle(self, work: Callable[..., object]) -> None:
        """This one may be closed meanwhile. A core is left to those who do not wait for it."""
        with Index.open(self._store.path, clock=self._clock) as index:
            work(index, threads=max(1, resolve_threads(None) - 1))

    def upsert(
        self,
        vectors: Any,
        ids: Any,
        *,
        payloads: Payloads = None,
        threads: int | None = None,
        timeout: float | None = None,
    ) -> IdArray:
        """Add vectors, replacing those whose ids are in the index already: `add` with on_conflict="replace".

        A replaced vector's payload is replaced too: without `payloads` it is gone.
        """
        return self.add(vectors, as_upsert_ids(ids), "replace", threads, payloads=payloads, timeout=timeout)

    def add_table(
        self,
        table: Any,
        vector: str = "vector",
        *,
        id: str | None = "id",
        payload: Iterable[str] | None = None,
        on_conflict: OnConflict = "error",
        threads: int | None = None,
        timeout: float | None = None,
    ) -> IdArray:
        """Add the rows of a table: an Arrow table, record batches, or what hands over an Arrow stream, as frames of
        polars and pandas do.

        A table is added in one transaction. A stream, which may be larger than memory, is added batch after batch, each
        in a transaction of its own: a `pyarrow.RecordBatchReader`, or what has ``__arrow_c_stream__`` and no length.
        One batch is in memory, beside the ids of all of them.

        Example: ``index.add_table(pyarrow.dataset.dataset("parts/").scanner(batch_size=50_000).to_reader())``

        Args:
            table: The table.
            vector: Its column of vectors, lists of D numbers; a row in which it is null has no vector.
            id: Its column of ids; None, or "id" where there is no such column, gives automatic ids.
            payload: The columns that become keys of payloads, without values that are null; None: all others.
            on_conflict, threads, timeout: As for `add`.

        Returns:
            As `add`.

        Raises:
            MissingDependencyError: pyarrow is not installed (``pip install pqstore[parquet]``).
            TypeError, ValueError: it is no table, or has no such column.
            PartialChangeError: of a stream, when a batch after the first was refused or could not be read: those before
                it are stored, and `added` has their ids; nothing of it or after it is. ``__cause__`` says why.
            What `add` raises: of a stream for its first batch, when nothing is stored.
        """

        def add(rows: TableRows) -> IdArray:
            return self.add(rows.vectors, rows.ids, on_conflict, threads, payloads=rows.payloads, timeout=timeout)

        columns = Columns.of(vector, id, payload)
        reader = stream_of(table)
        return add(rows_of_table(table, columns)) if reader is None else add_stream(reader, columns, add)

    def add_codes(
        self,
        codes: Any,
        ids: Any = None,
        on_conflict: OnConflict = "error",
        *,
        payloads: Payloads = None,
        timeout: float | None = None,
    ) -> IdArray:
        """Add vectors that are encoded already, in one transaction.

        Args:
            codes: Integers (n, M), each in 0 .. Ks - 1, as ``index.quantizer.encode`` gives them.
            ids: As for `add`.
            on_conflict: As for `add`.
            payloads, timeout: As for `add`.

        Returns:
            As `add`.

        Raises:
            DimensionError, InvalidIdError, DuplicateIdError, ReadOnlyError, StorageFullError: as `add`.
            TypeError, ValueError: codes that are not integers, or not in range; or the index stores originals, which
                codes do not have.
        """
        wait = as_timeout(timeout)
        batch = batch_of_codes(self._spaces, codes, ids, on_conflict, payloads, self._id_type)
        return self._added(batch, wait)

    def remove(self, ids: Any, missing: Missing = "error", *, timeout: float | None = None) -> int:
        """Remove vectors by id, in one transaction.

        Args:
            ids: One id or a sequence of them; an id given twice counts once.
            missing: "error" removes nothing when an id is not in the index; "ignore" removes the others.
            timeout: Seconds to wait while another writes; None means 60.

        Returns:
            How many vectors went.

        Raises:
            UnknownIdError: an id is not in the index, with missing="error".
            InvalidIdError, ReadOnlyError, StorageFullError: as `add`.
        """
        return self._change(removal_of_ids(ids, missing, self._id_type), timeout)

    def delete(self, where: Filter | None = None, *, ids: Any = None, timeout: float | None = None) -> int:
        """Remove the vectors that a filter finds, in one transaction.

        Args:
            where: As for `search`, and not empty.
            ids: Only these of them: one id, a sequence, or an `IdSet`.
            timeout: Seconds to wait while another writes; None means 60.

        Returns:
            How many went.

        Raises:
            ValueError: neither was given, or the filter is empty, which would remove everything (see `clear`).
            InvalidFilterError: as `search`.
        """
        return self._change(removal_of_selected(where, ids, self._spaces, self._id_type), timeout)

    def clear(self, *, timeout: float | None = None) -> int:
        """Remove every vector, in one transaction. Fields, saved sets and calibration stay, and automatic ids go on.

        Args:
            timeout: Seconds to wait while another writes; None means 60.

        Returns:
            How many went. `compact` gives their disk space back.
        """
        return self._change(WriteTransaction.clear, timeout)

    def transaction(self, timeout: float | None = None) -> Transaction:
        """Several changes as one, for a ``with`` block: committed at its end, and none of them when it raises.

        Example:
            ``with index.transaction() as txn: txn.delete({"doc": 7}); txn.add(vectors, payloads=payloads)``

        Args:
            timeout: Seconds to wait while another writes; None means 60.
        """
        return Transaction(self._store, self._spaces, as_timeout(timeout), self._grow)

    def update_payload(
        self,
        ids: Any = None,
        payloads: Payload | Payloads = NOT_GIVEN,
        *,
        where: Filter | None = None,
        merge: bool = True,
        timeout: float | None = None,
    ) -> int:
        """Change the payloads of vectors, by id or of all that a filter finds, in one transaction.

        An updated vector counts as the newest of the index where order matters: iteration, and ties of a search.

        Example: ``index.update_payload(payloads={"seen": True}, where={"doc": 7})``

        Args:
            ids: One id or several, each once. With `where`: only these of what it finds; None: all.
            payloads: One dict for all of them, or a sequence of one for each id; None removes the payload.
            where: As for `search`, and not empty; found before anything is changed. There is one payload for all then.
            merge: Whether keys that are not named keep their values; otherwise the payload is replaced.
            timeout: Seconds to wait while another writes; None means 60.

        Returns:
            How many were changed.

        Raises:
            UnknownIdError: an id is not in the index; DuplicateIdError: an id is given twice. Neither with `where`.
            ValueError: neither ids nor a filter were given, or the filter is empty.
            InvalidFilterError: as `search`.
            InvalidPayloadError, DimensionError: as `add`.
        """
        return self._change(payload_update(ids, payloads, where, merge, self._spaces, self._id_type), timeout)

    def update_vector(self, ids: Any, vectors: Any, *, threads: int | None = None, timeout: float | None = None) -> int:
        """Give ids other vectors, or their first, in one transaction. Their payloads stay.

        An updated vector counts as the newest of the index where order matters: iteration, and ties of a search.

        Args:
            ids: One id or several, each once.
            vectors: One for each id, as for `add`; None takes the vector of its id away.
            threads: Threads to encode with; None means all cores.
            timeout: Seconds to wait while another writes; None means 60.

        Returns:
            How many were changed.

        Raises:
            UnknownIdError: an id is not in the index; DuplicateIdError: an id is given twice.
            DimensionError, InvalidVectorError: as `add`.
        """
        return self._changed_vectors(vector_update(ids, vectors, threads, self._spaces, self._id_type), timeout)

    def _changed_vectors(self, work: Callable[[WriteTransaction], int], timeout: float | None) -> int:
        count = self._change(work, timeout)
        self._grow()
        return count

    def create_field_index(self, field: str, *, timeout: float | None = None) -> None:
        """Give a payload field an index, so that filters on it need not read payloads; of all vectors, in one
        transaction. A field that has one already stays as it is.

        Raises:
            TypeError, ValueError: `field` is no name that a filter could use.
        """
        name = as_field(field)

        def declare(txn: WriteTransaction) -> None:
            unreadable = UnreadablePayloads(txn.rows.ids_of)
            txn.declare_field(stored_field(name), unreadable)
            unreadable.warn()

        self._change(declare, timeout)

    def set_expiry(self, field: str | None, *, timeout: float | None = None) -> None:
        """Let vectors expire by a payload field, in one transaction: from the moment that it names, a datetime, nothing
        finds a vector any more, and its id is free. Vectors without the field, or with None there, stay for ever.

        What has expired takes its space until the index is next written to, compacted, or told to `expire`. The field
        gets an index; from now on it takes datetimes with a time zone and None, nothing else.

        A moment is that of a call, by the clock of the handle (`open`); of a snapshot or a transaction that in which it
        began.

        Example: ``index.set_expiry("until")``, then ``index.add(vector, payloads={"until": midnight})``

        Args:
            field: Its name, as filters have it; None: vectors do not expire any more.
            timeout: Seconds to wait while another writes; None means 60.

        Raises:
            InvalidPayloadError: a vector has another value there already.
            TypeError, ValueError: `field` is no name that a filter could use.
            ReadOnlyError, IndexLockedError, StorageFullError: as `add`.
        """
        self._change(setting_of_expiry(field), timeout)

    def expire(self, *, timeout: float | None = None) -> int:
        """Remove the vectors that have expired, durably; what is written to the index removes them too.

        Args:
            timeout: Seconds to wait while another writes; None means 60.

        Returns:
            How many went. `compact` gives their disk space back.

        Raises:
            ReadOnlyError, IndexLockedError, StorageFullError: as `add`.
        """
        return self._change(lambda txn: txn.expired, timeout)

    def save_set(self, name: str, ids: Any, *, timeout: float | None = None) -> int:
        """Keep a set of ids under a name, for `allow` and `deny` of searches, in one transaction. A set that is there
        already is replaced.

        A set names ids, not vectors: those that are not in the index are kept too, and count when they come. It is
        durable, and part of snapshots and backups.

        Args:
            name: 1 to 512 bytes of UTF-8.
            ids: A sequence of ids, or an `IdSet`; an id given twice counts once.
            timeout: Seconds to wait while another writes; None means 60.

        Returns:
            How many ids the set has.

        Raises:
            TypeError, ValueError: `name` cannot be a name.
            InvalidIdError, ReadOnlyError, StorageFullError: as `add`.

        Example:
            ``index.save_set("mine", [3, 5, 8])``, then ``index.search(query, allow="mine")``.
        """
        return self._change(saving_of_set(name, ids, self._id_type), timeout)

    def saved_set(self, name: str) -> IdArray:
        """The ids of a saved set, ascending.

        Raises:
            UnknownSetError: there is no set of this name.
        """
        checked = as_set_name(name)
        with self._read() as reading:
            return ids_of_set(reading, checked)

    def drop_set(self, name: str, *, timeout: float | None = None) -> None:
        """Forget a saved set of ids.

        Raises:
            UnknownSetError: there is no set of this name.
        """
        self._change(dropping_of_set(name), timeout)

    def calibrate(
        self,
        sample_queries: Any,
        recall: float = 0.95,
        k: int = 10,
        threads: int | None = None,
        *,
        timeout: float | None = None,
    ) -> Calibration:
        """Find how much a search must read to reach a recall, and keep that with the index: how many candidates
        `rerank="auto"` takes and, where there are lists, how many of their rows are read.

        Compares with exact search over all originals: some seconds for a million vectors and a hundred queries; where
        none are stored, with a scan of all codes. Of all pairs that reach the recall the quickest is taken. When the
        index grows, more rows are read, fewer of them after another `partition`; calibrate again when it has grown
        several times over.

        Args:
            sample_queries: Array-like (n, D): queries as they will come; a hundred are enough for most purposes.
            recall: Share of the true `k` nearest that a search is to find, above 0, at most 1.
            k: What searches will ask for; for another k, "auto" takes candidates in proportion.

        Raises:
            ValueError: the index has neither originals nor lists, or is empty.

        Warns:
            FewQueriesWarning: other queries may well reach less, where there are lists.
        """
        with self._read() as reading:
            calibration = measure_calibration(reading, sample_queries, recall, k, threads)
        self._change(lambda txn: keep_calibration(txn, calibration), timeout)
        return calibration

    def _change(self, work: Callable[[WriteTransaction], Result], timeout: float | None) -> Result:
        return self._store.change(work, as_timeout(timeout))

    # Asking it

    @overload
    def search(
        self,
        queries: Any,
        k: int = 10,
        threads: int | None = None,
        *,
        rerank: Rerank = None,
        where: Filter | None = None,
        allow: Any = None,
        deny: Any = None,
        include: tuple[()] = (),
        explain: Literal[False] = False,
        nprobe: int | str | None = None,
        scan: int | None = None,
        recall: float | None = None,
        group_by: str | None = None,
        per_group: int = 1,
        mmr: float | None = None,
        candidates: int | None = None,
    ) -> SearchResult: ...
    @overload
    def search(
        self,
        queries: Any,
        k: int = 10,
        threads: int | None = None,
        *,
        rerank: Rerank = None,
        where: Filter | None = None,
        allow: Any = None,
        deny: Any = None,
        include: Include = (),
        explain: bool = False,
        nprobe: int | str | None = None,
        scan: int | None = None,
        recall: float | None = None,
        group_by: str | None = None,
        per_group: int = 1,
        mmr: float | None = None,
        candidates: int | None = None,
    ) -> SearchHits: ...
    def search(
        self,
        queries: Any,
        k: int = 10,
        threads: int | None = None,
        *,
        rerank: Rerank = None,
        where: Filter | None = None,
        allow: Any = None,
        deny: Any = None,
        include: Include = (),
        explain: bool = False,
        nprobe: int | str | None = None,
        scan: int | None = None,
        recall: float | None = None,
        group_by: str | None = None,
        per_group: int = 1,
        mmr: float | None = None,
        candidates: int | None = None,
    ) -> SearchResult:
        """The k nearest vectors of each query, by asymmetric distance to their codes or, with `rerank`, exactly.

        Args:
            queries: Array-like (D,) for one query, (n, D) for several.
            k: How many to find, at least 1. Results, padding too, take 12 bytes a place: 4 GiB at most a call.
            threads: Threads to scan with; None means all cores. Results do not depend on it.
            rerank: So many of the best by codes, at least k, are scored by their originals, and the k best of them
                returned with exact distances. "auto" takes what `calibrate` found. Needs stored originals.
            where: Only vectors whose payload fulfils this filter, as
                ``{"lang": "de", "year": {"$gte": 2020}, "$or": [{"tag": "a"}, {"tag": "b"}]}``. Operators: $eq $ne $in
                $nin $gt $gte $lt $lte $exists $empty, of lists $contains $any $all, of texts $text $itext (parts of
                them; without case), and $and $or $not. Values of different kinds are never equal and do not compare;
                ints and floats are one kind. A missing field fulfils $ne, $nin, $not and $empty.
                Names with dots go through maps: "common.source" is the key "source" of the map "common".
            allow, deny: Only, or all but, these ids: a sequence, an `IdSet` where many searches have the same, or the
                name of a saved set (`save_set`). Ids that are not in the index are passed over.
            include: "payload", "vector": what to bring with each hit; the result is a `SearchHits` then.
            explain: Say how the search was answered: the result is a `SearchHits` with a `plan`.
            nprobe: So many of the nearest lists are read, of an index that has some (`partition`); "all" reads every
                code, which is exact. None: lists until they have `scan` rows.
            scan: No further list of a query is read once so many rows have been; None: 24 times the square root of
                the rows, or what `calibrate` found, or every code where that is quicker. Rows that are in no list yet
                are read in any case, and more lists where fewer than k rows are found.
            recall: Take `scan` and `rerank` from what `calibrate` measured for this share of the true k nearest; more
                under a filter, and every code where that is as quick.
            group_by: Only the `per_group` nearest vectors of each value of this payload field, of the k nearest of its
                values: k times `per_group` places, exactly as if all vectors had been ranked. Vectors without the
                field, and those whose value is a list or a map, are left out.
            mmr: Weigh nearness against likeness to the hits before (maximal marginal relevance, over originals or what
                codes describe, by cosine): 1 is nearness alone, 0 difference alone after the first. Hits come in the
                order in which they were chosen.
            candidates: So many of the nearest are what `mmr` chooses from; None: 50, and k at least.

        Filters are applied before the k best are chosen. When they allow nothing, the answer is all padding.

        Returns:
            `SearchResult(ids, distances)`, nearest first; equal distances in the order of ids.
            Distances are squared for "l2" and inner products for "dot" and "cosine".

        Raises:
            DimensionError, InvalidVectorError: queries of another shape, or with NaN or infinity.
            ValueError, TypeError: k below 1, not an integer, or beyond 4 GiB of results; rerank below k, or without
                stored originals.
            InvalidFilterError: an operator that there is not, or a value that it cannot take.
            InvalidIdError: `allow` or `deny` are no ids of this index.
            UnknownSetError: no set was saved under this name.
            CorruptIndexError: a record that the search needs fails its checksum.

        Warns:
            FilterKindWarning: a comparison with a kind of value that its field never has: it finds nothing.
            UnreadablePayloadWarning: a payload cannot be read, and counts as none.
        """
        effort, varied = (nprobe, scan, recall), (group_by, per_group, mmr, candidates)
        is_plain = where is None and allow is None and deny is None and include == ()
        is_plain = is_plain and not explain and varied == NO_VARIETY
        if is_plain:
            found = self._plain.search(queries, k, threads) if rerank is None and effort == NO_EFFORT else None
            if found is None:
                found = self._plain.ranked(queries, k, threads, rerank, effort)
            if found is not None:
                return found
        question = Question(k, threads, rerank, where, allow, deny, include, explain, *effort, *varied)
        snapshot = self._store.read()
        try:  # no `with`: what a search of a small index takes is mostly calls
            reading = Reading(snapshot, self._spaces.of(snapshot), self._id_type)
            hits = search(reading, queries, question)
            if is_plain:
                self._plain.learn(reading, question)
        except CorruptIndexError as error:
            return self._ask_again(snapshot, error, lambda reading: search(reading, queries, question))
        else:
            return hits
        finally:
            snapshot.close()

    def range_search(
        self,
        queries: Any,
        radius: float,
        *,
        limit: int | None = None,
        threads: int | None = None,
        rerank: Rerank = None,
        where: Filter | None = None,
        allow: Any = None,
        deny: Any = None,
        nprobe: int | str | None = None,
        scan: int | None = None,
    ) -> RangeResult:
        """All vectors within a radius of each query.

        Args:
            queries: Array-like (D,) for one query, (n, D) for several.
            radius: Squared distance for "l2": those at most so far are found. Inner product for "dot" and "cosine":
                those with at least so much.
            limit: At most so many a query, the nearest; None: all.
            rerank: Take so many of the best by codes, and of them those that are within the radius by their originals,
                with exact distances. "auto" takes what `calibrate` found for a single neighbour.
            threads, where, allow, deny: As for `search`.
            nprobe, scan: Read lists as `search` does, which may miss some of the vectors, but no more of them where
                few are found. Without both all codes are read, as with nprobe="all".

        Returns:
            `RangeResult(ids, distances)`, nearest first: two arrays for one query, two lists of arrays for several.

        Raises:
            ValueError, TypeError: the radius is NaN or no number; otherwise as `search`.
        """
        question = Question(10, threads, rerank, where, allow, deny, nprobe=nprobe, scan=scan)
        return self._ask(lambda reading: range_search(reading, queries, radius, limit, question))

    @overload
    def get(  # type: ignore[overload-overlap] # a str is one id, though it could be read as several
        self, ids: Id, *, include: Include = ("payload", "vector"), missing: Literal["error"] = "error"
    ) -> Record: ...
    @overload
    def get(  # type: ignore[overload-overlap]
        self, ids: Id, *, include: Include = ("payload", "vector"), missing: Missing
    ) -> Record | None: ...
    @overload
    def get(
        self,
        ids: Iterable[Id] | npt.NDArray[Any],
        *,
        include: Include = ("payload", "vector"),
        missing: Literal["error"] = "error",
    ) -> list[Record]: ...
    @overload
    def get(
        self, ids: Iterable[Id] | npt.NDArray[Any], *, include: Include = ("payload", "vector"), missing: Missing
    ) -> list[Record | None]: ...
    def get(self, ids: Any, *, include: Include = ("payload", "vector"), missing: Missing = "error") -> Any:
        """Vectors by id: a `Record` for one id, a list of them for several.

        Args:
            ids: One id or a sequence.
            include: Which of "payload" and "vector" to read. The vector is the original where the index stores
                them (to the precision they are stored with), else what the code describes.
            missing: "error", or "ignore", which gives None for ids that are not in the index.

        Raises:
            UnknownIdError: an id is not in the index, with missing="error".
        """
        return self._ask(lambda reading: records.get_records(reading, ids, include, missing))

    def count(self, where: Filter | None = None, *, allow: Any = None, deny: Any = None) -> int:
        """How many vectors a filter finds; arguments as for `search`."""
        with self._read() as reading:
            return count(reading, where, allow, deny)

    def field_values(
        self,
        field: str,
        where: Filter | None = None,
        *,
        prefix: str | None = None,
        limit: int = 100,
        after: Any = None,
    ) -> FieldValues:
        """The distinct values of a payload field and how many vectors have each, page by page.

        A vector counts once for its value or, where that is a list, for each member. Values come in order: bools,
        numbers, texts (by code points), bytes, datetimes, None; maps and NaN do not. From the column of a field that
        has an index; else every payload is read.

        Example: ``for value, rows in index.field_values("lang").values: ...``

        Args:
            field: Its name, as filters have it.
            where: Only vectors that this filter finds.
            prefix: Only texts that begin so.
            limit: Values a page.
            after: The `after` of the page before, or any value: what comes after it; None: from the start.

        Returns:
            `FieldValues(values, after)`: pairs of (value, rows), and where to go on, None at the end.

        Raises:
            TypeError, ValueError: an argument cannot be meant.
            InvalidFilterError: as `search`.
        """
        return self._ask(lambda reading: field_values(reading, field, where, prefix, limit, after))

    def field_range(self, field: str, where: Filter | None = None, *, kind: str | None = None) -> FieldRange:
        """The lowest and the highest value of a payload field: ``low, high = index.field_range("year")``.

        Members of lists count as values. From the column of a field that has an index; else every payload is read.

        Args:
            field: Its name, as filters have it.
            where: Only vectors that this filter finds.
            kind: "number", "str", "bytes" or "datetime", of a field that has values of several; None: that it has.

        Returns:
            `FieldRange(low, high)`; None, None where no vector has such a value.

        Raises:
            ValueError: the field has values of several kinds, which do not compare, and `kind` says not of which.
            InvalidFilterError: as `search`.
        """
        return self._ask(lambda reading: field_range(reading, field, where, kind))

    def field_kinds(self, where: Filter | None = None) -> dict[str, tuple[str, ...]]:
        """Of what kinds the values of each payload field are: ``{"year": ("number",), "tags": ("list of str",)}``.

        Kinds are "null", "bool", "number", "str", "bytes", "datetime", "list of" them, and "other": maps, empty lists,
        NaN. Fields that no vector has are left out. Payloads are read unless all of their keys have an index. Keys of
        maps within maps are told where they have one.

        Args:
            where: Only vectors that this filter finds.
        """
        return self._ask(lambda reading: field_kinds(reading, where))

    def scroll(
        self,
        where: Filter | None = None,
        *,
        limit: int = 100,
        after: int | str | None = None,
        include: Include = ("payload",),
    ) -> ScrollPage:
        """Records page by page, in the order of their ids: int64 ids ascend, str ids come as the index orders them.

        Example: ``page = index.scroll(limit=50)``, then ``index.scroll(limit=50, after=page.after)`` until `after` is
        None. Whatever is added, removed, updated or compacted meanwhile: a record that is there all the time comes
        exactly once, as it is then. Take a `snapshot` for pages of one state.

        Args:
            where: As for `search`; None: all.
            limit: Records a page.
            after: The `after` of the page before, or any id: what comes after it; None: from the start.
            include: "payload", "vector", as for `get`.
        """
        return self._ask(lambda reading: records.scroll(reading, where, limit, after, include))

    def recall_report(
        self,
        queries: Any,
        rerank: Sequence[int] = (100,),
        threads: int | None = None,
        *,
        scan: int | Sequence[int] | str | None = None,
        quiet: bool = False,
    ) -> RecallReport:
        """Compare searches with exact search over the originals: recall@1/10/100, time, bytes; printed unless `quiet`.

        Args:
            queries: Array-like (n, D).
            rerank: Numbers of candidates to try, beside searching by codes alone.
            scan: Numbers of rows of lists to read, beside all codes, with each of `rerank`; "auto": some from 2 to 96
                times the square root of all. Without stored originals the truth is what a scan of all codes finds.

        Raises:
            ValueError: the index stores no originals and no `scan` was given, it has no lists, or is empty.
        """
        with self._read() as reading:
            report = recall_report(reading, queries, rerank, threads, scan)
        if not quiet:
            print(report)
        return report

    def codes(self, ids: Any) -> npt.NDArray[Any]:
        """The codes of vectors by id, in the quantizer's labels: (n, M), or (M,) for one id.

        Raises:
            UnknownIdError: an id is not in the index.
        """
        with self._read() as reading:
            return records.get_codes(reading, ids)

    def reconstruct(self, ids: Any) -> npt.NDArray[np.float32]:
        """The vectors as their codes describe them, by id: float32 (n, D), or (D,) for one id.

        Raises:
            UnknownIdError: an id is not in the index.
        """
        with self._read() as reading:
            return records.reconstruct(reading, ids)

    def __len__(self) -> int:
        with self._read() as reading:
            return reading.snapshot.live_rows

    def __contains__(self, id: object) -> bool:
        with self._read() as reading:
            return records.contains_id(reading, id)

    def __iter__(self) -> Iterator[Any]:
        """All ids, oldest first, of the state in which the iteration began."""
        with self._read() as reading:
            yield from records.iter_ids(reading)

    def iter_codes(self, block_rows: int = 65_536) -> Iterator[tuple[IdArray, npt.NDArray[Any]]]:
        """All vectors in blocks of bounded memory: (ids, codes (b, M)), oldest first, of one consistent state."""
        with self._read() as reading:
            yield from records.iter_codes(reading, block_rows)

    def snapshot(self) -> SnapshotView:
        """One consistent state, to be asked as the index itself, while others write; a context manager."""
        reading = self._read()
        reading.snapshot.attachments.pin_originals()
        return SnapshotView(reading)

    def _read(self) -> Reading:
        return self._reading_of(self._store.read())

    def _ask(self, ask: Callable[[Reading], Result]) -> Result:
        """The answer of the newest state."""
        with self._read() as reading:
            try:
                return ask(reading)
            except CorruptIndexError as error:
                return self._ask_again(reading.snapshot, error, ask)

    def _ask_again(self, before: Snapshot, error: CorruptIndexError, ask: Callable[[Reading], Result]) -> Result:
        """Once more, where another process has put another generation in the place of the one asked: it may have
        removed files of originals that this process had not opened yet. Who holds a snapshot has them open."""
        with self._read() as reading:
            if reading.snapshot.records.generation.number == before.records.generation.number:
                raise error
            return ask(reading)

    def _reading_of(self, snapshot: Snapshot) -> Reading:
        return Reading(snapshot, self._spaces.of(snapshot), self._id_type)

    # Looking after it

    def stats(self) -> IndexStats:
        """Sizes and counts."""
        with self._read() as reading:
            return IndexStats.of(self._store, reading)

    def verify(self, deep: bool = False, *, progress: Progress | None = None) -> list[Problem]:
        """Check the records on disk against each other, by the numbered invariants of the format.

        Args:
            deep: Look up every id instead of a sample, and walk all pages.
            progress: Called with a `ProgressStep` after each piece of the work.

        Returns:
            What is wrong; empty when the index is sound.
        """
        with suppress(
            PQStoreError
        ):  # by the space it is known which lists rows belong to; what is wrong is found below
            self._spaces.now  # noqa: B018
        return self._store.verify(deep=deep, progress=progress or no_progress)

    def compact(self, timeout: float | None = None, *, progress: Progress | None = None) -> None:
        """Give the disk back what removed vectors took, beside readers, who keep the state they opened.

        Args:
            timeout: Seconds to wait for another writer; None means 60.
            progress: Called with a `ProgressStep` after each piece of the work; what is rewritten and merged stays so
                when it raises.

        Raises:
            ReadOnlyError, StorageFullError: as `add`.
            IndexLockedError: another writer held the index for longer.
        """
        self._store.compact(as_timeout(timeout), progress=progress or no_progress)

    def _coded(self) -> CodeSpace:
        with self._read() as reading:
            return reading.coded

    def train(
        self,
        quantizer: Quantizer | None = None,
        *,
        sample: int | None = None,
        threads: int | None = None,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> bool:
        """Train a quantizer on the vectors of an index that has none yet, and put all of them into codes.

        For others that is one step: they go on reading and writing, and what is written meanwhile is encoded before the
        step is taken; snapshots stay exact. Whatever happens on the way, the index is exact or trained, never something
        between.

        Args:
            quantizer: What to train, a `PQ` or `OPQ`; one that is trained is taken as it is. None: as `create` said.
            sample: Vectors to train on, spread evenly over all; None: 20,000.
            threads: Threads to work with; None means all cores.
            timeout: Seconds to wait while another writes; None means 60.
            progress: Called with the steps of the training; when it raises, nothing was changed.

        Returns:
            Whether it was trained now; False when it was trained already.

        Raises:
            TrainingError: there are fewer vectors than codewords, or M does not divide their dimension.
            ReadOnlyError, IndexLockedError, StorageFullError: as `add`.
        """
        wait, told = as_timeout(timeout), progress or no_progress
        return train(self._store, self._reading_of, quantizer, sample, threads, wait, told)

    def retrain(
        self,
        quantizer: Quantizer | None = None,
        *,
        sample: int | None = None,
        threads: int | None = None,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Train a quantizer anew on the originals, and put all vectors into its codes: when the data have moved, or to
        change M, Ks or the kind of quantizer of an index that is in use.

        Ids, payloads, originals, saved sets and fields stay; inverted lists are made anew; a calibration, which was
        measured with the old codes, goes. Readers and writers go on meanwhile.

        Args:
            quantizer: What to train; one that is trained is taken as it is. None: one of the same kind and size.
            sample, threads, timeout, progress: As for `train`.

        Raises:
            TrainingError: the index keeps no originals, or is not trained yet; or as `train`.
            ReadOnlyError, IndexLockedError, StorageFullError: as `add`.
        """
        wait, told = as_timeout(timeout), progress or no_progress
        retrain(self._store, self._reading_of, quantizer, sample, threads, wait, told)

    def partition(
        self,
        partitions: int | str | npt.NDArray[np.float32] | None = "auto",
        *,
        sample: int | None = None,
        threads: int | None = None,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> PartitionReport:
        """Divide the vectors into inverted lists, so that a search reads the nearest of them in place of every code.

        Lists are made from the codes alone, and follow adds and removes by themselves. While this works others read and
        write, and searches read what there was before; after a crash a further call goes on. Called again it makes the
        lists anew, which growth to several times the rows asks for.

        Args:
            partitions: How many lists; "auto": about 8 times the square root of the vectors. None drops the lists:
                every search is exact over the codes again. An array float32 (P, D): lists around these centroids, in
                the space of the codewords, as several indexes of one quantizer may share them.
            sample: Vectors to train on; None: 64 for each partition.
            threads: Threads to train and assign with; None means all cores.
            timeout: Seconds to wait while another writes; None means 60.
            progress: Called with a `ProgressStep` after each piece of the work; when it raises, searches read what they
                did, and a further call goes on.

        Returns:
            What was made.

        Raises:
            TrainingError: there are fewer vectors than partitions.
            TypeError, ValueError: an argument cannot be meant.
            ReadOnlyError, IndexLockedError, StorageFullError: as `add`.
        """
        told = progress or no_progress
        return partition(self._store, self._coded(), partitions, sample, threads, as_timeout(timeout), told)

    def backup(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> None:
        """Copy the newest state, compacted, to a new index at `path`, while others read and write.

        Args:
            path: The directory to make.
            progress: Called with a `ProgressStep` after each file; when it raises, nothing is left at `path`.

        Raises:
            IndexExistsError: something is at `path` already.
            StorageFullError: there is no room.
        """
        self._store.backup(path, progress=progress or no_progress)

    # To Faiss and back

    def to_faiss(
        self,
        path: str | os.PathLike[str] | None = None,
        mapping: list[str] | None = None,
        *,
        kind: Literal["flat", "ivf"] = "flat",
    ) -> Any:
        """The index as a Faiss ``IndexIDMap2`` over the same codes; its search returns our ids and distances.

        Args:
            kind: "ivf": an ``IndexIVFPQ`` with the lists of this index instead, whose codes are no residuals.
            path: Write an index file there, in blocks of bounded memory and without Faiss; None builds it in memory.
            mapping: Faiss knows no str ids. Give an empty list: the rows are numbered, and ``mapping[number]`` becomes
                the id. With `path`, the ids go to ``<path>.ids.jsonl`` in any case.

        Returns:
            The Faiss index, or None when it was written to `path`.

        Raises:
            MissingDependencyError: `path` is None and Faiss is not installed (``pip install pqstore[faiss]``).
            InvalidIdError: str ids, and nowhere to put them.
            UnsupportedIndexError: more than 65,536 codewords.
            ValueError: `kind` is neither, or "ivf" of an index without lists.
        """
        from pqstore.interop.faiss import export_lists, export_rows  # noqa: PLC0415 # few ask for it

        if kind not in ("flat", "ivf"):
            raise ValueError(f"kind must be 'flat' or 'ivf', got {kind!r}")
        quantizer = self._coded().quantizer.with_metric(self._space.metric)
        if kind == "ivf":
            with self._read() as reading:
                return export_lists(quantizer, *partitioned_rows(reading), path, mapping)
        return export_rows(quantizer, self.iter_codes(), path, mapping)

    @staticmethod
    def from_faiss(
        path: str | os.PathLike[str], source: Any, ids: Any = None, *, reencode: bool = False, **settings: Any
    ) -> Index:
        """Make an index at `path` with the codes, ids and metric of a Faiss index.

        Args:
            path: The directory to make; it appears when the index is whole.
            source: An ``IndexPQ``, ``IndexPQFastScan`` or ``IndexIVFPQ``, also in an ``IndexPreTransform`` with a
                rotation, an ``IndexRefine``, or an ``IndexIDMap`` or ``IndexIDMap2``; or the path of such an index
                file, which is read without Faiss (in blocks, but for an ``IndexIVFPQ``). An ``IndexIVFPQ`` that is
                not by residual brings its centroids too: lists are made around them, unless `settings` have others.
            ids: One id a row, int64 or str, instead of those of `source`; without any, ids are row numbers.
            reencode: Take an ``IndexIVFPQ`` with codes of residuals (Faiss's default): its vectors are decoded, a
                codebook is trained on them, and they are encoded again, less accurately than they were.
            settings: Passed on to `create`. The vectors of an ``IndexRefineFlat`` become originals, float32 unless
                `originals` says otherwise; None leaves them behind.

        Returns:
            The open index.

        Raises:
            IndexExistsError: something is at `path` already.
            UnsupportedIndexError: an index of another type.
            NotTrainedError: it is not trained.
            CorpusFileError: the file is damaged.
            DuplicateIdError: an id occurs twice. DimensionError: not one id a row.
        """
        from pqstore.index.faiss_rows import FaissRows  # noqa: PLC0415 # few ask for it
        from pqstore.interop.faiss import open_index, reencoded  # noqa: PLC0415

        contents = open_index(source)
        if reencode:
            contents = reencoded(contents)
        if contents.vectors is not None:
            settings.setdefault("originals", "float32")
        quantizer, rows = contents.quantizer(), FaissRows(contents, ids)
        # In bulk: under another name until all is there.
        with Index.create(path, quantizer, id_type=rows.id_type, bulk=True, **settings) as index:
            for codes, names, vectors in rows.blocks():
                if index.originals is None or vectors is None:
                    index.add_codes(codes, names)
                else:
                    block = index._coded().join(codes, vectors)
                    batch = Batch([block], len(block), names, "error", None, index._id_type)
                    add_rows(index._store, batch, None)
        index = Index.open(path, clock=settings.get("clock"))
        centroids = contents.list_centroids()
        if centroids is not None and settings.get("partitions") is None:
            partition_around(index._store, index._coded(), centroids)
        return index

    @staticmethod
    def repair(path: str | os.PathLike[str], destination: str | os.PathLike[str]) -> RepairReport:
        """Save every record of a damaged index whose checksum holds into a new index. Inverted lists are made anew.

        Args:
            path: The damaged index; it is only read.
            destination: The directory of the new one.

        Returns:
            What was saved and what is missing.

        Raises:
            IndexExistsError: something is at `destination` already.
            CorruptIndexError: not even the quantizer could be found.
        """
        from pqstore.storage.repair.repair import repair  # noqa: PLC0415 # few ask for it

        report = repair(path, destination, packing_of)
        if report.partitions is not None and report.rows_salvaged >= report.partitions:
            with Index.open(destination) as index:
                index.partition(report.partitions)
        return report

    # In a thread, for event loops

    apublish = twin_of(publish)
    aclose = twin_of(close)
    aadd = twin_of(add)
    aupsert = twin_of(upsert)
    aadd_table = twin_of(add_table)
    aadd_codes = twin_of(add_codes)
    aremove = twin_of(remove)
    adelete = twin_of(delete)
    aclear = twin_of(clear)
    aupdate_payload = twin_of(update_payload)
    aupdate_vector = twin_of(update_vector)
    acreate_field_index = twin_of(create_field_index)
    aset_expiry = twin_of(set_expiry)
    aexpire = twin_of(expire)
    asave_set = twin_of(save_set)
    asaved_set = twin_of(saved_set)
    adrop_set = twin_of(drop_set)
    acalibrate = twin_of(calibrate)
    asearch = twin_of(search)
    arange_search = twin_of(range_search)
    aget = twin_of(get)
    acount = twin_of(count)
    ascroll = twin_of(scroll)
    afield_values = twin_of(field_values)
    afield_range = twin_of(field_range)
    afield_kinds = twin_of(field_kinds)
    arecall_report = twin_of(recall_report)
    atrain = twin_of(train)
    aretrain = twin_of(retrain)
    acodes = twin_of(codes)
    areconstruct = twin_of(reconstruct)
    asnapshot = twin_of(snapshot)
    astats = twin_of(stats)
    averify = twin_of(verify)
    acompact = twin_of(compact)
    apartition = twin_of(partition)
    abackup = twin_of(backup)
    ato_faiss = twin_of(to_faiss)

    def aiter_codes(self, block_rows: int = 65_536) -> AsyncIterator[tuple[IdArray, npt.NDArray[Any]]]:
        """`iter_codes`, each block read in a thread."""
        return in_threads(self.iter_codes(block_rows))

    @classmethod
    async def acreate(cls, path: str | os.PathLike[str], quantizer: Quantizer | None = None, **settings: Any) -> Index:
        """`create` in a thread; `settings` as there."""
        return await in_thread(cls.create, path, quantizer, **settings)

    @classmethod
    async def aopen(cls, path: str | os.PathLike[str], readonly: bool = False, *, clock: Clock | None = None) -> Index:
        """`open` in a thread."""
        return await in_thread(partial(cls.open, clock=clock), path, readonly)

    @classmethod
    async def aopen_or_create(
        cls,
        path: str | os.PathLike[str],
        quantizer: Quantizer | Callable[[], Quantizer] | None = None,
        **settings: Any,
    ) -> Index:
        """`open_or_create` in a thread; `settings` as there."""
        return await in_thread(cls.open_or_create, path, quantizer, **settings)

    @staticmethod
    async def afrom_faiss(path: str | os.PathLike[str], source: Any, ids: Any = None, **settings: Any) -> Index:
        """`from_faiss` in a thread."""
        return await in_thread(Index.from_faiss, path, source, ids, **settings)

    @staticmethod
    async def arepair(path: str | os.PathLike[str], destination: str | os.PathLike[str]) -> RepairReport:
        """`repair` in a thread."""
        return await in_thread(Index.repair, path, destination)
