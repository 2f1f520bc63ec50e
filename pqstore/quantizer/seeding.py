"""Where k-means starts: the four ways that `minit` names, one sub-space at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import numpy as np

from pqstore.arrays import F32
from pqstore.errors import NotTrainedError

__all__ = ["InitialMethod", "check_initial_method", "initial_codewords"]

InitialMethod: TypeAlias = Literal["random", "++", "points", "matrix"]


def check_initial_method(minit: str, codewords: F32 | None) -> None:
    """Raise unless `minit` is known and, for "matrix", there are codewords to start from."""
    if minit not in get_args(InitialMethod):
        known = ", ".join(repr(name) for name in get_args(InitialMethod))
        raise ValueError(f"minit must be one of {known}, got {minit!r}")
    if minit == "matrix" and codewords is None:
        raise NotTrainedError(
            "minit='matrix' starts from the present codewords, and there are none: "
            "set codewords to an array of shape (M, Ks, Ds), or choose another minit"
        )


def initial_codewords(groups: F32, Ks: int, minit: InitialMethod, seeds: list[np.random.SeedSequence]) -> F32:
    """Codewords to start from, float32 (M, Ks, Ds), for sub-vectors `groups` float32 (M, n, Ds).

    Each sub-space has its own generator, so its start does not depend on the other sub-spaces. `minit` is any but
    "matrix", which needs no start.
    """
    methods: dict[str, Callable[[F32, int, np.random.Generator], F32]] = {
        "points": _points,
        "random": _gaussian,
        "++": _plus_plus,
    }
    codewords = np.empty((len(groups), Ks, groups.shape[2]), dtype=np.float32)
    for m, seed in enumerate(seeds):
        codewords[m] = methods[minit](groups[m], Ks, np.random.default_rng(seed))
    return codewords


def _points(points: F32, Ks: int, random: np.random.Generator) -> F32:
    """Ks different rows."""
    return points[random.choice(len(points), size=Ks, replace=False)]


def _gaussian(points: F32, Ks: int, random: np.random.Generator) -> F32:
    """Ks samples of the normal distribution with the mean and covariance of the points."""
    mean = points.mean(axis=0, dtype=np.float64)
    covariance = np.atleast_2d(np.cov(points, rowvar=False, dtype=np.float64)) if len(points) > 1 else np.zeros(1)
    if len(points) == 1:
        return np.tile(points, (Ks, 1))
    # eigh instead of a Cholesky factor: flat directions are no error.
    variances, axes = np.linalg.eigh(covariance)
    deviations = np.sqrt(np.maximum(variances, 0))
    return ((random.standard_normal((Ks, points.shape[1])) * deviations) @ axes.T + mean).astype(np.float32)


def _plus_plus(points: F32, Ks: int, random: np.random.Generator) -> F32:
    """k-means++ (Arthur, Vassilvitskii 2007): each next row with a chance proportional to its squared distance."""
    wide = points.astype(np.float64)
    squares = np.einsum("nd,nd->n", wide, wide)
    chosen = np.empty(Ks, dtype=np.int64)
    chosen[0] = random.integers(len(points))
    nearest = np.full(len(points), np.inf)
    for k in range(1, Ks):
        last = chosen[k - 1]
        distances = squares - 2 * (wide @ wide[last]) + squares[last]
        np.minimum(nearest, distances, out=nearest)
        # Rounding leaves tiny distances, of either sign, at copies of chosen rows.
        nearest[nearest <= 1e-14 * (squares + squares[last])] = 0
        cumulative = np.cumsum(nearest)
        if cumulative[-1] > 0:
            place = np.searchsorted(cumulative, random.random() * cumulative[-1], side="right")
            chosen[k] = min(int(place), int(np.flatnonzero(nearest)[-1]))
        else:  # fewer distinct rows than Ks: any row will do
            chosen[k] = random.integers(len(points))
    return points[chosen]
