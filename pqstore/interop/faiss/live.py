"""Faiss indexes in memory: taken apart, and built. Needs the faiss package."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32
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
    looked_up,
    padded_codewords,
    partitioned,
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
    walked = _walk(faiss, index, name)
    contents = FaissContents(
        where=name,
        is_trained=bool(index.is_trained),
        metric_type=int(index.metric_type),
        chain=tuple(walked.chain),
        vectors=walked.vectors,
        **_codes_and_ids(faiss, walked, index, name),
    )
    check_sizes(contents)
    return contents


@dataclass(slots=True)
class _Walked:
    """What lies around the index that has the codes."""

    inner: Any
    chain: list[Transform]
    ids: npt.NDArray[np.int64] | None = None
    vectors: F32 | None = None

    @property
    def numbered(self) -> bool:
        """Whether there is something here that goes by row."""
        return self.ids is not None or self.vectors is not None


def _walk(faiss: Any, index: Any, name: str) -> _Walked:
    """From the outside in, to the index that has the codes."""
    walked = _Walked(faiss.downcast_index(index), [])
    while True:
        inner = walked.inner
        if isinstance(inner, faiss.IndexIDMap):
            if walked.ids is not None:
                raise UnsupportedIndexError(f"{name}: an IndexIDMap inside an IndexIDMap has no single list of ids")
            walked.ids = _view(faiss, inner.id_map, np.int64)
            inner = inner.index
        elif isinstance(inner, faiss.IndexPreTransform):
            walked.chain.extend(_transform(faiss, inner.chain.at(i), name) for i in range(inner.chain.size()))
            inner = inner.index
        elif isinstance(inner, faiss.IndexRefine):
            flat = faiss.downcast_index(inner.refine_index)
            # Behind a transform they are no longer the vectors that were added.
            if isinstance(flat, faiss.IndexFlat) and not walked.chain:
                values = _view(faiss, flat.codes, np.uint8, owner=index).view(np.float32)
                walked.vectors = values.reshape(int(flat.ntotal), int(flat.d))
            inner = inner.base_index
        else:
            return walked
        walked.inner = faiss.downcast_index(inner)


def _codes_and_ids(faiss: Any, walked: _Walked, index: Any, name: str) -> dict[str, Any]:
    """The fields of `FaissContents` that the index with the codes says; it lives as long as `index`."""
    inner = walked.inner
    found: dict[str, Any] = {"rows": int(index.ntotal), "fast_scan": None, "ids": walked.ids}
    if type(inner) is faiss.IndexIVFPQ:
        found |= _partitions(faiss, inner, name)
        numbers = looked_up(name, found["ids"], int(index.ntotal)) if walked.numbered else found["ids"]
        found["order"] = None if walked.vectors is None else numbers
        found["ids"] = numbers if walked.ids is None else walked.ids[numbers]
    elif isinstance(inner, (faiss.IndexPQFastScan, faiss.IndexPQ)):
        if isinstance(inner, faiss.IndexPQFastScan):
            found["fast_scan"] = FastScanBlocks(int(inner.bbs), int(inner.M2))
        elif inner.encode_signs:
            raise UnsupportedIndexError(f"{name}: codes of signs (encode_signs) have no counterpart in pqstore")
        found["codes"] = _view(faiss, inner.codes, np.uint8, owner=index)
    else:
        raise UnsupportedIndexError(
            f"{type(inner).__name__} has no counterpart in pqstore: it takes IndexPQ, IndexPQFastScan and IndexIVFPQ, "
            "also inside IndexPreTransform, IndexIDMap, IndexIDMap2 and IndexRefine"
        )
    pq = inner.pq
    centroids = _view(faiss, pq.centroids, np.float32).reshape(int(pq.M), 1 << int(pq.nbits), -1).copy()
    return {**found, "M": int(pq.M), "nbits": int(pq.nbits), "centroids": centroids}


def _partitions(faiss: Any, ivf: Any, name: str) -> dict[str, Any]:
    """Codes, ids and residuals of an IndexIVFPQ: copies."""
    coarse, lists, size = faiss.downcast_index(ivf.quantizer), ivf.invlists, int(ivf.code_size)
    if not isinstance(coarse, faiss.IndexFlat):
        raise UnsupportedIndexError(
            f"{name}: the partitions of an IndexIVFPQ are found by {type(coarse).__name__}; pqstore reads those of a "
            "flat index"
        )
    parts = []
    for number in range(int(ivf.nlist)):
        rows = int(lists.list_size(number))
        if rows:
            codes = np.array(faiss.rev_swig_ptr(lists.get_codes(number), rows * size))
            parts.append((codes, np.array(faiss.rev_swig_ptr(lists.get_ids(number), rows))))
        else:
            parts.append((np.empty(0, dtype=np.uint8), np.empty(0, dtype=np.int64)))
    centroids = _view(faiss, coarse.codes, np.uint8).view(np.float32).reshape(int(coarse.ntotal), -1)
    return partitioned(centroids, bool(ivf.by_residual), parts)


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
