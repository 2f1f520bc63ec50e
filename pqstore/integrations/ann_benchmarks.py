"""`PQStore`: an index behind the interface by which ann-benchmarks measures algorithms (its `BaseANN`)."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.index import Index
from pqstore.kernels import active
from pqstore.quantizer import OPQ, PQ, Metric

__all__ = ["PQStore"]

_METRICS: dict[str, Metric] = {"euclidean": "l2", "angular": "cosine"}


class PQStore:
    """One index of product-quantized codes, re-ranked by the vectors, in a directory of its own.

    ann-benchmarks asks for one algorithm a build (`fit`), and for its queries under several arguments
    (`set_query_arguments`). Its own class need not be there: it calls what is named here, and nothing else.
    """

    def __init__(self, metric: str, build: Mapping[str, Any] | None = None) -> None:
        """Of what the configuration says of a build.

        Args:
            metric: "euclidean" or "angular".
            build: "M" (sub-spaces; one that does not divide the dimension is raised to the next that does, so that one
                configuration serves all data sets) and "Ks" of the codes, "opq" (whether to rotate), "originals"
                ("float16", or None for codes alone), "partitions" (a number of lists, or "auto").
        """
        if metric not in _METRICS:
            raise NotImplementedError(f"pqstore measures euclidean and angular distances, not {metric}")
        self._metric = _METRICS[metric]
        self._build = dict(build or {})
        self._asked: dict[str, Any] = {}
        self._M: int | None = None
        self._place: str | None = None
        self._index: Index | None = None
        self._found: Sequence[npt.NDArray[Any]] | None = None

    def fit(self, X: npt.NDArray[Any]) -> None:
        """Train, encode and store vectors (n, D), numbered from 0."""
        self.done()
        self._place = tempfile.mkdtemp(prefix="pqstore-")
        dim = int(X.shape[1])
        made: Any = OPQ if self._build.get("opq") else PQ
        least = min(dim, self._build.get("M") or max(1, dim // 8))
        self._M = next(M for M in range(least, dim + 1) if dim % M == 0)
        quantizer = made(M=self._M, Ks=self._build.get("Ks", 256), verbose=False)
        with Index.create(
            Path(self._place) / "index",
            quantizer,
            metric=self._metric,
            dim=dim,
            originals=self._build.get("originals", "float16"),
            train="manual",
            bulk=True,
        ) as index:
            index.add(X)
            index.train()
        self._index = Index.open(Path(self._place) / "index")
        if self._build.get("partitions"):
            self._index.partition(self._build["partitions"])

    def set_query_arguments(self, rerank: int = 0, nprobe: Any = None) -> None:
        """How queries are answered from now on: so many candidates by their originals, so many lists ("all": every
        code)."""
        self._asked = {"rerank": rerank, "nprobe": nprobe}

    def query(self, q: npt.NDArray[Any], n: int) -> npt.NDArray[Any]:
        """The numbers of the n nearest of one query (D,), by one thread."""
        (found,) = self._search(q[None], n, threads=1)
        return found

    def batch_query(self, X: npt.NDArray[Any], n: int) -> None:
        """Look up all queries (q, D) with all cores, for `get_batch_results`."""
        self._found = self._search(X, n, threads=None)

    def get_batch_results(self) -> Sequence[npt.NDArray[Any]]:
        """The numbers of the nearest of each query, of the last `batch_query`."""
        assert self._found is not None, "batch_query comes first"
        return self._found

    def _search(self, queries: npt.NDArray[Any], n: int, threads: int | None) -> Sequence[npt.NDArray[Any]]:
        assert self._index is not None, "fit comes first"
        asked = {**self._asked}
        if asked.get("rerank") and asked["rerank"] < n:
            asked["rerank"] = n
        found = self._index.search(queries, n, threads, **asked)
        is_there = np.isfinite(found.distances)
        if is_there.all():
            return found.ids
        return [ids[there] for ids, there in zip(found.ids, is_there, strict=True)]  # without padding

    def get_memory_usage(self) -> float:
        """Bytes of the index on the disk, in kB: it is searched where it lies."""
        return (
            0.0
            if self._index is None
            else sum(path.stat().st_size for path in Path(self._index.path).rglob("*") if path.is_file()) / 1024
        )

    def get_additional(self) -> dict[str, Any]:
        """What is written down with the results."""
        return {"kernels": active().name, "M": self._M or 0}

    def done(self) -> None:
        """Remove the index."""
        if self._index is not None:
            self._index.close()
            self._index = None
        if self._place is not None:
            shutil.rmtree(self._place, ignore_errors=True)
            self._place = None

    def __str__(self) -> str:
        """The name of a point in the plots."""
        built = ", ".join(f"{key}={value}" for key, value in sorted(self._build.items()))
        asked = ", ".join(f"{key}={value}" for key, value in self._asked.items() if value)
        return f"pqstore({', '.join(filter(None, [built, asked]))})"
