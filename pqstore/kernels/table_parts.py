"""Batches in parts, so that the memory for distance tables is bounded whatever their length."""

from __future__ import annotations

from pqstore.kernels.code_layout import CodeLayout

__all__ = ["queries_at_a_time", "table_parts"]

# Bytes of tables held at a time.
_TABLE_BYTES = 32 << 20


def queries_at_a_time(layout: CodeLayout) -> int:
    """Of how many queries tables are held at a time."""
    return max(1, _TABLE_BYTES // (4 * layout.M * layout.table_size))


def table_parts(queries: int, layout: CodeLayout) -> list[slice]:
    """So many queries, divided into those whose tables are held at a time."""
    step = queries_at_a_time(layout)
    return [slice(start, min(start + step, queries)) for start in range(0, queries, step)]
