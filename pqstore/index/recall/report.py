"""What `Index.recall_report` gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["RecallReport", "RecallRow"]


@dataclass(frozen=True, slots=True)
class RecallRow:
    """One way of searching."""

    rerank: int | None
    recall: dict[int, float]
    """k -> mean share of the exact k nearest among the first k found; NaN where rerank is below k."""
    milliseconds: float
    """Of a query searched alone, k = 10: the median."""
    bytes_read: int
    """Of codes and originals for a query, pages not counted."""


@dataclass(frozen=True, slots=True)
class RecallReport:
    """Recall, time and bytes of an index; its text is a table."""

    vectors: int
    queries: int
    originals: str
    code_bytes: int
    """Of one vector."""
    original_bytes: int
    """Of one vector."""
    exact_milliseconds: float
    """Of a query by exact search, all of them at once."""
    rows: tuple[RecallRow, ...]

    def __str__(self) -> str:
        cuts = list(self.rows[0].recall) if self.rows else []
        lines = [
            f"{self.vectors:,} vectors of {self.code_bytes} bytes of code, {self.original_bytes} of {self.originals}; "
            f"{self.queries} queries against exact search ({self.exact_milliseconds:.1f} ms a query)",
            f"{'rerank':>8} " + " ".join(f"{f'recall@{k}':>11}" for k in cuts) + f" {'ms':>8} {'bytes read':>12}",
        ]
        lines += [
            f"{row.rerank or 'none':>8} "
            + " ".join(f"{_share(row.recall[k]):>11}" for k in cuts)
            + f" {row.milliseconds:>8.2f} {row.bytes_read:>12,}"
            for row in self.rows
        ]
        return "\n".join(lines)


def _share(recall: float) -> str:
    return "-" if np.isnan(recall) else f"{recall:.3f}"
