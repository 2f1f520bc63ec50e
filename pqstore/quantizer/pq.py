"""`PQ`: product quantization."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

import numpy as np

from pqstore.arrays import F32
from pqstore.errors import DimensionError
from pqstore.kernels import resolve_threads
from pqstore.quantizer.base import Quantizer
from pqstore.quantizer.distance_table import Metric
from pqstore.quantizer.kmeans import head_start, lloyd
from pqstore.quantizer.progress import Progress, reporter
from pqstore.quantizer.seeding import InitialMethod, check_initial_method, initial_codewords
from pqstore.quantizer.training_set import preparation, split, training_vectors
from pqstore.quantizer.vectors import VectorsLike

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["PQ"]


class PQ(Quantizer):
    """Product quantizer: a vector is cut into M sub-vectors, each named by its nearest of Ks codewords.

    Jegou, Douze, Schmid: Product Quantization for Nearest Neighbor Search, IEEE TPAMI 33(1), 2011.

    Args:
        M: the number of sub-spaces; must divide the dimension of the vectors.
        Ks: the number of codewords in each, 1 to 2**32; 256 makes a code of M bytes.
        metric: "l2" (squared Euclidean distance), "dot" (inner product), or "cosine" (inner product of vectors and
            queries that are divided by their length on the way in). Training and encoding are Euclidean always.
        verbose: print the settings now, and the progress of `fit`.

    Raises:
        ValueError: M, Ks or metric is out of its range.

    Examples:
        >>> vectors = np.random.default_rng(0).random((1000, 12), dtype=np.float32)
        >>> pq = PQ(M=4, Ks=16, verbose=False).fit(vectors, iter=5)
        >>> codes = pq.encode(vectors)
        >>> codes.shape, codes.dtype
        ((1000, 4), dtype('uint8'))
        >>> pq.dtable(vectors[0]).adist(codes).shape
        (1000,)
    """

    kind = "PQ"

    def __init__(self, M: int, Ks: int = 256, metric: Metric = "l2", verbose: bool = True) -> None:
        super().__init__(M, Ks, metric, verbose)

    def fit(
        self,
        vecs: VectorsLike,
        iter: int = 20,
        seed: int | None = 123,
        minit: InitialMethod = "points",
        *,
        max_training_rows: int | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Train the codewords by k-means in each sub-space.

        The same call gives the same codewords; NumPy's global generator is neither read nor changed. If training fails,
        the quantizer stays as it was.

        Args:
            vecs: training vectors, real numbers (n, D), n at least Ks.
            iter: at most this many iterations; fewer when no vector changes its codeword any more.
            seed: of the start and of the sample; None for a different one each time.
            minit: where k-means starts: "points", Ks of the vectors; "random", samples of a normal distribution with
                their mean and covariance; "++", vectors far from each other (k-means++); "matrix", the present
                `codewords`.
            max_training_rows: larger inputs are sampled down to so many rows; None for 256 times Ks.
            threads: how many threads to use; None for all cores.
            progress: called with a `TrainingStep` after each iteration.

        Returns:
            self

        Raises:
            TrainingError: fewer vectors than Ks, or M does not divide D.
            NotTrainedError: minit is "matrix" and there are no codewords.
            DimensionError, InvalidVectorError: `vecs` are no vectors, see `encode`.
            ValueError: iter, seed or minit is out of its range.
        """
        iterations = operator.index(iter)
        if iterations < 1:
            raise ValueError(f"iter must be at least 1, got {iter}")
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
        groups = split(vectors, self.M)
        del vectors
        if minit == "matrix" and self.codewords is not None:
            start = warm_start(self.codewords, groups)
        else:
            start = initial_codewords(groups, self.Ks, minit, seeds)
            start = head_start(groups, start, iterations, workers, start_seed)
        report = reporter(self.verbose, progress, "k-means", iterations)
        self._book.codewords = lloyd(groups, start, iterations, workers, report)
        return self


def warm_start(codewords: F32, groups: F32) -> F32:
    """The present codewords, if their dimension is that of the training vectors."""
    if codewords.shape[2] != groups.shape[2]:
        raise DimensionError(
            f"minit='matrix' starts from codewords of Ds = {codewords.shape[2]}, "
            f"but the training vectors have D / M = {groups.shape[2]}"
        )
    return codewords
