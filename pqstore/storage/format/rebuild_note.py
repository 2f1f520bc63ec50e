"""What an unfinished generation says of how far it is: a note of its catalog, which is dropped when it is whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pqstore.errors import CorruptIndexError
from pqstore.storage.format.fields import UnfitError, anything, map_of, real, row, text, whole

__all__ = ["REBUILD_NOTE", "RebuildNote"]

REBUILD_NOTE: Final = "rebuilding"


class RebuildNote(NamedTuple):
    """Rows are those of the generation that it is made of, whose numbers are never given twice."""

    source: float
    """When that generation was created, which is another time after every rebuilding."""
    began_at: int
    """The row after its last when this was begun."""
    began_with: int
    """Its live rows then."""
    next_row: int
    """All of its rows before this one, as far as they were live when they were read, are here."""
    asked: Mapping[str, Any]
    """What the rows are to become, as the caller says it."""

    def packed(self) -> list[Any]:
        """As the catalog keeps it."""
        return [self.source, self.began_at, self.began_with, self.next_row, dict(self.asked)]

    @classmethod
    def of(cls, notes: Mapping[str, Any]) -> RebuildNote:
        """That of a catalog.

        Raises:
            CorruptIndexError: it has none, or one that cannot be.
        """
        try:
            note: RebuildNote = _NOTE(notes.get(REBUILD_NOTE))
        except UnfitError as error:
            raise CorruptIndexError(f"note on rebuilding: {error}") from None
        return note


_ROW: Final = whole(0, 2**62)
_NOTE: Final = row(real(0.0, 1e12), _ROW, _ROW, _ROW, map_of(text(64), anything), make=RebuildNote)
