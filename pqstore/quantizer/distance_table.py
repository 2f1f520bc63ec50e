"""`DistanceTable`: from one query to every codeword, and by sums to every code."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from pqstore.errors import DimensionError
from pqstore.kernels import active, resolve_threads
from pqstore.quantizer.codes import as_codes

__all__ = ["DistanceTable", "Metric", "check_metric"]

Metric: TypeAlias = Literal["l2", "dot", "cosine"]


def check_metric(metric: str) -> Metric:
    """`metric`, if it is one that pqstore knows; ValueError if not."""
    for known in get_args(Metric):
        if metric == known:
            return known
    raise ValueError(f"metric must be one of {', '.join(repr(name) for name in get_args(Metric))}, got {metric!r}")


class DistanceTable:
    """Distances from a query to the codewords of each sub-space, made by `PQ.dtable` or `OPQ.dtable`.

    Args:
        dtable: float32 (M, Ks); ``dtable[m][ks]`` is the squared Euclidean distance between the m-th sub-vector of the
            query and the ks-th codeword of sub-space m, or for "dot" and "cosine" their inner product.
        metric: "l2", "dot" or "cosine": what the entries are.

    Raises:
        DimensionError: `dtable` is not 2-D.
        ValueError: `metric` is unknown, or `dtable` is not float32.
    """

    def __init__(self, dtable: npt.NDArray[np.float32], metric: Metric = "l2") -> None:
        dtable = np.asarray(dtable)
        if dtable.ndim != 2 or 0 in dtable.shape:
            raise DimensionError(f"dtable must have shape (M, Ks), got {dtable.shape}")
        if dtable.dtype != np.float32:
            raise ValueError(f"dtable must be float32, got {dtable.dtype}: convert it with .astype(numpy.float32)")
        self.dtable = dtable
        self.metric = check_metric(metric)

    def adist(self, codes: npt.ArrayLike, *, threads: int | None = None) -> npt.NDArray[np.float32]:
        """Asymmetric distances between the query and codes: the sum of one entry a sub-space.

        Equal, to the bit, to ``np.sum(dtable[range(M), codes], axis=1)``.

        Args:
            codes: integers (n, M); any integer dtype.
            threads: how many threads to use; None for all cores.

        Returns:
            float32 (n,): squared distances for "l2" (smaller is nearer), inner products for "dot" and "cosine" (larger
            is nearer). Not sorted.

        Raises:
            DimensionError: `codes` is not of shape (n, M).
            InvalidCodeError: a code is not in 0..Ks-1.

        Examples:
            >>> DistanceTable(np.array([[0, 1], [4, 9]], dtype=np.float32)).adist([[0, 1], [1, 0]])
            array([9., 5.], dtype=float32)
        """
        M, Ks = self.dtable.shape
        return active().adist(
            np.ascontiguousarray(self.dtable), as_codes(codes, M, Ks), threads=resolve_threads(threads)
        )

    def __repr__(self) -> str:
        M, Ks = self.dtable.shape
        return f"DistanceTable(M={M}, Ks={Ks}, metric={self.metric!r})"
