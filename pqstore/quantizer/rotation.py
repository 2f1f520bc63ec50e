"""Rotating rows, and finding the rotation: eigenvalue allocation and orthogonal Procrustes.

Ge, He, Ke, Sun: Optimized Product Quantization, IEEE TPAMI 36(4), 2014; sections 3.2 and 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, F64
from pqstore.errors import DimensionError, InvalidQuantizerError, InvalidVectorError

__all__ = ["Rotation", "balanced_axes", "departure_from_orthogonal", "nearest_rotation", "rotate_rows"]


# Relative change of length that an R may cause; float32 rotations, Faiss's too, stay below 1e-5.
_LARGEST_DEPARTURE = 1e-3
_HALF_ULP = 2.0**-53
# Values rotated at a time: the float64 temporaries stay in the second-level cache.
_TILE_VALUES = 1 << 15


class Rotation:
    """An orthogonal matrix, checked, and what it does to rows.

    Raises:
        DimensionError: it is not square. InvalidQuantizerError: it is not orthogonal.
    """

    __slots__ = ("R", "_wide")

    def __init__(self, R: npt.ArrayLike) -> None:
        array = np.array(R, dtype=np.float32, order="C")
        if array.ndim != 2 or array.shape[0] != array.shape[1] or array.size == 0:
            raise DimensionError(f"R must have shape (D, D), got {array.shape}")
        if not np.isfinite(array).all() or departure_from_orthogonal(array) > _LARGEST_DEPARTURE:
            raise InvalidQuantizerError(
                f"R must be orthogonal (R @ R.T the identity, within {_LARGEST_DEPARTURE}), and it is not"
            )
        array.setflags(write=False)  # its wide copy must stay its copy
        self.R: F32 = array
        """float32 (D, D), read-only."""
        self._wide: F64 = array.astype(np.float64)

    def __len__(self) -> int:
        return len(self.R)

    def turn(self, rows: F32) -> F32:
        """``rows @ R``; float32 (n, D)."""
        return rotate_rows(rows, self._wide)

    def turn_back(self, rows: F32) -> F32:
        """``rows @ R.T``; float32 (n, D)."""
        return rotate_rows(rows, self._wide.T)


def rotate_rows(vectors: F32, rotation: F64) -> F32:
    """``vectors @ rotation``, each value the exact inner product rounded to float32 once.

    `vectors` float32 (n, D); `rotation` (D, D), float32 values held as float64. Exactness makes a vector's result
    independent of the rows it comes with, of the BLAS and of the machine, so codes and distance tables are too. The
    float64 matrix product settles nearly every value: only where its error bound straddles a rounding boundary is the
    sum done exactly.
    """
    rotated = np.empty_like(vectors)
    step = max(16, _TILE_VALUES // len(rotation))
    for first in range(0, len(vectors), step):
        _rotate_tile(vectors[first : first + step].astype(np.float64), rotation, rotated[first : first + step])
    if not np.isfinite(rotated).all():
        row = int(np.argwhere(~np.isfinite(rotated))[0, 0])
        raise InvalidVectorError(f"vectors: row {row} of the block is too long to be rotated in float32: scale it down")
    return rotated


def _rotate_tile(vectors: F64, rotation: F64, rotated: F32) -> None:
    with np.errstate(over="ignore"):
        products = vectors @ rotation
        # Products of two float32 values are exact. A sum of D of them errs, in any order, by less than D half-ulps of
        # the sum of their magnitudes, which Cauchy-Schwarz bounds (columns have length 1); a quarter more for the
        # rounding of the bound itself.
        bound = 1.25 * len(rotation) * _HALF_ULP
        lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
        uncertain = _round(products, bound * lengths[:, None], rotated)
        if len(uncertain) > products.size >> 10:
            # Many zeros: the true magnitudes are a much better bound than the lengths.
            uncertain = _round(products, bound * (np.abs(vectors) @ np.abs(rotation)), rotated)
        for row, column in zip(*divmod(uncertain, len(rotation)), strict=True):
            rotated[row, column] = math.fsum((vectors[row] * rotation[:, column]).tolist())


def _round(values: F64, margin: F64, rounded: F32) -> npt.NDArray[np.intp]:
    """Write `values` as float32; return the flat positions where a true value within `margin` rounds otherwise."""
    low = (values - margin).astype(np.float32)
    np.copyto(rounded, values + margin, casting="same_kind")
    return np.flatnonzero(low != rounded)


def departure_from_orthogonal(rotation: npt.NDArray[Any]) -> float:
    """About the largest relative change of length under ``R @ R.T``, probed by 16 fixed random vectors.

    Takes D^2 steps, not D^3: cheap enough for every load.
    """
    wide = rotation.astype(np.float64)
    probes = np.random.default_rng(0).standard_normal((16, len(wide)))
    there_and_back = (probes @ wide) @ wide.T
    return float((np.linalg.norm(there_and_back - probes, axis=1) / np.linalg.norm(probes, axis=1)).max())


def nearest_rotation(blocks: Iterable[tuple[F32, F32]], D: int) -> F64:
    """The orthogonal R for which ``X @ R`` is nearest to Y in the least-squares sense (orthogonal Procrustes).

    `blocks` are pairs of rows of X and Y, float32 (n, D). Only X^T Y counts, so it is summed block by block: the R for
    which X @ R is nearest to Y is the one for which the identity @ R is nearest to X^T Y.
    """
    from scipy.linalg import orthogonal_procrustes  # noqa: PLC0415 # loaded where a rotation is fitted, nowhere else

    correlation = np.zeros((D, D), dtype=np.float64)
    for vectors, targets in blocks:
        correlation += vectors.T @ targets
    rotation: F64 = orthogonal_procrustes(np.eye(D), correlation)[0]
    return rotation


def balanced_axes(covariance: F64, M: int) -> F64:
    """Principal axes as columns, dealt out to M sub-spaces so that the products of their variances are balanced.

    Ge et al. 2014, section 3.3.2: from the largest variance to the least, each axis goes to the sub-space with the
    smallest product so far that still has room.
    """
    from scipy.linalg import eigh  # noqa: PLC0415 # loaded where a rotation is fitted, nowhere else

    D = len(covariance)
    Ds = D // M
    # Divide and conquer: the axes stay orthogonal to the last bits even where variances are equal or zero.
    variances, axes = eigh(covariance, driver="evd")
    variances, axes = variances[::-1], axes[:, ::-1]
    # Variances that are zero but for rounding count as one and the same floor; logarithms then start from 1.
    floor = max(float(variances[0]), np.finfo(np.float64).tiny) * D * float(np.finfo(np.float32).eps)
    weights = np.log(np.maximum(variances, floor) / floor) + 1
    members: list[list[int]] = [[] for _ in range(M)]
    products = np.zeros(M, dtype=np.float64)
    for axis in range(D):
        m = int(products.argmin())
        members[m].append(axis)
        products[m] = np.inf if len(members[m]) == Ds else products[m] + weights[axis]
    return axes[:, [axis for group in members for axis in group]]
