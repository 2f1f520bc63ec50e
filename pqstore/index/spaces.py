"""What the codes of an index mean, state by state: training puts them into another space."""

from __future__ import annotations

from typing import TypeAlias

from pqstore.index.code_space import CodeSpace
from pqstore.index.exact_space import ExactSpace
from pqstore.index.lists.assigning import PartitionAssigner
from pqstore.index.settings import read_space
from pqstore.storage import Snapshot, Store, WriteTransaction

__all__ = ["Space", "Spaces"]

Space: TypeAlias = "CodeSpace | ExactSpace"


class Spaces:
    """Of one handle. Only another generation of the index can have another space."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: tuple[int, Space] | None = None

    @property
    def latest(self) -> Space:
        """That of the newest state that was looked at: what comes may be in another one by then."""
        return self.now if self._known is None else self._known[1]

    @property
    def now(self) -> Space:
        """That of the newest state; of the last that was looked at where the handle is closed."""
        if self._known is not None and self._store.closed:
            return self._known[1]
        with self._store.read() as snapshot:
            return self.of(snapshot)

    def of(self, state: Snapshot | WriteTransaction) -> Space:
        """The space of a state.

        Raises:
            CorruptIndexError: settings and arrays contradict each other.
        """
        generation, known = state.records.generation, self._known
        if known is not None and known[0] == generation.number:
            return known[1]
        committed = state.records if isinstance(state, Snapshot) else state.records.base
        space = read_space(committed.schema.identity, committed.arrays(), self._store.path)
        self._known = generation.number, space
        if isinstance(space, CodeSpace):
            self._store.assign_with(PartitionAssigner(space))
        return space
