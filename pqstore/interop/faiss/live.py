"""Faiss indexes in memory: taken apart, and built. Needs the faiss package."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.errors import MissingDependencyError, UnsupportedIndexError
from pqstore.interop.faiss.bits import pack_rows, row_bytes
from pqstore.interop.faiss.contents import (
    INNER_PRODUCT,
    L2,
    FaissContents,
    FastScanBlocks,
    Linear,
    Normalization,
    Transform,
    padded_codewords,
)
from pqstore.quantizer import OPQ, Quantizer

__all__ = ["FaissBuilder", "contents_of", "faiss_module"]


def faiss_module() -> Any:
    """The faiss package.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        return importlib.import_module("faiss")
    except ModuleNotFoundError as error:
        if error.name != "faiss":
            raise
        raise MissingDependencyError("Faiss is not installed: pip install 'pqstore[faiss]'") from error


def contents_of(index: Any) -> FaissContents:
    """Take a live Faiss index apart. The result keeps the index alive, and sees its codes without a copy.

    Raises:
        UnsupportedIndexError: a type of index or of transform that has no counterpart.
    """
    faiss = faiss_module()
    name = type(index).__name__
    if not isinstance(index, faiss.Index):
        raise UnsupportedIndexError(f"expected a Faiss index, got {type(index).__module__}.{name}")
    metric_type, is_trained, rows = int(index.metric_type), bool(index.is_trained), int(index.ntotal)
    chain: list[Transform] = []
    ids: npt.NDArray[np.int64] | None = None
    inner = faiss.downcast_index(index)
    while True:
        if isinstance(inner, faiss.IndexIDMap):
            if ids is not None:
                raise UnsupportedIndexError(f"{name}: an IndexIDMap inside an IndexIDMap has no single list of ids")
            ids = _view(faiss, inner.id_map, np.int64)
            inner = faiss.downcast_index(inner.index)
        elif isinstance(inner, faiss.IndexPreTransform):
            chain.extend(_transform(faiss, inner.chain.at(i), name) for i in range(inner.chain.size()))
            inner = faiss.downcast_index(inner.index)
        elif isinstance(inner, faiss.IndexRefine):
            inner = faiss.downcast_index(inner.base_index)
        else:
            break
    fast_scan = None
    if isinstance(inner, faiss.IndexPQFastScan):
        fast_scan = FastScanBlocks(int(inner.bbs), int(inner.M2))
    elif not isinstance(inner, faiss.IndexPQ):
        raise UnsupportedIndexError(
            f"{type(inner).__name__} has no counterpart in pqstore: it takes IndexPQ and IndexPQFastScan, also inside "
            "IndexPreTransform, IndexIDMap, IndexIDMap2 and IndexRefine"
        )
    elif inner.encode_signs:
        raise UnsupportedIndexError(f"{name}: codes of signs (encode_signs) have no counterpart in pqstore")
    pq = inner.pq
    contents = FaissContents(
        where=name,
        is_trained=is_trained,
        metric_type=metric_type,
        chain=tuple(chain),
        M=int(pq.M),
        nbits=int(pq.nbits),
        centroids=_view(faiss, pq.centroids, np.float32).reshape(int(pq.M), 1 << int(pq.nbits), -1).copy(),
        rows=rows,
        codes=_view(faiss, inner.codes, np.uint8, owner=index),
        fast_scan=fast_scan,
        ids=ids,
    )
    check_sizes(contents)
    return contents


def check_sizes(contents: FaissContents) -> None:
    """Codes and ids are as many as the rows.

    Raises:
        UnsupportedIndexError: if not so, or if codes are wider than 16 bits.
    """
    if not 1 <= contents.nbits <= 16:
        raise UnsupportedIndexError(f"{contents.where} has codes of {contents.nbits} bits: pqstore takes 1 to 16")
    expected = contents.rows * row_bytes(contents.M, contents.nbits)
    if contents.fast_scan is not None:
        vectors, M2 = contents.fast_scan.block_vectors, contents.fast_scan.M2
        if contents.nbits != 4 or vectors < 1 or vectors % 32 or M2 != contents.M + contents.M % 2:
            raise UnsupportedIndexError(
                f"{contents.where} has fast-scan blocks of {vectors} vectors, {M2} sub-spaces for M = {contents.M}, "
                f"{contents.nbits} bits: pqstore reads blocks of a multiple of 32, M rounded up to even, 4 bits"
            )
        expected = -(-contents.rows // vectors) * vectors * M2 // 2
    if contents.codes.size < expected or (contents.fast_scan is None and contents.codes.size != expected):
        raise UnsupportedIndexError(
            f"{contents.where} has {contents.codes.size} bytes of codes; {contents.rows} rows need {expected}"
        )
    if contents.ids is not None and len(contents.ids) != contents.rows:
        raise UnsupportedIndexError(f"{contents.where} has {len(contents.ids)} ids for {contents.rows} rows")


def _view(faiss: Any, vector: Any, dtype: type, owner: Any = None) -> npt.NDArray[Any]:
    """A C++ vector as an array: without a copy if `owner`, which then lives as long as the array, is given."""
    size = int(vector.size())
    if size == 0:
        return np.empty(0, dtype=dtype)
    view = faiss.rev_swig_ptr(vector.data(), size)
    if owner is None:
        return np.array(view, dtype=dtype)
    # The memory belongs to the index, which SWIG's array does not keep alive.
    held = view.view(_Held)
    held.owner = owner
    return held


class _Held(np.ndarray[Any, Any]):
    """An array over memory of `owner`; slices keep hold of it through their base."""

    owner: Any = None


def _transform(faiss: Any, transform: Any, where: str) -> Transform:
    transform = faiss.downcast_VectorTransform(transform)
    if isinstance(transform, faiss.LinearTransform):
        A = _view(faiss, transform.A, np.float32).reshape(transform.d_out, transform.d_in)
        return Linear(A, _view(faiss, transform.b, np.float32) if transform.have_bias else None)
    if isinstance(transform, faiss.CenteringTransform):
        mean = _view(faiss, transform.mean, np.float32)
        return Linear(np.eye(len(mean), dtype=np.float32), -mean)
    if isinstance(transform, faiss.NormalizationTransform):
        return Normalization(float(transform.norm))
    raise UnsupportedIndexError(f"{where}: a {type(transform).__name__} has no counterpart in pqstore")


class FaissBuilder:
    """A Faiss index in memory that takes our codes.

    An IndexPQ; inside an IndexPreTransform if vectors are normalized or rotated first; inside an IndexIDMap2 if it is
    to have ids.
    """

    def __init__(self, quantizer: Quantizer, with_ids: bool) -> None:
        faiss = self._faiss = faiss_module()
        codewords, self._nbits = padded_codewords(quantizer)
        D = codewords.shape[0] * codewords.shape[2]
        metric = {L2: faiss.METRIC_L2, INNER_PRODUCT: faiss.METRIC_INNER_PRODUCT}[
            L2 if quantizer.metric == "l2" else INNER_PRODUCT
        ]
        self._pq = faiss.IndexPQ(D, quantizer.M, self._nbits, metric)
        faiss.copy_array_to_vector(codewords.reshape(-1), self._pq.pq.centroids)
        self._pq.is_trained = True
        chain = []
        if quantizer.metric == "cosine":
            chain.append(faiss.NormalizationTransform(D, 2.0))
        if isinstance(quantizer, OPQ):
            matrix = faiss.OPQMatrix(D, quantizer.M)
            assert quantizer.R is not None
            faiss.copy_array_to_vector(np.ascontiguousarray(quantizer.R.T).reshape(-1), matrix.A)
            matrix.is_trained = True
            matrix.set_is_orthonormal()
            chain.append(matrix)
        self._index = self._pq
        if chain:
            self._index = faiss.IndexPreTransform(self._pq)
            for transform in reversed(chain):
                self._index.prepend_transform(transform)
            self._index.is_trained = True
        self._mapped = faiss.IndexIDMap2(self._index) if with_ids else None  # takes empty indexes only
        self._ids: list[npt.NDArray[np.int64]] = []

    def add(self, codes: npt.NDArray[Any], ids: npt.NDArray[np.int64] | None = None) -> None:
        """Add rows of codes (n, M), with ids int64 (n,) if the index has ids."""
        self._pq.add_sa_codes(pack_rows(codes, self._nbits))
        if ids is not None:
            self._ids.append(ids)

    def finish(self) -> Any:
        """The index, searchable."""
        self._index.ntotal = self._pq.ntotal
        if self._mapped is None:
            return self._index
        ids = np.concatenate([np.empty(0, dtype=np.int64), *self._ids])
        self._faiss.copy_array_to_vector(ids, self._mapped.id_map)
        self._mapped.ntotal, self._mapped.is_trained = self._index.ntotal, True
        self._mapped.construct_rev_map()
        return self._mapped
