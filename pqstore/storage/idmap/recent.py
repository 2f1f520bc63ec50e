"""Keys of rows that a transaction has appended itself."""

from __future__ import annotations

from pqstore.storage.idmap.search import KeyIndex
from pqstore.storage.rows.id_columns import IdColumn
from pqstore.storage.rows.row_numbers import contiguous

__all__ = ["RecentKeys"]


class RecentKeys:
    """Sorted only when somebody looks for one."""

    __slots__ = ("_indexes", "_new", "follows_base")

    def __init__(self, *, follows_base: bool = False) -> None:
        self.follows_base = follows_base  # the rows that the tail had before are still to be put first
        self._indexes: list[KeyIndex] = []
        self._new: list[tuple[IdColumn, int]] = []

    def put_first(self, indexes: list[KeyIndex]) -> None:
        """Take the keys of the rows before these."""
        self._indexes = [*indexes, *self._indexes]
        self.follows_base = False

    def add(self, ids: IdColumn, first_row: int) -> None:
        self._new.append((ids, first_row))

    def sorted(self) -> list[KeyIndex]:
        """All keys, in few sorted pieces."""
        for column, first_row in self._new:
            self._indexes.append(KeyIndex(column.keys(), contiguous(first_row, len(column))))
            while len(self._indexes) > 1 and len(self._indexes[-2]) <= 2 * len(self._indexes[-1]):
                last = self._indexes.pop()
                self._indexes[-1] = self._indexes[-1].with_entries(last.keys, last.rows)
        self._new.clear()
        return self._indexes
