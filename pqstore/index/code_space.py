"""Between the quantizer's labels and the labels on disk; between queries and the tables of a scan."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.errors import InvalidVectorError
from pqstore.kernels import CodeLayout, scan_labels
from pqstore.quantizer import OPQ, PQ

__all__ = ["CodeSpace"]

F32 = npt.NDArray[np.float32]
Codes = npt.NDArray[Any]

Quantizer = PQ | OPQ


class CodeSpace:
    """What an index knows of its quantizer: encoding into stored labels, and distance tables over stored labels.

    Codewords of one byte are stored under labels that make scans fast (`pqstore.kernels.scan_labels`); codes
    of 4 bits and wide codes are stored as they are.
    """

    def __init__(self, quantizer: Quantizer, metric: str, labels: npt.NDArray[np.uint8] | None = None) -> None:
        """`labels` uint8 (M, Ks) as read from an index; without them, a block8 layout gets new ones."""
        self.quantizer = quantizer
        self.metric = metric
        self.layout = CodeLayout(quantizer.M, quantizer.Ks)
        if labels is None and self.layout.kind == "block8":
            labels = scan_labels(quantizer.codewords)
        self.labels = labels
        # The coder measures by the metric of the index, which need not be the one the quantizer came with.
        self._coder = quantizer.with_metric(metric)
        self._unlabels: npt.NDArray[np.uint8] | None = None
        self._scan_coder = self._coder
        if labels is not None:
            self._unlabels = np.zeros((quantizer.M, self.layout.table_size), dtype=np.uint8)
            np.put_along_axis(self._unlabels, labels.astype(np.int64), np.arange(quantizer.Ks, dtype=np.uint8)[None], 1)
            if quantizer.Ks == self.layout.table_size:
                # With every label in use, tables over permuted codewords are the permuted tables: nothing to move.
                permuted = np.take_along_axis(quantizer.codewords, self._unlabels[:, :, None].astype(np.int64), axis=1)
                self._scan_coder = self._coder.with_codewords(permuted)

    @property
    def larger_is_nearer(self) -> bool:
        return self.metric != "l2"

    def encode(self, vectors: F32, threads: int) -> Codes:
        """Vectors float32 (n, D) -> stored labels (n, M)."""
        return self.to_stored(self._coder.encode(vectors, threads=threads))

    def to_stored(self, codes: Codes) -> Codes:
        """The quantizer's labels (n, M) -> stored labels."""
        return codes if self.labels is None else _relabel(self.labels, codes)

    def from_stored(self, stored: Codes) -> Codes:
        """Stored labels (n, M) -> the quantizer's labels."""
        labels = stored if self._unlabels is None else _relabel(self._unlabels, stored)
        return labels.astype(self.quantizer.code_dtype, copy=False)

    def scan_tables(self, queries: F32) -> F32:
        """Tables for a scan over stored labels: float32 (n, M, layout.table_size), least is nearest.

        Raises:
            InvalidVectorError: a query is so large that its distances are beyond float32.
        """
        tables = self._scan_coder.dtables(queries)
        if self.larger_is_nearer:
            np.negative(tables, out=tables)
        if not np.isfinite(tables).all():
            raise InvalidVectorError(
                "a query is so large that its distances overflow float32: scale vectors and queries"
            )
        if tables.shape[2] == self.layout.table_size:
            return tables
        padded = np.full((*tables.shape[:2], self.layout.table_size), np.inf, dtype=np.float32)
        if self.labels is None:
            padded[:, :, : self.quantizer.Ks] = tables
        else:
            np.put_along_axis(padded, self.labels[None].astype(np.int64), tables, axis=2)
        return padded


def _relabel(labels: npt.NDArray[np.uint8], codes: Codes) -> npt.NDArray[np.uint8]:
    """``labels[m, codes[i, m]]`` for every i and m."""
    renamed = np.empty(codes.shape, dtype=np.uint8)
    for m in range(codes.shape[1]):
        np.take(labels[m], codes[:, m], out=renamed[:, m], mode="clip")
    return renamed
