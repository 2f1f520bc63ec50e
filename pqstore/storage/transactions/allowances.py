"""How much maintenance rows pay for when they are added and removed."""

from __future__ import annotations

from pqstore.storage.format.state import State
from pqstore.storage.limits import Limits

__all__ = ["earned"]

_REWRITE_PER_ROW = 4  # rows rewritten for each row appended or killed
_REWRITE_PER_COMMIT = 512


def earned(state: State, touched: int, segment_rows: int, limits: Limits) -> State:
    """Rows added and removed allow that much maintenance; what is left from before does not pile up."""
    return state._replace(
        merge_allowance=min(state.merge_allowance, limits.merge_saved) + limits.merge_per_row * touched,
        rewrite_allowance=min(state.rewrite_allowance, segment_rows) + _REWRITE_PER_ROW * touched + _REWRITE_PER_COMMIT,
    )
