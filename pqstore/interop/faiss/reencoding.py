"""Codes of residuals as codes of vectors: decoded, and encoded again with a codebook of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32
from pqstore.errors import TrainingError
from pqstore.interop.faiss.bits import pack_rows, row_bytes, unpack_rows
from pqstore.interop.faiss.contents import BLOCK_ROWS, FaissContents, Residuals
from pqstore.log import warning
from pqstore.quantizer import PQ, ROWS_PER_CODEWORD

__all__ = ["reencoded"]

_COMPARED = 20_000  # vectors


def reencoded(contents: FaissContents) -> FaissContents:
    """The same vectors, as well as their codes describe them, without partitions; of M and bits as before.

    A code of a residual says more than one of a vector, so distances change and recall falls. Contents without
    residuals come back as they are. Codes are held in memory. How far vectors have moved is logged as a warning.

    Raises:
        TrainingError: there are fewer vectors than codewords.
    """
    if contents.residuals is None:
        return contents
    Ks = 1 << contents.nbits
    if contents.rows < Ks:
        raise TrainingError(
            f"{contents.where} has {contents.rows} vectors, too few to train the {Ks} codewords of a sub-space again"
        )
    sample = np.arange(contents.rows)
    if contents.rows > ROWS_PER_CODEWORD * Ks:
        chosen = np.random.default_rng(0).choice(contents.rows, ROWS_PER_CODEWORD * Ks, replace=False)
        sample = np.sort(chosen)
    # Behind the transforms: those stay in front of the new codebook.
    pq = PQ(contents.M, Ks, verbose=False).fit(_decoded(contents, contents.residuals, sample))
    codes = np.empty((contents.rows, row_bytes(contents.M, contents.nbits)), dtype=np.uint8)
    for start in range(0, contents.rows, BLOCK_ROWS):
        rows = np.arange(start, min(start + BLOCK_ROWS, contents.rows))
        codes[rows] = pack_rows(pq.encode(_decoded(contents, contents.residuals, rows)), contents.nbits)
    assert pq.codewords is not None
    some = sample[:: -(-len(sample) // _COMPARED)]
    before = _decoded(contents, contents.residuals, some)
    moved = float(((pq.decode(pq.encode(before)) - before) ** 2).sum())
    spread = float(((before - before.mean(axis=0)) ** 2).sum())
    warning(
        "%s: %d vectors were decoded and encoded again; what their codes describe has moved by %.0f %% of its variance",
        contents.where,
        contents.rows,
        100 * moved / spread if spread > 0 else 0,
    )
    return replace(contents, centroids=pq.codewords, codes=codes.reshape(-1), residuals=None)


def _decoded(contents: FaissContents, residuals: Residuals, rows: npt.NDArray[Any]) -> F32:
    """Vectors float32 (n, D) of some rows, behind the transforms."""
    packed = contents.codes.reshape(contents.rows, -1)[rows]
    codes = unpack_rows(packed, contents.M, contents.nbits)
    left = contents.centroids[np.arange(contents.M), codes].reshape(len(rows), -1)
    return residuals.centroids[residuals.partitions[rows]] + left
