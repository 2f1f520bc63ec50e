"""The k nearest of several answers: nearest first, equal distances by the order of their names."""

from __future__ import annotations

import numpy as np

from pqstore.arrays import F32, I64

__all__ = ["merge_nearest"]


def merge_nearest(distances: F32, names: I64, missing: I64 | None, k: int, *, larger_is_nearer: bool) -> I64:
    """Which k of the answers to a query, put side by side, are the nearest: positions int64 (n, k), -1 for none.

    A name that comes twice counts once, where it is nearest.

    Args:
        distances: float32 (n, c), in no order.
        names: int64 (n, c): numbers in the order in which equal distances are to stand.
        missing: bool (n, c), what is padding; None: nothing is.
        larger_is_nearer: As of inner products.
    """
    signed = -distances if larger_is_nearer else distances
    absent = np.zeros(distances.shape, dtype=bool) if missing is None else missing
    order = np.lexsort((names, signed, absent))
    ordered = np.take_along_axis(names, order, axis=1)
    gone = np.take_along_axis(absent, order, axis=1)
    again = _come_again(ordered, gone)
    if again.any():
        gone |= again
        order = np.take_along_axis(order, np.argsort(gone, axis=1, kind="stable"), axis=1)
        gone = np.sort(gone, axis=1)
    nearest = np.full((len(order), k), -1, dtype=np.int64)
    some = min(k, order.shape[1])
    nearest[:, :some] = np.where(gone[:, :some], -1, order[:, :some])
    return nearest


def _come_again(names: I64, absent: I64) -> I64:
    """Whether a name that is not padding stands further left in its row as well: bool (n, c)."""
    by_name = np.lexsort((np.broadcast_to(np.arange(names.shape[1]), names.shape), names, absent))
    sorted_names, sorted_absent = (np.take_along_axis(each, by_name, axis=1) for each in (names, absent))
    again = np.zeros(names.shape, dtype=bool)
    again[:, 1:] = (sorted_names[:, 1:] == sorted_names[:, :-1]) & ~sorted_absent[:, 1:]
    result = np.empty_like(again)
    np.put_along_axis(result, by_name, again, axis=1)
    return result
