"""The facts of a product quantizer: its settings and its codewords."""

from __future__ import annotations

import operator

import numpy as np
import numpy.typing as npt

from pqstore.errors import DimensionError, InvalidVectorError
from pqstore.quantizer.codes import CodeType, code_type
from pqstore.quantizer.distance_table import Metric, check_metric

__all__ = ["Codebook"]


class Codebook:
    """M, Ks and the metric, fixed; the codewords, float32 (M, Ks, Ds), None until trained."""

    __slots__ = ("Ks", "M", "_codewords", "metric", "verbose")

    def __init__(self, M: int, Ks: int, metric: str, verbose: bool) -> None:
        self.M, self.Ks = operator.index(M), operator.index(Ks)
        if self.M < 1:
            raise ValueError(f"M, the number of sub-spaces, must be at least 1, got {M}")
        if not 1 <= self.Ks <= 1 << 32:
            raise ValueError(f"Ks, the number of codewords of a sub-space, must be in 1..2**32, got {Ks}")
        self.metric: Metric = check_metric(metric)
        self.verbose = bool(verbose)
        self._codewords: npt.NDArray[np.float32] | None = None

    def with_metric(self, metric: str) -> Codebook:
        """The same codewords, not copied, under another metric."""
        other = Codebook(self.M, self.Ks, metric, self.verbose)
        other._codewords = self._codewords
        return other

    @property
    def code_dtype(self) -> CodeType:
        return code_type(self.Ks)

    @property
    def Ds(self) -> int | None:  # noqa: N802
        return None if self._codewords is None else self._codewords.shape[2]

    @property
    def D(self) -> int | None:  # noqa: N802
        return None if self._codewords is None else self.M * self._codewords.shape[2]

    @property
    def codewords(self) -> npt.NDArray[np.float32] | None:
        return self._codewords

    @codewords.setter
    def codewords(self, codewords: npt.ArrayLike | None) -> None:
        if codewords is None:
            self._codewords = None
            return
        array = np.asarray(codewords)
        if array.ndim != 3 or array.shape[:2] != (self.M, self.Ks) or array.shape[2] == 0:
            raise DimensionError(
                f"codewords must have shape (M, Ks, Ds) with M = {self.M} and Ks = {self.Ks}, got {array.shape}"
            )
        if array.dtype.kind not in "fiu":
            raise InvalidVectorError(f"codewords must be real numbers, got dtype {array.dtype}")
        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(array, dtype=np.float32)
        if not np.isfinite(array).all():
            raise InvalidVectorError("codewords must be finite float32 numbers, got NaN, infinity or a larger value")
        self._codewords = array
