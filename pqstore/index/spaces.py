"""What the codes of an index mean, state by state: training puts them into another space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from pqstore.index.code_space import CodeSpace
from pqstore.index.exact_space import ExactSpace
from pqstore.index.lists.assigning import PartitionAssigner
from pqstore.index.settings import read_space
from pqstore.storage import Snapshot, Store, WriteTransaction

__all__ = ["Space", "Spaces"]

Space: TypeAlias = "CodeSpace | ExactSpace"


class _Known(NamedTuple):
    generation: int
    settings: Mapping[str, Any]
    arrays: dict[str, npt.NDArray[Any]]
    space: Space

    def is_of(self, settings: Mapping[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> bool:
        """Whether these make the same space, as they do after a compaction."""
        return (
            settings == self.settings
            and arrays.keys() == self.arrays.keys()
            and all(np.array_equal(arrays[name], array) for name, array in self.arrays.items())
        )


class Spaces:
    """Of one handle. Only another generation of the index can have another space; equal ones are one object."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: _Known | None = None

    @property
    def latest(self) -> Space:
        """That of the newest state that was looked at: what comes may be in another one by then."""
        return self.now if self._known is None else self._known.space

    @property
    def now(self) -> Space:
        """That of the newest state; of the last that was looked at where the handle is closed."""
        if self._known is not None and self._store.closed:
            return self._known.space
        with self._store.read(as_stored=True) as snapshot:
            return self.of(snapshot)

    def of(self, state: Snapshot | WriteTransaction) -> Space:
        """The space of a state.

        Raises:
            CorruptIndexError: settings and arrays contradict each other.
        """
        generation, known = state.records.generation.number, self._known
        if known is not None and known.generation == generation:
            return known.space
        committed = state.records if isinstance(state, Snapshot) else state.records.base
        identity, arrays = committed.schema.identity, committed.arrays()
        if known is not None and known.is_of(identity.settings, arrays):
            self._known = known._replace(generation=generation)
            self._assign(known.space, identity.created)
            return known.space
        space = read_space(identity, arrays, self._store.path)
        self._known = _Known(generation, identity.settings, arrays, space)
        self._assign(space, identity.created)
        return space

    def _assign(self, space: Space, created: float) -> None:
        if isinstance(space, CodeSpace):
            self._store.assign_with(PartitionAssigner(space), created)
