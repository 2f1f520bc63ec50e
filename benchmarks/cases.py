"""What is measured: data sets, codebooks that all subjects share, and the subjects themselves."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import faiss
import numpy as np
import numpy.typing as npt

import pqstore
from benchmarks.data import directory
from pqstore.arrays import F32
from pqstore.kernels import CodeChunk, CodeLayout, active

__all__ = [
    "Case",
    "Searcher",
    "faiss_fast_scan",
    "faiss_pq",
    "index_search",
    "kernel_search",
    "load_case",
    "read",
    "relabelled",
    "train_set",
]

Codes = npt.NDArray[np.uint8]

# Rows of a chunk, as an index seals its segments.
SEGMENT_ROWS = 65_536


class Searcher(Protocol):
    def __call__(self, queries: F32, k: int, threads: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Distances and rows, each (n, k)."""


@dataclass(frozen=True, slots=True)
class Case:
    """One data set under one codebook: every subject searches the same codes."""

    name: str
    codewords: F32  # (M, Ks, Ds), trained by Faiss
    codes: Codes  # (n, M)
    queries: F32
    neighbors: npt.NDArray[np.int64] | None  # exact nearest rows; None where rows were repeated


@cache
def read(data_set: str, part: str) -> npt.NDArray[Any]:
    array = np.load(directory() / data_set / f"{part}.npy")
    return array if part == "neighbors" else array.astype(np.float32)


def train_set(data_set: str, rows: int) -> F32:
    """`rows` training vectors; where the set has fewer, base vectors follow."""
    vectors = np.concatenate((read(data_set, "train"), read(data_set, "base")))
    return np.ascontiguousarray(vectors[:rows])


@cache
def trained_codewords(data_set: str, M: int, Ks: int) -> F32:
    vectors = read(data_set, "train")
    quantizer = faiss.ProductQuantizer(vectors.shape[1], M, Ks.bit_length() - 1)
    quantizer.cp.min_points_per_centroid = 1
    quantizer.train(vectors)
    return faiss.vector_to_array(quantizer.centroids).reshape(M, Ks, -1)


def load_case(data_set: str, M: int, Ks: int = 256, rows: int | None = None, jitter: float = 0.0) -> Case:
    """The codes of `rows` base vectors; more than there are repeat them, each time with normal noise of `jitter`."""
    codewords, base = trained_codewords(data_set, M, Ks), read(data_set, "base")
    rows = rows or len(base)
    rng = np.random.default_rng(0)
    parts = []
    for first in range(0, rows, len(base)):
        vectors = base[: rows - first]
        if first:
            vectors = vectors + rng.normal(0, jitter, vectors.shape).astype(np.float32)
        parts.append(active().encode(vectors, codewords, threads=os.cpu_count() or 1).astype(np.uint8))
    neighbors = read(data_set, "neighbors") if rows == len(base) else None
    return Case(
        f"{data_set} {rows // 1000} k, {M}x{Ks.bit_length() - 1}",
        codewords,
        np.concatenate(parts),
        read(data_set, "queries"),
        neighbors,
    )


def relabelled(case: Case) -> tuple[F32, Codes]:
    """Codewords and codes under the labels that an index stores, where it renames them."""
    M, Ks, _ = case.codewords.shape
    if CodeLayout(M, Ks).kind != "block8":
        return case.codewords, case.codes
    labels = active().scan_labels(case.codewords)
    codewords = np.empty_like(case.codewords)
    for m in range(M):
        codewords[m, labels[m]] = case.codewords[m]
    return codewords, labels[np.arange(M), case.codes]


@contextmanager
def kernel_search(case: Case) -> Iterator[Searcher]:
    """Distance tables and scan, without an index around them."""
    M, Ks, _ = case.codewords.shape
    layout = CodeLayout(M, Ks)
    codewords, codes = relabelled(case)
    chunks = tuple(
        CodeChunk(layout.pack(codes[first : first + SEGMENT_ROWS]), min(SEGMENT_ROWS, len(codes) - first), first)
        for first in range(0, len(codes), SEGMENT_ROWS)
    )

    def search(queries: F32, k: int, threads: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        return active().scan(chunks, layout, active().dtables(queries, codewords, "l2"), k, threads)

    yield search


@contextmanager
def index_search(case: Case) -> Iterator[Searcher]:
    """`Index.search` on an index on disk, in a temporary directory."""
    M, Ks, _ = case.codewords.shape
    quantizer = pqstore.PQ(M, Ks, verbose=False)
    quantizer.codewords = case.codewords
    with (
        tempfile.TemporaryDirectory() as directory,
        pqstore.Index.create(Path(directory) / "benchmark.pqs", quantizer, durability="relaxed") as index,
    ):
        for first in range(0, len(case.codes), SEGMENT_ROWS):
            codes = case.codes[first : first + SEGMENT_ROWS]
            index.add_codes(codes, ids=np.arange(first, first + len(codes)))

        def search(queries: F32, k: int, threads: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
            hits = index.search(queries, k, threads=threads)
            return hits.distances, hits.ids

        yield search


def faiss_pq(case: Case) -> Searcher:
    """Faiss IndexPQ over the same codes."""
    M, Ks, Ds = case.codewords.shape
    index = faiss.IndexPQ(M * Ds, M, Ks.bit_length() - 1)
    faiss.copy_array_to_vector(case.codewords.ravel(), index.pq.centroids)
    faiss.copy_array_to_vector(case.codes.ravel(), index.codes)
    index.is_trained, index.ntotal = True, len(case.codes)
    return _faiss_search(index)


def faiss_fast_scan(case: Case) -> Searcher:
    """Faiss IndexPQFastScan over the same 4-bit codes."""
    M, Ks, Ds = case.codewords.shape
    index = faiss.IndexPQFastScan(M * Ds, M, Ks.bit_length() - 1)
    faiss.copy_array_to_vector(case.codewords.ravel(), index.pq.centroids)
    index.is_trained = True
    for first in range(0, len(case.codes), SEGMENT_ROWS):
        codes = case.codes[first : first + SEGMENT_ROWS]
        # What codes decode to is encoded as these codes again.
        index.add(case.codewords[np.arange(M), codes].reshape(len(codes), -1))
    return _faiss_search(index)


def _faiss_search(index: Any) -> Searcher:
    def search(queries: F32, k: int, threads: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        if faiss.omp_get_max_threads() != threads:
            faiss.omp_set_num_threads(threads)
        return index.search(queries, k)

    return search
