"""Sets of row positions within a segment, at most 65,536 of them: the three containers of Roaring bitmaps.

A set is an ascending list of u16, a bitmap, or runs, whichever is shortest (Chambi, Lemire, Kaser, Godin 2016). A
segment's rows are exactly one container, so a bitmap can go into a scan's mask as it lies on the disk.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from pqstore.arrays import U8, U16

__all__ = ["BITMAP", "RUNS", "encode_positions", "mark_positions"]


BITMAP: Final = 1
RUNS: Final = 2


def encode_positions(positions: U16, rows: int) -> tuple[int, bytes]:
    """(container, its bytes) of ascending positions below `rows`: runs, or a bitmap where that is shorter."""
    wide = positions.astype(np.int64)
    breaks = np.flatnonzero(np.diff(wide) != 1)
    if 4 * (len(breaks) + 1) < -(-rows // 8):
        first = wide[np.concatenate(([0], breaks + 1))]
        last = wide[np.concatenate((breaks, [len(wide) - 1]))]
        return RUNS, np.stack((first, last), axis=1).astype("<u2").tobytes()
    flags = np.zeros(rows, dtype=np.bool_)
    flags[wide] = True
    return BITMAP, np.packbits(flags, bitorder="little").tobytes()


def mark_positions(container: int, content: U8, mask: U8) -> None:
    """Set the bits of a BITMAP or RUNS container in `mask`, lowest bit first. ValueError: it does not fit."""
    if container == BITMAP:
        if len(content) > len(mask):
            raise ValueError(f"a bitmap of {len(content)} bytes for a mask of {len(mask)}")
        mask[: len(content)] |= content
        return
    runs = content.view("<u2").reshape(-1, 2).astype(np.int64)
    if len(runs) and (int(runs.max()) >= 8 * len(mask) or (runs[:, 1] < runs[:, 0]).any()):
        raise ValueError("runs beyond the rows of the segment")
    steps = np.zeros(8 * len(mask) + 1, dtype=np.int8)
    steps[runs[:, 0]] += 1
    np.subtract.at(steps, runs[:, 1] + 1, 1)
    mask |= np.packbits(np.cumsum(steps[:-1], dtype=np.int8).view(np.bool_), bitorder="little")
