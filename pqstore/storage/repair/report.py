"""What a repair found, and what it could not save."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["RepairReport"]


@dataclass(slots=True)
class RepairReport:
    """What a repair found. Row counts are of rows that were stored, removed ones not counted."""

    source: Path
    destination: Path
    rows_salvaged: int = 0
    rows_lost: int = 0
    """Rows known to be missing: in segments and chunks whose codes or ids are damaged."""
    partitions: int | None = None
    """How many partitions the lists had, which follow from the codes and are made anew; None: there were none, or the
    record that says it is damaged."""
    scanned: bool = False
    """The trees of the data file were damaged, and records were looked for byte by byte. Rows that were removed or
    replaced shortly before may be back."""
    losses: list[str] = field(default_factory=list)
    """One line for each record that is damaged or missing, and what that means."""
