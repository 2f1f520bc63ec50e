"""`OPQ`: product quantization after the rotation that suits it best."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32
from pqstore.errors import DimensionError, NotTrainedError, TrainingError
from pqstore.kernels import resolve_threads
from pqstore.quantizer.base import Quantizer
from pqstore.quantizer.distance_table import Metric
from pqstore.quantizer.kmeans import LloydIteration, head_start, lloyd, lloyd_once, sum_of_squares
from pqstore.quantizer.pq import PQ, warm_start
from pqstore.quantizer.progress import Progress, reporter
from pqstore.quantizer.rotation import Rotation, balanced_axes, nearest_rotation
from pqstore.quantizer.seeding import InitialMethod, check_initial_method, initial_codewords
from pqstore.quantizer.training_set import preparation, split, training_vectors
from pqstore.quantizer.vectors import VectorsLike, as_queries, as_rows, block_rows, vector_blocks

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["OPQ"]


class OPQ(Quantizer):
    """Optimized product quantizer: vectors are rotated by R, then quantized by a `PQ`.

    Ge, He, Ke, Sun: Optimized Product Quantization, IEEE TPAMI 36(4), 2014; the non-parametric solution, started from
    the identity or from the parametric solution.

    Args:
        M, Ks, metric, verbose: as for `PQ`.

    Raises:
        ValueError: M, Ks or metric is out of its range.

    Examples:
        >>> vectors = np.random.default_rng(0).random((1000, 12), dtype=np.float32)
        >>> opq = OPQ(M=4, Ks=16, verbose=False).fit(vectors, pq_iter=5, rotation_iter=3)
        >>> opq.R.shape, opq.encode(vectors).shape
        ((12, 12), (1000, 4))
    """

    kind = "OPQ"
    rotates = True

    def __init__(self, M: int, Ks: int = 256, metric: Metric = "l2", verbose: bool = True) -> None:
        super().__init__(M, Ks, metric, verbose)

    @property
    def pq(self) -> PQ:
        """The `PQ` that quantizes the rotated vectors; it shares this OPQ's settings and codewords."""
        pq = object.__new__(PQ)
        pq._book = self._book
        return pq

    @property
    def R(self) -> F32 | None:  # noqa: N802
        """Rotation matrix, float32 (D, D): vectors are turned by ``vecs @ R``. None until trained. Read-only.

        May be set, to any orthogonal matrix.
        """
        return None if self._rotation is None else self._rotation.R

    @R.setter
    def R(self, R: npt.ArrayLike | None) -> None:  # noqa: N802
        self._rotation = None if R is None else Rotation(R)

    def fit(  # the order of nanopq's arguments
        self,
        vecs: VectorsLike,
        parametric_init: bool = False,
        pq_iter: int = 20,
        rotation_iter: int = 10,
        seed: int | None = 123,
        minit: InitialMethod = "points",
        *,
        max_training_rows: int | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Train the rotation and the codewords in turn.

        Each of ``rotation_iter - 1`` rounds improves the codewords by one iteration of k-means, then turns R so that
        the vectors come closest to their codewords (orthogonal Procrustes); the last round is ``pq_iter`` iterations
        of k-means. Codewords are carried from round to round. Deterministic, and careful on failure, as `PQ.fit`.

        Args:
            vecs: training vectors, real numbers (n, D), n at least Ks.
            parametric_init: start from `eigenvalue_allocation` instead of the identity.
            pq_iter: iterations of k-means in the last round, at most.
            rotation_iter: rounds.
            minit: as in `PQ.fit`; "matrix" goes on from the present codewords and, unless `parametric_init`, the
                present R (the identity where there is none).
            seed, max_training_rows, threads, progress: as in `PQ.fit`.

        Returns:
            self

        Raises:
            TrainingError, NotTrainedError, DimensionError, InvalidVectorError, ValueError: as `PQ.fit`.
        """
        final, rounds = operator.index(pq_iter), operator.index(rotation_iter)
        if final < 1 or rounds < 1:
            raise ValueError(f"pq_iter and rotation_iter must be at least 1, got {pq_iter} and {rotation_iter}")
        check_initial_method(minit, self.codewords)
        workers = resolve_threads(threads)
        *seeds, sample_seed, start_seed = np.random.SeedSequence(seed).spawn(self.M + 2)
        vectors = training_vectors(
            vecs,
            self.M,
            self.Ks,
            max_rows=max_training_rows,
            seed=sample_seed,
            prepare=preparation(self.metric),
            verbose=self.verbose,
        )
        if parametric_init:
            R = self.eigenvalue_allocation(vectors)
        else:
            R = _warm_rotation(self.R if minit == "matrix" else None, vectors.shape[1])
        groups = split(vectors, self.M, R)
        if minit == "matrix" and self.codewords is not None:
            codewords = warm_start(self.codewords, groups)
        else:
            codewords = initial_codewords(groups, self.Ks, minit, seeds)
            codewords = head_start(groups, codewords, final, workers, start_seed)
        report = reporter(self.verbose, progress, "rotation", rounds - 1)
        R, groups, codewords = _alternate(vectors, R, groups, codewords, rounds, workers, report)
        report = reporter(self.verbose, progress, "k-means", final)
        codewords = lloyd(groups, codewords, final, workers, report)
        self.R, self._book.codewords = R, codewords
        return self

    def eigenvalue_allocation(self, vecs: VectorsLike) -> F32:
        """The rotation of the parametric solution: best if the vectors were normally distributed.

        Columns are the principal axes of `vecs`, dealt out to the sub-spaces so that the products of their variances
        are balanced (Ge et al. 2014, section 3.3.2).

        Args:
            vecs: real numbers (n, D), n at least 1.

        Returns:
            float32 (D, D), orthogonal to float32 accuracy, whatever the rank of the data.

        Raises:
            TrainingError: no vectors, or M does not divide D.
            DimensionError, InvalidVectorError: see `encode`.
        """
        rows = as_rows(vecs)
        D = rows.shape[1]
        if D % self.M or not len(rows):
            raise TrainingError(
                f"M = {self.M} must divide the dimension of at least one vector, got an array of shape {rows.shape}"
            )
        # Two passes: the mean first, so that no large mean swamps the covariance.
        mean = np.zeros(D, dtype=np.float64)
        for _, block in vector_blocks(rows):
            mean += block.sum(axis=0, dtype=np.float64)
        mean /= len(rows)
        covariance = np.zeros((D, D), dtype=np.float64)
        for _, block in vector_blocks(rows):
            centred = block - mean
            covariance += centred.T @ centred
        return balanced_axes(covariance / len(rows), self.M).astype(np.float32)

    def rotate(self, vecs: VectorsLike) -> F32:
        """``vecs @ R``, each value the exact inner product rounded to float32 once, so the same alone and in a batch.

        Args:
            vecs: real numbers (D,) or (n, D). Under "cosine" they are rotated as they are, at their length.

        Returns:
            float32, of the shape of `vecs`.

        Raises:
            NotTrainedError: there is no R.
            DimensionError, InvalidVectorError: see `encode`.
        """
        if self._rotation is None:
            raise NotTrainedError("this OPQ has no R: call fit(vectors) first")
        rows, single = as_queries(vecs, len(self._rotation), "vectors")
        rotated = np.empty_like(rows)
        step = block_rows(rows.shape[1])
        for first in range(0, len(rows), step):
            rotated[first : first + step] = self._rotation.turn(rows[first : first + step])
        return rotated[0] if single else rotated


_LARGE = 2.0**64


def _warm_rotation(R: F32 | None, D: int) -> F32:
    """The rotation to go on from: the present one, if its dimension is that of the training vectors, or none."""
    if R is None:
        return np.eye(D, dtype=np.float32)
    if len(R) != D:
        raise DimensionError(f"R is for D = {len(R)}, but the training vectors have D = {D}")
    return R


def _alternate(
    vectors: F32, R: F32, groups: F32, codewords: F32, rounds: int, workers: int, report: Callable[[int, float], None]
) -> tuple[F32, F32, F32]:
    """All rounds but the last: rotation, sub-vectors `groups` under it (M, n, Ds), codewords."""
    squares = sum_of_squares(groups)  # rotations do not change it
    for done in range(1, rounds):
        step = lloyd_once(groups, codewords, squares, workers)
        report(done, step.error)
        codewords = step.codewords
        R = nearest_rotation(_scaled_pairs(vectors, step), vectors.shape[1]).astype(np.float32)
        groups = split(vectors, len(groups), R)
    return R, groups, codewords


def _scaled_pairs(vectors: F32, step: LloydIteration) -> Iterator[tuple[F32, F32]]:
    """Blocks of (training vectors, the codewords they are assigned to), scaled so that no product overflows."""
    M = len(step.codewords)
    D = vectors.shape[1]
    largest = max(float(np.abs(step.codewords).max()), np.finfo(np.float32).tiny)
    codewords = step.codewords / np.float32(largest)
    size = block_rows(D)
    # By a power of two, which changes no digit, and only where it must be: a rotation does not depend on it.
    smaller = np.float32(1.0 if largest < _LARGE else 1 / _LARGE)
    for first in range(0, len(vectors), size):
        labels = step.labels[:, first : first + size]
        block = vectors[first : first + size] if smaller == 1 else vectors[first : first + size] * smaller
        yield block, codewords[np.arange(M)[:, None], labels].transpose(1, 0, 2).reshape(-1, D)
