"""The k nearest of several answers: nearest first, equal distances by the order of their names."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, I64

__all__ = ["merge_nearest"]


def merge_nearest(
    distances: F32, names: I64, missing: npt.NDArray[np.bool_] | None, k: int, *, larger_is_nearer: bool
) -> I64:
    """Which k of the answers to a query, put side by side, are the nearest: positions int64 (n, k), -1 for none.

    A name that comes twice with the same distance counts once.

    Args:
        distances: float32 (n, c), in no order.
        names: int64 (n, c): numbers in the order in which equal distances are to stand.
        missing: bool (n, c), what is padding; None: nothing is.
        larger_is_nearer: As of inner products.
    """
    signed = -distances if larger_is_nearer else distances
    absent = np.zeros(distances.shape, dtype=bool) if missing is None else missing
    order = np.lexsort((names, signed, absent))
    at = np.arange(len(order))[:, None]
    ordered, near, gone = names[at, order], signed[at, order], absent[at, order]
    again = (ordered[:, 1:] == ordered[:, :-1]) & (near[:, 1:] == near[:, :-1]) & ~gone[:, 1:]
    if again.any():
        gone[:, 1:] |= again
        last = np.argsort(gone, axis=1, kind="stable")
        order, gone = order[at, last], gone[at, last]
    nearest = np.full((len(order), k), -1, dtype=np.int64)
    some = min(k, order.shape[1])
    nearest[:, :some] = np.where(gone[:, :some], -1, order[:, :some])
    return nearest
