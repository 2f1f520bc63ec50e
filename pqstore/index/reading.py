"""One consistent state of an index, and what it takes to understand it: every question is asked of a `Reading`."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import numpy.typing as npt

from pqstore.arrays import F32, I64
from pqstore.index.arguments.ids import IdType, as_id_batch, refuse_unknown, refuse_unordered
from pqstore.index.code_space import CodeSpace
from pqstore.index.exact_space import ExactSpace
from pqstore.kernels import CodeChunk
from pqstore.storage import Snapshot

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Reading"]


class Reading:
    """A state of the storage, the code space that its codes are in, and the type of its ids.

    Closing it closes the state; closing twice is allowed.
    """

    __slots__ = ("id_type", "snapshot", "space")

    def __init__(self, snapshot: Snapshot, space: CodeSpace | ExactSpace, id_type: IdType) -> None:
        self.snapshot = snapshot
        self.space = space
        self.id_type: IdType = id_type

    def close(self) -> None:
        """Let go of the state."""
        self.snapshot.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.snapshot.close()

    @property
    def kept(self) -> dict[Any, Any]:
        """What was worked out of this state by any reading of it, to be used again."""
        return self.snapshot.memo

    @property
    def rows_follow_ids(self) -> bool:
        """Whether ids are known to ascend with rows: then equal distances in the order of rows are in that of ids."""
        kept = self.snapshot.memo
        follow: bool | None = kept.get("rows follow ids")
        if follow is None:
            follow = kept["rows follow ids"] = self.snapshot.rows.ids_ascend()
        return follow

    def all_prepared(self) -> Any:
        """The codes of all rows, ready to be searched; made once a state."""
        kept = self.snapshot.memo
        prepared = kept.get("prepared")
        if prepared is None:
            # The same fields, named in the room that each belongs to.
            prepared = self.space.prepared(cast(Sequence[CodeChunk], self.snapshot.chunks()))
            kept["prepared"] = prepared
        return prepared

    def rows_of(self, ids: Any) -> I64:
        """The rows of ids that are all in the index, int64 (n,).

        Raises:
            UnknownIdError: one is not. InvalidIdError: one cannot be, or they have no order.
        """
        refuse_unordered(ids)
        batch = as_id_batch(ids, self.id_type)
        rows = self.snapshot.rows_of(batch)
        refuse_unknown(batch, rows)
        return rows

    @property
    def coded(self) -> CodeSpace:
        """The space of the codes.

        Raises:
            NotTrainedError: there are none yet.
        """
        if isinstance(self.space, ExactSpace):
            self.space.refuse()
        return self.space

    @property
    def keeps_vectors(self) -> bool:
        """Whether `vectors_of` gives vectors as they came, if need be rounded, and not what codes describe."""
        return self.space.originals is not None or self.space.phase == "exact"

    def codes_of(self, rows: I64) -> npt.NDArray[Any]:
        """The codes of rows that exist, (n, M), in the quantizer's labels."""
        return self.space.from_stored(self.snapshot.codes_of(rows))

    def decoded(self, rows: I64) -> F32:
        """The vectors of rows that exist as their codes describe them, float32 (n, D)."""
        return self.space.decode(self.snapshot.codes_of(rows))

    def vectors_of(self, rows: I64) -> F32:
        """The vectors of rows that exist, float32 (n, D): originals where they are stored, else decoded from codes."""
        if self.space.originals is None:
            return self.decoded(rows)
        return self.space.originals.decode(self.snapshot.originals_of(rows))
