"""`PQStoreClient`: an index as a client of VectorDBBench: loaded in batches, optimized once, asked by processes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pqstore.errors import MissingDependencyError
from pqstore.index import Filter, Index
from pqstore.quantizer import Metric

try:
    from pydantic import BaseModel
    from vectordb_bench.backend.clients.api import DBCaseConfig, DBConfig, MetricType, VectorDB
    from vectordb_bench.backend.filter import Filter as CaseFilter
    from vectordb_bench.backend.filter import FilterOp
except ImportError as error:
    raise MissingDependencyError("VectorDBBench's client needs vectordb-bench: pip install vectordb-bench") from error

__all__ = ["PQStoreCaseConfig", "PQStoreClient", "PQStoreConfig"]

_METRICS: dict[str, Metric] = {"L2": "l2", "COSINE": "cosine", "IP": "dot", "DP": "dot"}
_LABEL, _NUMBER = "label", "number"


class PQStoreConfig(DBConfig):
    """Where the index lies."""

    path: str

    def to_dict(self) -> dict[str, Any]:
        """As the client takes it."""
        return {"path": self.path}


class PQStoreCaseConfig(BaseModel, DBCaseConfig):
    """How it is built and asked."""

    metric_type: MetricType | None = None
    originals: str | None = "float16"
    partitions: int | str | None = "auto"
    """Inverted lists; None: every code is read."""
    rerank: int | None = None
    """Candidates that are measured by the vectors themselves; None: the index chooses."""
    scan: int | None = None
    """Rows of lists that a query reads; None: the index chooses."""

    def index_param(self) -> dict[str, Any]:
        """Arguments of `Index.create`."""
        metric = "COSINE" if self.metric_type is None else self.metric_type.value
        return {"metric": _METRICS[metric], "originals": self.originals}

    def search_param(self) -> dict[str, Any]:
        """Arguments of `Index.search`."""
        return {"rerank": self.rerank, "scan": self.scan}


class PQStoreClient(VectorDB):
    """An index in a directory, which each process of the benchmark opens for itself."""

    supported_filter_types = (FilterOp.NonFilter, FilterOp.NumGE, FilterOp.StrEqual)
    name = "pqstore"
    thread_safe = True

    def __init__(
        self,
        dim: int,
        db_config: dict[str, Any],
        db_case_config: PQStoreCaseConfig | None,
        collection_name: str = "",
        drop_old: bool = False,
        with_scalar_labels: bool = False,
        **_: Any,
    ) -> None:
        """Make an empty index where `drop_old` is asked for, or there is none."""
        self._case = db_case_config or PQStoreCaseConfig()
        self._path = str(db_config["path"]) + (f"-{collection_name}" if collection_name else "")
        self._labels = with_scalar_labels
        self._where: Filter | None = None
        self._index: Index | None = None
        if drop_old:
            shutil.rmtree(self._path, ignore_errors=True)
        fields = [_NUMBER, _LABEL] if with_scalar_labels else [_NUMBER]
        settings: dict[str, Any] = self._case.index_param()
        Index.open_or_create(
            self._path, dim=dim, fields=fields, train="manual", durability="relaxed", **settings
        ).close()

    @contextmanager
    def init(self) -> Iterator[None]:
        """Open the index, for a ``with`` block."""
        self._index = Index.open(self._path)
        try:
            yield
        finally:
            self._index.close()
            self._index = None

    @property
    def index(self) -> Index:
        """The index, within `init`."""
        assert self._index is not None, "clients are used within `with client.init():`"
        return self._index

    def insert_embeddings(
        self, embeddings: Any, metadata: list[int], labels_data: list[str] | None = None, **_: Any
    ) -> tuple[int, Exception | None]:
        """Add vectors under their numbers, in one transaction: (how many, what went wrong)."""
        payloads: list[dict[str, Any]] = [{_NUMBER: number} for number in metadata]
        if self._labels and labels_data is not None:
            payloads = [{**payload, _LABEL: label} for payload, label in zip(payloads, labels_data, strict=True)]
        try:
            self.index.add(embeddings, metadata, "replace", payloads=payloads)
        except Exception as error:  # as the interface has it
            return 0, error
        return len(metadata), None

    def optimize(self, data_size: int | None = None) -> None:  # noqa: ARG002 # of the interface
        """Train, and make inverted lists, where there are vectors enough."""
        if self.index.phase == "exact" and len(self.index) >= self.index.quantizer.Ks:
            self.index.train()
        if self._case.partitions is not None and self.index.phase == "codes":
            self.index.partition(self._case.partitions)

    def prepare_filter(self, filters: CaseFilter) -> None:
        """The filter of all searches to come."""
        if filters.type == FilterOp.NonFilter:
            self._where = None
        elif filters.type == FilterOp.NumGE:
            self._where = {_NUMBER: {"$gte": filters.int_value}}
        elif filters.type == FilterOp.StrEqual:
            self._where = {_LABEL: filters.label_value}
        else:
            raise ValueError(f"this client has no filter of the kind {filters.type}")

    def search_embedding(self, query: list[float], k: int = 100, **_: Any) -> list[int]:
        """The numbers of the k nearest, by one thread."""
        asked = self._case.search_param()
        if asked["rerank"] is not None:
            asked["rerank"] = max(k, asked["rerank"])
        hits = self.index.search(query, k, 1, where=self._where, **asked)
        return [id for id in hits.ids.tolist() if id >= 0]

    def __getstate__(self) -> dict[str, Any]:
        """Without the handle: a process opens its own."""
        return {**self.__dict__, "_index": None}
