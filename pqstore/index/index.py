"""The index: a trained quantizer and a store of codes, under one name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.errors import NotTrainedError
from pqstore.index.blocks import blocks_of_codes, blocks_of_vectors
from pqstore.index.code_space import CodeSpace
from pqstore.index.ids import IdArray, IdType, as_id_batch
from pqstore.index.ingest import append_block, as_on_conflict, pair_blocks
from pqstore.index.packing import CodePacking
from pqstore.index.results import SearchResult
from pqstore.index.settings import as_index_arguments, packing_of, read_space, record_of
from pqstore.index.stats import IndexStats
from pqstore.index.view import IndexView, SnapshotView, refuse_unknown
from pqstore.kernels import resolve_threads
from pqstore.quantizer import Metric, Quantizer
from pqstore.storage import Durability, Problem, RepairReport, Store, repair

__all__ = ["Index"]


class Index:
    """A persistent index of product-quantized vectors: a directory on disk, searched in place.

    Make one with `Index.create`, open one with `Index.open`. Every call that changes it is one transaction: when the
    call returns, the change is on the disk; when it raises, nothing was changed. Many processes and threads may read
    while one writes. An index pickles as its path.

    Example:
        >>> import numpy as np, pqstore, tempfile
        >>> vectors = np.random.default_rng(0).random((1000, 16), dtype=np.float32)
        >>> pq = pqstore.PQ(M=4, Ks=16, verbose=False).fit(vectors)
        >>> with pqstore.Index.create(tempfile.mkdtemp() + "/index", pq) as index:
        ...     ids = index.add(vectors)
        ...     nearest, distances = index.search(vectors[7], k=3)
        >>> len(ids), nearest.shape, distances.dtype
        (1000, (3,), dtype('float32'))
    """

    def __init__(self, store: Store) -> None:
        """For `create` and `open` only."""
        self._store = store
        self._space = read_space(store)

    # Opening and closing

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        quantizer: Quantizer,
        id_type: IdType = "int64",
        metric: Metric | None = None,
        durability: Durability = "full",
        bulk: bool = False,
    ) -> Index:
        """Make a new, empty index in a directory that does not exist yet, or is empty.

        Args:
            path: The directory.
            quantizer: A trained `PQ` or `OPQ`; a copy of it is stored.
            id_type: "int64" or "str".
            metric: "l2", "dot" or "cosine"; None takes the quantizer's.
            durability: "full" (a call that returned survives a power cut) or "relaxed" (the last calls may be
                lost by a power cut, never torn; faster).
            bulk: Build under a temporary name without waiting for the disk, for a whole corpus at once. `publish`, or
                the end of a ``with`` block without an exception, makes the index durable and gives it its name;
                otherwise nothing is left of it.

        Raises:
            NotTrainedError: the quantizer is not trained.
            IndexExistsError: something is at `path` already.
            TypeError, ValueError: an argument cannot be meant.
        """
        metric = as_index_arguments(quantizer, id_type, metric, durability)
        if not quantizer.is_trained:
            raise NotTrainedError("the quantizer is not trained: call fit() on it before Index.create()")
        space = CodeSpace(quantizer, metric)
        settings, arrays = record_of(space)
        packing = CodePacking(space.layout)
        return cls(Store.create(path, settings, arrays, packing, id_type=id_type, durability=durability, bulk=bulk))

    @classmethod
    def open(cls, path: str | os.PathLike[str], readonly: bool = False) -> Index:
        """Open an index.

        Opening a path twice in one process shares one environment: close each of them.

        Raises:
            IndexNotFoundError: nothing is at `path`, or a directory that is no index.
            FormatVersionError: the index is of a newer format.
            CorruptIndexError: its first records are damaged.
        """
        return cls(Store.open(path, packing_of, readonly=readonly))

    def publish(self) -> None:
        """Make an index created with ``bulk=True`` durable, and give it its name; no other needs it."""
        self._store.publish()

    def close(self) -> None:
        """Close the index; closing twice is allowed. Other handles of the same path stay open."""
        self._store.close()

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

    def __reduce__(self) -> tuple[Any, ...]:
        return Index.open, (str(self._store.path), self._store.readonly)

    # What it is

    @property
    def path(self) -> str:
        """The directory, absolute."""
        return str(self._store.path)

    @property
    def quantizer(self) -> Quantizer:
        """The quantizer that the index was created with. Do not change it: the codes on disk would not follow."""
        return self._space.quantizer

    @property
    def metric(self) -> str:
        """ "l2", "dot" or "cosine"."""
        return self._space.metric

    @property
    def id_type(self) -> IdType:
        """ "int64" or "str"."""
        return self._store.id_type

    @property
    def readonly(self) -> bool:
        """Whether it was opened for reading only."""
        return self._store.readonly

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._store.closed

    def __repr__(self) -> str:
        quantizer = self._space.quantizer
        size = "closed" if self.closed else f"{len(self):,} vectors"
        kind = type(quantizer).__name__
        return (
            f"<pqstore.Index {self.path!r}: {size}, D={quantizer.D}, {kind} M={quantizer.M} Ks={quantizer.Ks}, "
            f"{self.metric}, {self.id_type} ids{', readonly' if self.readonly else ''}>"
        )

    # Changing it

    def add(self, vectors: Any, ids: Any = None, on_conflict: str = "error", threads: int | None = None) -> IdArray:
        """Encode vectors and add them, in one transaction.

        Args:
            vectors: Array-like (n, D), or (D,) for one vector; or an iterator of such arrays. Converted to float32 in
                blocks, so an array mapped from a file of any size is read in bounded memory.
            ids: One id a vector; None gives automatic ids: ascending integers from 0, or new UUIDs where ids are str.
            on_conflict: What to do when an id is in the index already: "error" adds nothing at all, "skip" keeps
                the old vector, "replace" takes the new one.
            threads: Threads to encode with; None means all cores.

        Returns:
            The ids of the vectors, in their order: int64 (n,), or dtype object holding str.

        Raises:
            DimensionError: vectors of another shape, or not as many ids as vectors.
            InvalidVectorError: NaN, infinity, or a value beyond float32, anywhere.
            InvalidIdError: ids of the wrong type, out of int64, empty or too long.
            DuplicateIdError: an id given twice, or, with on_conflict="error", in the index already.
            ReadOnlyError: the index was opened with readonly=True.
            StorageFullError: there is no room.
        """
        blocks, rows = blocks_of_vectors(vectors, self._space.D)
        thread_count = resolve_threads(threads)
        encoded = (self._space.encode(block, thread_count) for block in blocks)
        return self._append(encoded, rows, ids, on_conflict)

    def add_codes(self, codes: Any, ids: Any = None, on_conflict: str = "error") -> IdArray:
        """Add vectors that are encoded already, in one transaction.

        Args:
            codes: Integers (n, M), each in 0 .. Ks - 1, as ``index.quantizer.encode`` gives them.
            ids: As for `add`.
            on_conflict: As for `add`.

        Returns:
            As `add`.

        Raises:
            DimensionError, InvalidIdError, DuplicateIdError, ReadOnlyError, StorageFullError: as `add`.
            TypeError, ValueError: codes that are not integers, or not in range.
        """
        blocks, rows = blocks_of_codes(codes, self._space.M, self._space.Ks)
        return self._append((self._space.to_stored(block) for block in blocks), rows, ids, on_conflict)

    def _append(self, blocks: Iterable[npt.NDArray[Any]], rows: int | None, ids: Any, on_conflict: str) -> IdArray:
        policy = as_on_conflict(on_conflict)
        id_type = self.id_type
        pairs = pair_blocks(blocks, ids, id_type, rows)
        added = [as_id_batch([], id_type)]
        # The first block, most often the only one, is checked and encoded before other writers have to wait.
        first = next(pairs, None)
        if first is not None:
            with self._store.write() as txn:
                added.extend(append_block(txn, codes, share, id_type, policy) for codes, share in chain([first], pairs))
        return np.concatenate(added)

    def remove(self, ids: Any, missing: str = "error") -> int:
        """Remove vectors by id, in one transaction.

        Args:
            ids: One id or a sequence of them; an id given twice counts once.
            missing: "error" removes nothing when an id is not in the index; "ignore" removes the others.

        Returns:
            How many vectors went.

        Raises:
            UnknownIdError: an id is not in the index, with missing="error".
            InvalidIdError, ReadOnlyError, StorageFullError: as `add`.
        """
        if missing not in ("error", "ignore"):
            raise ValueError(f"missing must be 'error' or 'ignore', got {missing!r}")
        batch = as_id_batch(ids, self.id_type)
        with self._store.write() as txn:
            rows = txn.rows_of(batch)
            if missing == "error":
                refuse_unknown(batch, rows)
            return txn.kill(np.unique(rows[rows >= 0]))

    # Asking it

    def search(self, queries: Any, k: int = 10, threads: int | None = None) -> SearchResult:
        """The k nearest vectors of each query, by asymmetric distance to their codes.

        Args:
            queries: Array-like (D,) for one query, (n, D) for several.
            k: How many to find, at least 1.
            threads: Threads to scan with; None means all cores. Results do not depend on it.

        Returns:
            `SearchResult(ids, distances)`, nearest first; equal distances in the order the vectors were added.
            Distances are squared for "l2" and inner products for "dot" and "cosine".

        Raises:
            DimensionError, InvalidVectorError: queries of another shape, or with NaN or infinity.
            ValueError, TypeError: k below 1, or not an integer.
            CorruptIndexError: a record that the search needs fails its checksum.
        """
        with self._view() as view:
            return view.search(queries, k, threads)

    def codes(self, ids: Any) -> npt.NDArray[Any]:
        """The codes of vectors by id, in the quantizer's labels: (n, M), or (M,) for one id.

        Raises:
            UnknownIdError: an id is not in the index.
        """
        with self._view() as view:
            return view.codes(ids)

    def reconstruct(self, ids: Any) -> npt.NDArray[np.float32]:
        """The vectors as their codes describe them, by id: float32 (n, D), or (D,) for one id.

        Raises:
            UnknownIdError: an id is not in the index.
        """
        with self._view() as view:
            return view.reconstruct(ids)

    def __len__(self) -> int:
        with self._view() as view:
            return len(view)

    def __contains__(self, id: object) -> bool:
        with self._view() as view:
            return id in view

    def __iter__(self) -> Iterator[Any]:
        """All ids, oldest first, of the state in which the iteration began."""
        with self._view() as view:
            yield from view

    def iter_codes(self, block_rows: int = 65_536) -> Iterator[tuple[IdArray, npt.NDArray[Any]]]:
        """All vectors in blocks of bounded memory: (ids, codes (b, M)), oldest first, of one consistent state."""
        with self._view() as view:
            yield from view.iter_codes(block_rows)

    def snapshot(self) -> SnapshotView:
        """One consistent state, to be asked as the index itself, while others write; a context manager."""
        return SnapshotView(self._store.read(), self._space, self.id_type)

    @contextmanager
    def _view(self) -> Iterator[IndexView]:
        with self._store.read() as snapshot:
            yield IndexView(snapshot, self._space, self.id_type)

    # Looking after it

    def stats(self) -> IndexStats:
        """Sizes and counts."""
        return IndexStats.of(self._store, self._space)

    def verify(self, deep: bool = False) -> list[Problem]:
        """Check the records on disk against each other, by the numbered invariants of the format.

        Args:
            deep: Look up every id instead of a sample, and walk all pages.

        Returns:
            What is wrong; empty when the index is sound.
        """
        return self._store.verify(deep=deep)

    def compact(self, timeout: float | None = None) -> None:
        """Give the disk back what removed vectors took, beside readers, who keep the state they opened.

        Args:
            timeout: Seconds to wait for another writer; None means 60.

        Raises:
            ReadOnlyError, StorageFullError: as `add`.
            IndexLockedError: another writer held the index for longer.
        """
        self._store.compact(timeout)

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Copy the newest state, compacted, to a new index at `path`, while others read and write.

        Raises:
            IndexExistsError: something is at `path` already.
            StorageFullError: there is no room.
        """
        self._store.backup(path)

    # To Faiss and back: done by the room above, which is imported when it is asked for

    def to_faiss(self, path: str | os.PathLike[str] | None = None, mapping: list[str] | None = None) -> Any:
        """The index as a Faiss ``IndexIDMap2`` over the same codes; its search returns our ids and distances.

        Args:
            path: Write an index file there, in blocks of bounded memory and without Faiss; None builds it in memory.
            mapping: Faiss knows no str ids. Give an empty list: the rows are numbered, and ``mapping[number]`` becomes
                the id. With `path`, the ids go to ``<path>.ids.jsonl`` in any case.

        Returns:
            The Faiss index, or None when it was written to `path`.

        Raises:
            MissingDependencyError: `path` is None and Faiss is not installed (``pip install pqstore[faiss]``).
            InvalidIdError: str ids, and nowhere to put them.
            UnsupportedIndexError: more than 65,536 codewords.
        """
        from pqstore.interop.faiss import export_index  # noqa: PLC0415

        return export_index(self, path, mapping)

    @staticmethod
    def from_faiss(path: str | os.PathLike[str], source: Any, ids: Any = None) -> Index:
        """Make an index at `path` with the codes, ids and metric of a Faiss index.

        Args:
            path: The directory to make; it appears when the index is whole.
            source: An ``IndexPQ``, ``IndexPQFastScan``, ``IndexPreTransform`` with a rotation, ``IndexIDMap`` or
                ``IndexIDMap2`` around them, or the base of an ``IndexRefine``; or the path of such an index file,
                which is read in blocks and without Faiss.
            ids: One id a row, instead of those of `source`.

        Returns:
            The open index.

        Raises:
            IndexExistsError: something is at `path` already.
            UnsupportedIndexError: an index of another type.
            CorpusFileError: the file is damaged.
            DuplicateIdError: an id occurs twice.
        """
        from pqstore.interop.faiss import import_index  # noqa: PLC0415

        return import_index(path, source, ids)

    @staticmethod
    def repair(path: str | os.PathLike[str], destination: str | os.PathLike[str]) -> RepairReport:
        """Save every record of a damaged index whose checksum holds into a new index.

        Args:
            path: The damaged index; it is only read.
            destination: The directory of the new one.

        Returns:
            What was saved and what is missing.

        Raises:
            IndexExistsError: something is at `destination` already.
            CorruptIndexError: not even the quantizer could be found.
        """
        return repair(path, destination, packing_of)
