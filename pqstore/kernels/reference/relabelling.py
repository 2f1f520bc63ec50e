"""Renaming of one-byte codes."""

from __future__ import annotations

import numpy as np

from pqstore.arrays import U8

__all__ = ["relabel"]


def relabel(labels: U8, codes: U8) -> U8:
    """``labels[m, codes[i, m]]`` for every i and m: uint8 (n, M), from `labels` (M, 256) and `codes` (n, M)."""
    renamed = np.empty(codes.shape, dtype=np.uint8)
    for m, names in enumerate(labels):
        np.take(names, codes[:, m], out=renamed[:, m], mode="clip")
    return renamed
