"""One consistent state of an index: everything that can be asked of it without changing it."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.errors import UnknownIdError
from pqstore.index.code_space import CodeSpace
from pqstore.index.ids import IdArray, IdType, as_id_batch, is_single_id
from pqstore.index.results import SearchResult
from pqstore.index.search import search_chunks
from pqstore.storage import Snapshot

__all__ = ["IndexView", "SnapshotView"]

F32 = npt.NDArray[np.float32]


class IndexView:
    """Questions to one storage snapshot. Nothing it returns points into the map."""

    def __init__(self, snapshot: Snapshot, space: CodeSpace, id_type: IdType) -> None:
        self._snapshot = snapshot
        self._space = space
        self._id_type: IdType = id_type

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

    def search(self, queries: Any, k: int = 10, threads: int | None = None) -> SearchResult:
        """As `Index.search`, in this state."""
        return search_chunks(self._snapshot, self._space, self._id_type, queries, k, threads)

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

    def close(self) -> None:
        """Let go of the state; closing twice is allowed."""
        self._snapshot.close()

    def __enter__(self) -> SnapshotView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def refuse_unknown(ids: IdArray, rows: npt.NDArray[np.int64]) -> None:
    """Raise `UnknownIdError` when a row is -1, naming the ids it stands for."""
    unknown = ids[rows < 0]
    if len(unknown):
        shown = ", ".join(repr(value) for value in unknown[:5].tolist())
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise UnknownIdError(f"{len(unknown)} of {len(ids)} ids are not in the index: {shown}{more}")
