"""nanopq's two converters: `nanopq_to_faiss` and `faiss_to_nanopq`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.interop.faiss.live import FaissBuilder, contents_of
from pqstore.interop.nanopq import from_nanopq
from pqstore.quantizer import OPQ, PQ

__all__ = ["faiss_to_nanopq", "nanopq_to_faiss"]


def nanopq_to_faiss(pq_nanopq: Any) -> Any:
    """A quantizer as an empty Faiss index with the same codewords, rotation and metric.

    Faiss knows powers of two only: for other Ks the codebook is filled up with copies of each sub-space's codeword 0,
    which change no distance. "cosine" becomes a NormalizationTransform and METRIC_INNER_PRODUCT.

    Args:
        pq_nanopq: a trained `PQ` or `OPQ`, or one of nanopq.

    Returns:
        ``faiss.IndexPQ``; for an OPQ or "cosine", ``faiss.IndexPreTransform``.

    Raises:
        MissingDependencyError: Faiss is not installed.
        NotTrainedError: it is not trained.
        UnsupportedIndexError: Ks beyond 65,536.
    """
    quantizer = pq_nanopq if isinstance(pq_nanopq, (PQ, OPQ)) else from_nanopq(pq_nanopq)
    return FaissBuilder(quantizer, with_ids=False).finish()


def faiss_to_nanopq(pq_faiss: Any) -> tuple[PQ | OPQ, npt.NDArray[Any]]:
    """A Faiss index as a quantizer and its codes.

    Args:
        pq_faiss: IndexPQ or IndexPQFastScan with 1 to 16 bits, also inside IndexPreTransform (rotations), IndexIDMap,
            IndexIDMap2 and IndexRefine. Ids are left behind; `import_index` keeps them.

    Returns:
        `PQ`, or `OPQ` if vectors are rotated first, with the metric of the index; and codes of `code_dtype`, (n, M).

    Raises:
        MissingDependencyError: Faiss is not installed.
        NotTrainedError: the index is not trained.
        UnsupportedIndexError: it has no counterpart.
    """
    contents = contents_of(pq_faiss)
    quantizer = contents.quantizer()
    codes = np.empty((contents.rows, contents.M), dtype=quantizer.code_dtype)
    start = 0
    for block in contents.code_blocks():
        codes[start : start + len(block)] = block
        start += len(block)
    return quantizer, codes
