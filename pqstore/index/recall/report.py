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
    scan: int | None = None
    """Rows after which no further list was read; None: all codes were."""


@dataclass(frozen=True, slots=True)
class RecallReport:
    """Recall, time and bytes of an index; its text is a table."""

    vectors: int
    queries: int
    originals: str
    """"" where none are stored: then the truth is what a scan of all codes finds."""
    code_bytes: int
    """Of one vector."""
    original_bytes: int
    """Of one vector."""
    exact_milliseconds: float
    """Of a query by exact search, all of them at once."""
    rows: tuple[RecallRow, ...]

    def __str__(self) -> str:
        cuts = list(self.rows[0].recall) if self.rows else []
        stored, against = "", "a scan of all codes"
        if self.originals:
            stored, against = f", {self.original_bytes} of {self.originals}", "exact search"
        lines = [
            f"{self.vectors:,} vectors of {self.code_bytes} bytes of code{stored}; {self.queries} queries against "
            f"{against} ({self.exact_milliseconds:.1f} ms a query)"
        ]
        scans = any(row.scan is not None for row in self.rows)
        head = f"{'rerank':>8} " + " ".join(f"{f'recall@{k}':>11}" for k in cuts) + f" {'ms':>8} {'bytes read':>12}"
        lines.append(f"{'rows read':>11} {head}" if scans else head)
        for row in self.rows:
            line = (
                f"{row.rerank or 'none':>8} "
                + " ".join(f"{_share(row.recall[k]):>11}" for k in cuts)
                + f" {row.milliseconds:>8.2f} {row.bytes_read:>12,}"
            )
            lines.append(f"{'all' if row.scan is None else f'{row.scan:,}':>11} {line}" if scans else line)
        return "\n".join(lines)


def _share(recall: float) -> str:
    return "-" if np.isnan(recall) else f"{recall:.3f}"
