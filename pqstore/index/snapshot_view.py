"""`SnapshotView`: one consistent state of an index, to be asked as the index itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import numpy.typing as npt

from pqstore.arrays import F32
from pqstore.index import records
from pqstore.index.arguments.counts import as_count
from pqstore.index.arguments.ids import IdArray
from pqstore.index.arguments.sets import as_set_name
from pqstore.index.arguments.types import Filter, Id, Include, Missing, Rerank
from pqstore.index.facts.field_kinds import field_kinds
from pqstore.index.facts.field_range import FieldRange, field_range
from pqstore.index.facts.field_values import FieldValues, field_values
from pqstore.index.reading import Reading
from pqstore.index.recall.calibrating import measure_calibration
from pqstore.index.recall.measuring import recall_report
from pqstore.index.recall.report import RecallReport
from pqstore.index.records import ScrollPage
from pqstore.index.saved_sets import ids_of_set, sizes_of_sets
from pqstore.index.search.calibration import Calibration
from pqstore.index.search.question import Question
from pqstore.index.search.results import RangeResult, Record, SearchHits, SearchResult
from pqstore.index.search.top_k import search
from pqstore.index.search.within import range_search
from pqstore.index.selection.select import count
from pqstore.index.uses import Uses

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["SnapshotView"]

Item = TypeVar("Item")


class SnapshotView:
    """A state of the index that stays as it is while others write; close it, or use it in a ``with`` block.

    While it is open, the disk space of rows removed since cannot be reused.
    """

    def __init__(self, reading: Reading) -> None:
        """For `Index.snapshot` only."""
        self._shared = reading
        self._uses = Uses(reading.close)

    def close(self) -> None:
        """Let go of the state; closing twice is allowed. Calls in progress in other threads end as they would have."""
        self._uses.close()

    @contextmanager
    def _read(self) -> Iterator[Reading]:
        """The state, which is there until the end of the block."""
        self._shared.snapshot.check()
        with self._uses:
            yield self._shared

    def reading(self) -> AbstractContextManager[Reading]:
        """The state for rooms above this one, until the end of a block."""
        return self._read()

    def _steps(self, of: Callable[[Reading], Iterator[Item]]) -> Iterator[Item]:
        """An iterator over the state that keeps it only while it works: it may be closed between two steps."""
        items: Iterator[Item] | None = None
        while True:
            with self._read() as reading:
                items = of(reading) if items is None else items
                item = next(items, None)
            if item is None:
                return
            yield item

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        """Number of vectors."""
        with self._read() as reading:
            return reading.snapshot.live_rows

    def __contains__(self, id: object) -> bool:
        """Whether this id is in the index; False for what cannot be an id."""
        with self._read() as reading:
            return records.contains_id(reading, id)

    def __iter__(self) -> Iterator[Any]:
        """All ids, oldest row first."""
        for block in self._steps(lambda reading: reading.snapshot.iter_ids()):
            yield from block.tolist()

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
        """As `Index.search`, in this state."""
        varied = group_by, per_group, mmr, candidates
        question = Question(k, threads, rerank, where, allow, deny, include, explain, nprobe, scan, recall, *varied)
        with self._read() as reading:
            return search(reading, queries, question)

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
        """As `Index.range_search`, in this state."""
        question = Question(10, threads, rerank, where, allow, deny, nprobe=nprobe, scan=scan)
        with self._read() as reading:
            return range_search(reading, queries, radius, limit, question)

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
        """As `Index.get`, in this state."""
        with self._read() as reading:
            return records.get_records(reading, ids, include, missing)

    def count(self, where: Filter | None = None, *, allow: Any = None, deny: Any = None) -> int:
        """As `Index.count`, in this state."""
        with self._read() as reading:
            return count(reading, where, allow, deny)

    @property
    def sets(self) -> dict[str, int]:
        """As `Index.sets`, in this state."""
        with self._read() as reading:
            return sizes_of_sets(reading.snapshot)

    def saved_set(self, name: str) -> IdArray:
        """As `Index.saved_set`, in this state."""
        with self._read() as reading:
            return ids_of_set(reading, as_set_name(name))

    def field_values(
        self,
        field: str,
        where: Filter | None = None,
        *,
        prefix: str | None = None,
        limit: int = 100,
        after: Any = None,
    ) -> FieldValues:
        """As `Index.field_values`, in this state."""
        with self._read() as reading:
            return field_values(reading, field, where, prefix, limit, after)

    def field_range(self, field: str, where: Filter | None = None, *, kind: str | None = None) -> FieldRange:
        """As `Index.field_range`, in this state."""
        with self._read() as reading:
            return field_range(reading, field, where, kind)

    def field_kinds(self, where: Filter | None = None) -> dict[str, tuple[str, ...]]:
        """As `Index.field_kinds`, in this state."""
        with self._read() as reading:
            return field_kinds(reading, where)

    def scroll(
        self,
        where: Filter | None = None,
        *,
        limit: int = 100,
        after: int | str | None = None,
        include: Include = ("payload",),
    ) -> ScrollPage:
        """As `Index.scroll`, in this state."""
        with self._read() as reading:
            return records.scroll(reading, where, limit, after, include)

    def calibration(self, queries: Any, recall: float, k: int, threads: int | None) -> Calibration:
        """What `Index.calibrate` would find, in this state."""
        with self._read() as reading:
            return measure_calibration(reading, queries, recall, k, threads)

    def recall_report(
        self,
        queries: Any,
        rerank: Sequence[int] = (100,),
        threads: int | None = None,
        *,
        scan: int | Sequence[int] | str | None = None,
    ) -> RecallReport:
        """As `Index.recall_report`, in this state; not printed."""
        with self._read() as reading:
            return recall_report(reading, queries, rerank, threads, scan)

    def codes(self, ids: Any) -> npt.NDArray[Any]:
        """As `Index.codes`, in this state."""
        with self._read() as reading:
            return records.get_codes(reading, ids)

    def reconstruct(self, ids: Any) -> F32:
        """As `Index.reconstruct`, in this state."""
        with self._read() as reading:
            return records.reconstruct(reading, ids)

    def iter_codes(self, block_rows: int = 65_536) -> Iterator[tuple[IdArray, npt.NDArray[Any]]]:
        """As `Index.iter_codes`, in this state."""
        rows = as_count(block_rows, "block_rows")
        return self._steps(lambda reading: records.iter_codes(reading, rows))
