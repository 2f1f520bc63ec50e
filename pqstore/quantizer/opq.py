"""`OPQ`: product quantization after the rotation that suits it best."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32
from pqstore.errors import DimensionError, InvalidQuantizerError, NotTrainedError, TrainingError
from pqstore.kernels import resolve_threads
from pqstore.quantizer.base import Quantizer
from pqstore.quantizer.codebook import Codebook
from pqstore.quantizer.distance_table import Metric
from pqstore.quantizer.kmeans import LloydIteration, head_start, lloyd, lloyd_once, sum_of_squares
from pqstore.quantizer.pq import PQ, warm_start
from pqstore.quantizer.progress import Progress, reporter, say
from pqstore.quantizer.rotation import balanced_axes, departure_from_orthogonal, nearest_rotation, rotate_rows
from pqstore.quantizer.seeding import InitialMethod, check_initial_method, initial_codewords
from pqstore.quantizer.training_set import split, training_vectors
from pqstore.quantizer.vectors import VectorsLike, as_queries, as_rows, block_rows, vector_blocks

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["OPQ"]

# Relative change of length that an R may cause; float32 rotations, Faiss's too, stay below 1e-5.
_LARGEST_DEPARTURE = 1e-3


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

    def __init__(self, M: int, Ks: int = 256, metric: Metric = "l2", verbose: bool = True) -> None:
        self._start(Codebook(M, Ks, metric, verbose))
        say(verbose, f"M: {M}, Ks: {Ks}, metric: {metric}, code_dtype: {self.code_dtype.__name__}")

    def _start(self, book: Codebook) -> None:
        super()._start(book)
        self._R: F32 | None = None
        self._wide_R: npt.NDArray[np.float64] | None = None

    @property
    def pq(self) -> PQ:
        """The `PQ` that quantizes the rotated vectors; it shares this OPQ's settings and codewords."""
        pq = object.__new__(PQ)
        pq._start(self._book)
        return pq

    @property
    def R(self) -> F32 | None:  # noqa: N802
        """Rotation matrix, float32 (D, D): vectors are turned by ``vecs @ R``. None until trained. Read-only.

        May be set, to any orthogonal matrix.
        """
        return self._R

    @R.setter
    def R(self, R: npt.ArrayLike | None) -> None:  # noqa: N802
        if R is None:
            self._R = self._wide_R = None
            return
        array = np.array(R, dtype=np.float32, order="C")
        if array.ndim != 2 or array.shape[0] != array.shape[1] or array.size == 0:
            raise DimensionError(f"R must have shape (D, D), got {array.shape}")
        if not np.isfinite(array).all() or departure_from_orthogonal(array) > _LARGEST_DEPARTURE:
            raise InvalidQuantizerError(
                f"R must be orthogonal (R @ R.T the identity, within {_LARGEST_DEPARTURE}), and it is not"
            )
        array.setflags(write=False)  # its wide copy must stay its copy
        self._R, self._wide_R = array, array.astype(np.float64)

    @property
    def is_trained(self) -> bool:
        return super().is_trained and self._R is not None

    def _trained(self) -> tuple[F32, int]:
        codewords, D = super()._trained()
        assert self._R is not None
        if len(self._R) != D:
            raise InvalidQuantizerError(f"R has shape {self._R.shape}, but the codewords are for D = {D}")
        return codewords, D

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
            prepare=lambda block, first: self._normalized(block, "training vectors", first),
            verbose=self.verbose,
        )
        R = self._first_rotation(vectors, parametric_init, warm=minit == "matrix")
        groups = split(vectors, self.M, R)
        if minit == "matrix" and self.codewords is not None:
            codewords = warm_start(self.codewords, groups)
        else:
            codewords = initial_codewords(groups, self.Ks, minit, seeds)
            codewords = head_start(groups, codewords, final, workers, start_seed)
        report = reporter(self.verbose, progress, "rotation", rounds - 1)
        squares = sum_of_squares(groups)  # rotations do not change it
        for done in range(1, rounds):
            step = lloyd_once(groups, codewords, squares, workers)
            report(done, step.error)
            codewords = step.codewords
            R = nearest_rotation(_scaled_pairs(vectors, step), vectors.shape[1]).astype(np.float32)
            groups = split(vectors, self.M, R)
        report = reporter(self.verbose, progress, "k-means", final)
        codewords = lloyd(groups, codewords, final, workers, report)
        self.R, self._book.codewords = R, codewords
        return self

    def _first_rotation(self, vectors: F32, parametric: bool, warm: bool) -> F32:
        D = vectors.shape[1]
        if parametric:
            return self.eigenvalue_allocation(vectors)
        if warm and self._R is not None:
            if len(self._R) != D:
                raise DimensionError(f"R is for D = {len(self._R)}, but the training vectors have D = {D}")
            return self._R
        return np.eye(D, dtype=np.float32)

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
        if self._R is None:
            raise NotTrainedError("this OPQ has no R: call fit(vectors) first")
        rows, single = as_queries(vecs, len(self._R), "vectors")
        rotated = np.empty_like(rows)
        step = block_rows(rows.shape[1])
        for first in range(0, len(rows), step):
            rotated[first : first + step] = self._turn(rows[first : first + step])
        return rotated[0] if single else rotated

    def _turn(self, block: F32) -> F32:
        assert self._wide_R is not None
        return rotate_rows(block, self._wide_R)

    def _turn_back(self, block: F32) -> F32:
        assert self._wide_R is not None
        return rotate_rows(block, self._wide_R.T)

    def _extra_arrays(self) -> dict[str, npt.NDArray[Any]]:
        assert self._R is not None
        return {"R": self._R}

    def _set_extra_arrays(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self.R = arrays["R"]


def _scaled_pairs(vectors: F32, step: LloydIteration) -> Iterator[tuple[F32, F32]]:
    """Blocks of (training vectors, the codewords they are assigned to), scaled so that no product overflows."""
    M = len(step.codewords)
    D = vectors.shape[1]
    largest = max(float(np.abs(step.codewords).max()), np.finfo(np.float32).tiny)
    codewords = step.codewords / np.float32(largest)
    size = block_rows(D)
    for first in range(0, len(vectors), size):
        labels = step.labels[:, first : first + size]
        yield vectors[first : first + size], codewords[np.arange(M)[:, None], labels].transpose(1, 0, 2).reshape(-1, D)
