"""One consistent state of an index: everything that can be asked of it without changing it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32
from pqstore.index.arguments.ids import IdArray, IdType, as_id_batch, is_single_id
from pqstore.index.arguments.sets import as_set_name, ids_of_set
from pqstore.index.code_space import CodeSpace
from pqstore.index.recall.measuring import RecallReport, measure_calibration, recall_report
from pqstore.index.records import ScrollPage, get_records, refuse_unknown, scroll
from pqstore.index.search.calibration import Calibration
from pqstore.index.search.results import RangeResult, SearchResult
from pqstore.index.search.top_k import Question, search
from pqstore.index.search.within import range_search
from pqstore.index.selection.select import select
from pqstore.storage import Snapshot

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["IndexView", "SnapshotView"]


class IndexView:
    """Questions to one storage snapshot. Nothing it returns points into the map."""

    def __init__(self, snapshot: Snapshot, space: CodeSpace, id_type: IdType) -> None:
        self._snapshot = snapshot
        self._space = space
        self._id_type: IdType = id_type

    def close(self) -> None:
        """Let go of the state; closing twice is allowed."""
        self._snapshot.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        """Number of vectors."""
        return self._snapshot.live_rows

    def __contains__(self, id: object) -> bool:
        """Whether this id is in the index; False for what cannot be an id."""
        if not is_single_id(id):
            return False
        try:
            batch = as_id_batch(id, self._id_type)
        except (TypeError, ValueError):
            return False
        return bool(self._snapshot.rows_of(batch)[0] >= 0)

    def __iter__(self) -> Iterator[Any]:
        """All ids, oldest row first."""
        for block in self._snapshot.iter_ids():
            yield from block.tolist()

    def search(
        self,
        queries: Any,
        k: int = 10,
        threads: int | None = None,
        *,
        rerank: int | str | None = None,
        where: Any = None,
        allow: Any = None,
        deny: Any = None,
        include: Any = (),
        explain: bool = False,
    ) -> SearchResult:
        """As `Index.search`, in this state."""
        question = Question(k, threads, rerank, where, allow, deny, include, explain)
        return search(self._snapshot, self._space, self._id_type, queries, question)

    def range_search(
        self,
        queries: Any,
        radius: float,
        *,
        limit: int | None = None,
        threads: int | None = None,
        rerank: int | str | None = None,
        where: Any = None,
        allow: Any = None,
        deny: Any = None,
    ) -> RangeResult:
        """As `Index.range_search`, in this state."""
        question = Question(threads=threads, rerank=rerank, where=where, allow=allow, deny=deny)
        return range_search(self._snapshot, self._space, self._id_type, queries, radius, limit, question)

    def get(self, ids: Any, *, include: Any = ("payload", "vector"), missing: str = "error") -> Any:
        """As `Index.get`, in this state."""
        return get_records(self._snapshot, self._space, self._id_type, ids, include, missing)

    def count(self, where: Any = None, *, allow: Any = None, deny: Any = None) -> int:
        """As `Index.count`, in this state."""
        selection = select(self._snapshot, self._id_type, where, allow, deny)
        return len(self) if selection is None else selection.count

    @property
    def sets(self) -> dict[str, int]:
        """As `Index.sets`, in this state."""
        return {name: saved.ids for name, saved in sorted(self._snapshot.catalog.sets.items())}

    def saved_set(self, name: str) -> IdArray:
        """As `Index.saved_set`, in this state."""
        return ids_of_set(self._snapshot, as_set_name(name))

    def scroll(
        self, where: Any = None, *, limit: int = 100, after: int | None = None, include: Any = ("payload",)
    ) -> ScrollPage:
        """As `Index.scroll`, in this state."""
        return scroll(self._snapshot, self._space, where, limit, after, include)

    def calibration(self, queries: Any, recall: float, k: int, threads: int | None) -> Calibration:
        """What `Index.calibrate` would find, in this state."""
        return measure_calibration(self._snapshot, self._space, queries, recall, k, threads)

    def recall_report(self, queries: Any, rerank: Sequence[int] = (100,), threads: int | None = None) -> RecallReport:
        """As `Index.recall_report`, in this state."""
        return recall_report(self._snapshot, self._space, self._id_type, queries, rerank, threads)

    def codes(self, ids: Any) -> npt.NDArray[Any]:
        """As `Index.codes`, in this state."""
        rows = self._known_rows(ids)
        codes = self._space.from_stored(self._snapshot.codes_of(rows))
        return codes[0] if is_single_id(ids) else codes

    def reconstruct(self, ids: Any) -> F32:
        """As `Index.reconstruct`, in this state."""
        rows = self._known_rows(ids)
        vectors = self._space.quantizer.decode(self._space.from_stored(self._snapshot.codes_of(rows)))
        return vectors[0] if is_single_id(ids) else vectors

    def iter_codes(self, block_rows: int = 65_536) -> Iterator[tuple[IdArray, npt.NDArray[Any]]]:
        """As `Index.iter_codes`, in this state."""
        for ids in self._snapshot.iter_ids(block_rows):
            yield ids, self.codes(ids)

    def _known_rows(self, ids: Any) -> npt.NDArray[np.int64]:
        batch = as_id_batch(ids, self._id_type)
        rows = self._snapshot.rows_of(batch)
        refuse_unknown(batch, rows)
        return rows


class SnapshotView(IndexView):
    """A state of the index that stays as it is while others write; close it, or use it in a ``with`` block.

    While it is open, the disk space of rows removed since cannot be reused.
    """

    def __init__(self, snapshot: Snapshot, space: CodeSpace, id_type: IdType) -> None:
        super().__init__(snapshot, space, id_type)
        snapshot.pin_originals()
