"""`Transaction`: several changes of an index that become one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import numpy.typing as npt

from pqstore.errors import IndexClosedError, PQStoreError
from pqstore.index import records
from pqstore.index.arguments.ids import IdArray
from pqstore.index.arguments.sets import as_set_name
from pqstore.index.arguments.types import Filter, Id, Include, Missing, OnConflict, Payload, Payloads, Rerank
from pqstore.index.ingest import as_upsert_ids, batch_of_codes, batch_of_vectors
from pqstore.index.payload_updates import NOT_GIVEN, payload_update
from pqstore.index.reading import Reading
from pqstore.index.removal import removal_of_ids, removal_of_selected
from pqstore.index.saved_sets import dropping_of_set, ids_of_set, saving_of_set, sizes_of_sets
from pqstore.index.search.question import Question
from pqstore.index.search.results import RangeResult, Record, SearchHits, SearchResult
from pqstore.index.search.top_k import search
from pqstore.index.search.within import range_search
from pqstore.index.selection.select import count
from pqstore.index.spaces import Spaces
from pqstore.index.vector_updates import vector_update
from pqstore.progress import Progress
from pqstore.storage import Store, WriteTransaction

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Transaction"]

Result = TypeVar("Result")


class Transaction:
    """Changes that are committed together at the end of a ``with`` block, durably; an exception undoes all of them.

    Its own calls see what it has changed; nobody else does before the end. Other writers wait meanwhile: make vectors
    and payloads first, then begin. It belongs to the thread that began it, and is used once.

    A call that is refused, as one with an unknown id, changes nothing, and the block may go on. A call that fails
    half-way (a later block of an iterator is wrong) ends the transaction: the block can then only be left, and nothing
    of it is stored.
    """

    def __init__(self, store: Store, spaces: Spaces, timeout: float | None, after: Callable[[], None]) -> None:
        """For `Index.transaction` only. `after` is called when it is committed."""
        self._store = store
        self._spaces = spaces
        self._after = after
        self._timeout = timeout
        self._txn: WriteTransaction | None = None
        self._thread = 0
        self._failed = False

    def __enter__(self) -> Self:
        if self._thread:
            raise PQStoreError("a transaction is used once: call index.transaction() again")
        self._thread = threading.get_ident()
        self._txn = self._store.write(self._timeout)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        txn, self._txn = self._txn, None
        if txn is None:
            return
        if self._failed and kind is None:
            txn.close()
            raise PQStoreError(
                f"index at {self._store.path}: a call of this transaction failed half-way; nothing of it is stored"
            )
        txn.__exit__(kind, error, trace)
        if kind is None:
            self._after()

    def _open(self) -> WriteTransaction:
        if self._txn is None:
            raise IndexClosedError("the transaction is used in its `with` block only")
        if self._thread != threading.get_ident():
            raise PQStoreError("a transaction belongs to the thread that began it")
        if self._failed:
            raise PQStoreError("a call of this transaction failed half-way: leave the block, and begin again")
        return self._txn

    def change(self, work: Callable[[WriteTransaction], Result]) -> Result:
        """Do a piece of work of ours on the storage, as part of this transaction."""
        txn = self._open()
        before = txn.records.state
        try:
            return work(txn)
        except BaseException:
            self._failed = txn.records.state is not before
            raise

    def _read(self) -> Reading:
        return Reading(self._open().visible, self._spaces.of(self._open()), self._store.identity.id_type)

    # Changing

    def add(
        self,
        vectors: Any,
        ids: Any = None,
        on_conflict: OnConflict = "error",
        threads: int | None = None,
        *,
        payloads: Payloads = None,
        progress: Progress | None = None,
    ) -> IdArray:
        """As `Index.add`."""
        batch = batch_of_vectors(
            self._spaces, vectors, ids, on_conflict, threads, payloads, self._store.identity.id_type, progress
        )
        return self.change(batch.append)

    def upsert(self, vectors: Any, ids: Any, *, payloads: Payloads = None, threads: int | None = None) -> IdArray:
        """As `Index.upsert`."""
        return self.add(vectors, as_upsert_ids(ids), "replace", threads, payloads=payloads)

    def add_codes(
        self, codes: Any, ids: Any = None, on_conflict: OnConflict = "error", *, payloads: Payloads = None
    ) -> IdArray:
        """As `Index.add_codes`."""
        batch = batch_of_codes(self._spaces, codes, ids, on_conflict, payloads, self._store.identity.id_type)
        return self.change(batch.append)

    def remove(self, ids: Any, missing: Missing = "error") -> int:
        """As `Index.remove`."""
        return self.change(removal_of_ids(ids, missing, self._store.identity.id_type))

    def delete(self, where: Filter | None = None, *, ids: Any = None) -> int:
        """As `Index.delete`: what the filter finds with the changes made so far."""
        return self.change(removal_of_selected(where, ids, self._spaces, self._store.identity.id_type))

    def clear(self) -> int:
        """As `Index.clear`."""
        return self.change(WriteTransaction.clear)

    def update_payload(
        self,
        ids: Any = None,
        payloads: Payload | Payloads = NOT_GIVEN,
        *,
        where: Filter | None = None,
        merge: bool = True,
    ) -> int:
        """As `Index.update_payload`: a filter finds with the changes made so far."""
        return self.change(payload_update(ids, payloads, where, merge, self._spaces, self._store.identity.id_type))

    def update_vector(self, ids: Any, vectors: Any, *, threads: int | None = None) -> int:
        """As `Index.update_vector`."""
        return self.change(vector_update(ids, vectors, threads, self._spaces, self._store.identity.id_type))

    def save_set(self, name: str, ids: Any) -> int:
        """As `Index.save_set`."""
        return self.change(saving_of_set(name, ids, self._store.identity.id_type))

    def drop_set(self, name: str) -> None:
        """As `Index.drop_set`."""
        self.change(dropping_of_set(name))

    # Asking: each call sees the changes made so far. Filters read payloads here, whether or not a field has an index.

    def __len__(self) -> int:
        """Number of vectors."""
        return self._open().live_rows

    def __contains__(self, id: object) -> bool:
        """Whether this id is in the index; False for what cannot be an id."""
        return records.contains_id(self._read(), id)

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
        """As `Index.search`."""
        varied = group_by, per_group, mmr, candidates
        question = Question(k, threads, rerank, where, allow, deny, include, explain, nprobe, scan, recall, *varied)
        return search(self._read(), queries, question)

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
        """As `Index.range_search`."""
        question = Question(10, threads, rerank, where, allow, deny, nprobe=nprobe, scan=scan)
        return range_search(self._read(), queries, radius, limit, question)

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
        """As `Index.get`."""
        return records.get_records(self._read(), ids, include, missing)

    def count(self, where: Filter | None = None, *, allow: Any = None, deny: Any = None) -> int:
        """As `Index.count`."""
        return count(self._read(), where, allow, deny)

    @property
    def sets(self) -> dict[str, int]:
        """As `Index.sets`."""
        return sizes_of_sets(self._open().visible)

    def saved_set(self, name: str) -> IdArray:
        """As `Index.saved_set`."""
        return ids_of_set(self._read(), as_set_name(name))
