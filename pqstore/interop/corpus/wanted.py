"""What is wanted of a file that holds more than one array or column."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NO_COLUMN", "QUERIES", "TRUTH", "VECTORS", "Wanted"]

NO_COLUMN = "none"
"""As `Wanted.id_column`: no column of ids, whatever there is."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of a file to take, where the caller names none, and what to take beside it."""

    names: tuple[str, ...] = ("train",)
    """Arrays that are taken where none is named, the first that is there."""
    single: bool = False
    """Whether an array of one axis is a single row; otherwise it is refused."""
    id_column: str | None = None
    """A column of ids; None: the one that is called so ("id", "ids", "_id", "key"), if any; `NO_COLUMN`: none."""
    skip_nulls: bool = False
    """Whether rows without a vector are left out; otherwise one is an error."""
    payload_columns: tuple[str, ...] = ()
    """Columns that become the payloads."""


VECTORS = Wanted()
QUERIES = Wanted(names=("test", "queries", "query", "train"), single=True)
TRUTH = Wanted(names=("neighbors", "neighbours", "truth", "groundtruth"))
