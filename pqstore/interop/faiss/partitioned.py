"""Rows in inverted lists as a Faiss IndexIVFPQ: a file written without Faiss, or what Faiss reads from one."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from os import PathLike
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, I64
from pqstore.interop.faiss.bits import pack_rows, row_bytes
from pqstore.interop.faiss.contents import INNER_PRODUCT, L2, padded_codewords
from pqstore.interop.faiss.live import faiss_module
from pqstore.quantizer import OPQ, Quantizer
from pqstore.whole_file import whole_file

__all__ = ["lists_index", "write_lists"]

Lists = Iterable[tuple[I64, npt.NDArray[Any]]]


def lists_index(quantizer: Quantizer, centroids: F32, sizes: I64, lists: Lists) -> Any:
    """The index as Faiss has it; arguments as of `write_lists`.

    Raises:
        MissingDependencyError: Faiss is not installed.
        UnsupportedIndexError: Ks beyond 65,536.
    """
    import tempfile  # noqa: PLC0415 # for these few alone

    faiss = faiss_module()
    with tempfile.TemporaryDirectory() as directory:
        name = os.path.join(directory, "lists.faiss")  # noqa: PTH118 - Faiss takes a str
        write_lists(name, quantizer, centroids, sizes, lists)
        return faiss.read_index(name)


def write_lists(path: str | PathLike[str], quantizer: Quantizer, centroids: F32, sizes: I64, lists: Lists) -> None:
    """Write an IndexIVFPQ with codes that are no residuals, in an IndexPreTransform if vectors are turned first.

    The file replaces an older one only when it is whole.

    Args:
        path: where.
        quantizer: with the metric to search by.
        centroids: of the partitions, float32 (P, D), in the space of the codewords.
        sizes: int64 (P,), rows of each list.
        lists: (ids int64 (n,), codes (n, M)) of each partition in order, taken one by one.

    Raises:
        UnsupportedIndexError: Ks beyond 65,536.
        OSError: the file cannot be written.
    """
    with whole_file(path) as stream:
        _write(stream, quantizer, centroids, sizes, lists)


def _write(stream: BinaryIO, quantizer: Quantizer, centroids: F32, sizes: I64, lists: Lists) -> None:
    codewords, nbits = padded_codewords(quantizer)
    M = len(codewords)
    (P, D), rows = centroids.shape, int(sizes.sum())
    metric_type = L2 if quantizer.metric == "l2" else INNER_PRODUCT

    def header(code: bytes, count: int, metric: int = metric_type) -> None:
        stream.write(code + struct.pack("<iqqqBi", D, count, 1 << 20, 1 << 20, 1, metric))

    chain = _transforms(quantizer, D)
    if chain:
        header(b"IxPT", rows)
        stream.write(struct.pack("<i", len(chain)))
        for transform in chain:
            stream.write(transform + struct.pack("<iiB", D, D, 1))
    header(b"IwPQ", rows)
    stream.write(struct.pack("<QQ", P, 1))
    header(b"IxF2" if metric_type == L2 else b"IxFI", P)
    stream.write(struct.pack("<Q", centroids.size) + np.ascontiguousarray(centroids, dtype="<f4").tobytes())
    stream.write(struct.pack("<BQ", 0, 0))  # no direct map
    code_size = row_bytes(M, nbits)
    stream.write(struct.pack("<BQ", 0, code_size))  # codes are no residuals
    stream.write(struct.pack("<QQQQ", D, M, nbits, codewords.size) + codewords.astype("<f4", copy=False).tobytes())
    stream.write(b"ilar" + struct.pack("<QQ", P, code_size) + b"full" + struct.pack("<Q", P))
    stream.write(sizes.astype("<u8").tobytes())
    for count, (ids, codes) in zip(sizes.tolist(), lists, strict=True):
        assert len(ids) == len(codes) == count
        stream.write(pack_rows(codes, nbits).data)
        stream.write(np.ascontiguousarray(ids, dtype="<i8").data)


def _transforms(quantizer: Quantizer, D: int) -> list[bytes]:
    """What is done to vectors first: made of length 1, rotated."""
    chain = [b"VNrm" + struct.pack("<f", 2.0)] if quantizer.metric == "cosine" else []
    if isinstance(quantizer, OPQ):
        assert quantizer.R is not None
        matrix = np.ascontiguousarray(quantizer.R.T, dtype="<f4").tobytes()
        chain.append(b"LTra" + struct.pack("<BQ", 0, D * D) + matrix + struct.pack("<Q", 0))
    return chain
