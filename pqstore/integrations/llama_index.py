"""`PQStoreVectorStore`: an index as LlamaIndex's vector store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from pqstore.errors import MissingDependencyError
from pqstore.index import Filter, Index
from pqstore.index.asynchronous import in_thread
from pqstore.integrations.answers import all_records, likeness
from pqstore.integrations.llama_index_filters import translated
from pqstore.integrations.opening import OwnsIndex, opened_index
from pqstore.quantizer import Metric

try:
    from llama_index.core.bridge.pydantic import PrivateAttr
    from llama_index.core.schema import BaseNode
    from llama_index.core.vector_stores.types import (
        BasePydanticVectorStore,
        MetadataFilters,
        VectorStoreQuery,
        VectorStoreQueryMode,
        VectorStoreQueryResult,
    )
    from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict
except ImportError as error:
    raise MissingDependencyError(
        "LlamaIndex's vector store needs llama-index-core: pip install 'pqstore[llama-index]'"
    ) from error

__all__ = ["PQStoreVectorStore"]

_DOCUMENT = "ref_doc_id"


class PQStoreVectorStore(OwnsIndex, BasePydanticVectorStore):
    """Nodes in an index with str ids, with their texts and metadata, which are payloads.

    The index begins empty and trains itself as it grows. When a call returns, what it changed is on the disk; the same
    path given again finds it, so `persist` has nothing to do. Coroutines leave the index to a thread.
    """

    stores_text: bool = True
    is_embedding_query: bool = True
    path: str
    embed_dim: int
    metric: str = "cosine"

    _index: Index = PrivateAttr()

    def __init__(
        self,
        path: str | os.PathLike[str],
        embed_dim: int | None = None,
        metric: Metric | None = None,
        *,
        fields: Iterable[str] = (),
        readonly: bool = False,
        **settings: Any,
    ) -> None:
        """Open the index at a path, or make an empty one where there is none yet.

        Args:
            path: The directory of the index.
            embed_dim: Dimension of the embeddings; a new index needs it, None asks the one that is there.
            metric: "cosine", "dot" or "l2"; None takes that of the index, "cosine" for a new one.
            fields: Keys of the metadata that get an index, for quick filters; of a new index.
            readonly: Open what is there, for queries only.
            settings: Of a new index: ``train_at=``, ``originals=``, ``partitions=`` and others of `Index.create`.

        Raises:
            DimensionError, ValueError: the index that is there has another dimension, metric or kind of ids.
            ValueError: there is no index, and no `embed_dim`.
            IndexNotFoundError: nothing is there, with `readonly`. What `Index.open_or_create` raises.
        """
        names = [fields] if isinstance(fields, str) else fields
        for flag in ("stores_text", "is_embedding_query"):  # LlamaIndex's `from_dict` names all that `to_dict` told
            settings.pop(flag, None)
        index = opened_index(
            path,
            embed_dim,
            metric,
            (_DOCUMENT, *names),
            readonly,
            settings,
            dim_of_new=lambda: _without_dimension(path),
        )
        super().__init__(path=os.fspath(path), embed_dim=index.dim, metric=index.metric)
        self._index = index

    @classmethod
    def class_name(cls) -> str:
        """The name by which LlamaIndex knows it."""
        return "PQStoreVectorStore"

    @property
    def client(self) -> Index:
        """The index itself, for what LlamaIndex has no name for: counts, transactions, snapshots, backups."""
        return self._index

    # Changing it

    def add(self, nodes: Sequence[BaseNode], **add_kwargs: Any) -> list[str]:
        """Store nodes in one transaction; one whose id is there already takes the place of the old one.

        Args:
            nodes: With an embedding; those without are found by filters and by id alone.
            add_kwargs: ``threads=`` and ``timeout=`` go to `Index.add`; others are passed over.

        Returns:
            Their ids.
        """
        by_id = {node.node_id: node for node in nodes}
        if by_id:
            passed = {name: add_kwargs[name] for name in ("threads", "timeout") if name in add_kwargs}
            vectors = [node.embedding for node in by_id.values()]
            payloads = [node_to_metadata_dict(node, remove_text=False) for node in by_id.values()]
            self._index.add(vectors, list(by_id), "replace", payloads=payloads, **passed)
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:  # noqa: ARG002 # of the interface
        """Remove all nodes of a document, in one transaction."""
        self._index.delete({_DOCUMENT: ref_doc_id})

    def delete_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **_: Any) -> None:
        """Remove nodes by id, by filter or, with both, those of the ids that the filter finds. With neither all go."""
        where = _where(filters)
        if where is not None:
            self._index.delete(where, ids=node_ids)
        elif node_ids is not None:
            self._index.remove(node_ids, missing="ignore")
        else:
            self._index.clear()

    def clear(self) -> None:
        """Remove all nodes."""
        self._index.clear()

    def persist(self, persist_path: str, fs: Any = None) -> None:  # of the interface
        """Nothing: all that was acknowledged is on the disk, at `path`."""

    # Asking it

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """Nodes by id, in that order, by filter or both; with neither all. Ids that are not there are left out."""
        where = _where(filters)
        if node_ids is not None:
            if where is not None:
                allowed = {record.id for record in all_records(self._index, where, ())}
                node_ids = [id for id in node_ids if id in allowed]
            records = self._index.get(node_ids, missing="ignore")
            return [_node(record.payload, record.vector) for record in records if record is not None]
        return [
            _node(record.payload, record.vector) for record in all_records(self._index, where, ("payload", "vector"))
        ]

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The nodes nearest to the embedding of a query, with similarities, of which more is nearer: cosines, inner
        products, or 1 / (1 + squared distance) for "l2". They come without their embeddings, which `get_nodes` brings.

        Args:
            query: In mode "default", or "mmr" (maximal marginal relevance), with ``mmr_threshold`` from 0, difference,
                to 1, nearness.
            kwargs: ``candidates=``: how many nodes "mmr" chooses from; ``mmr_threshold=``; and what `Index.search`
                takes, as ``rerank=`` or ``nprobe=``.

        Raises:
            ValueError: the query has another mode, or no embedding.
        """
        if query.query_embedding is None:
            raise ValueError("the query has no embedding: this store searches by embeddings")
        asked = dict(kwargs)
        threshold = asked.pop("mmr_threshold", query.mmr_threshold)
        if query.mode == VectorStoreQueryMode.MMR:
            asked["mmr"] = 0.5 if threshold is None else threshold
        elif query.mode != VectorStoreQueryMode.DEFAULT:
            raise ValueError(f"the query mode must be default or mmr, got {query.mode.value!r}")
        hits = self._index.search(
            query.query_embedding,
            query.similarity_top_k,
            where=_where(query.filters, query.doc_ids),
            allow=query.node_ids or None,  # retrievers ask for all with an empty list
            include="payload",
            **asked,
        ).to_dicts()
        return VectorStoreQueryResult(
            nodes=[_node(hit["payload"], None) for hit in hits],
            similarities=[likeness(self._index.metric, hit["distance"]) for hit in hits],
            ids=[hit["id"] for hit in hits],
        )

    # In a thread, for event loops

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """`add`, in a thread."""
        return await in_thread(self.add, nodes, **kwargs)

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """`delete`, in a thread."""
        await in_thread(self.delete, ref_doc_id, **delete_kwargs)

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """`delete_nodes`, in a thread."""
        await in_thread(self.delete_nodes, node_ids, filters, **delete_kwargs)

    async def aclear(self) -> None:
        """`clear`, in a thread."""
        await in_thread(self.clear)

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """`get_nodes`, in a thread."""
        return await in_thread(self.get_nodes, node_ids, filters)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """`query`, in a thread."""
        return await in_thread(self.query, query, **kwargs)


def _without_dimension(path: str | os.PathLike[str]) -> int:
    raise ValueError(f"there is no index at {os.fspath(path)} yet: a new one needs embed_dim=, of your embedding model")


def _where(filters: MetadataFilters | None, doc_ids: Sequence[str] | None = None) -> Filter | None:
    """What filters and documents to search in say; None: nothing."""
    parts: list[Filter] = [{_DOCUMENT: {"$in": list(doc_ids)}}] if doc_ids else []
    if filters is not None and filters.filters:
        parts.append(translated(filters))
    return {"$and": parts} if parts else None


def _node(payload: Any, vector: Any) -> BaseNode:
    node = metadata_dict_to_node(payload or {})
    if vector is not None:
        node.embedding = vector.tolist()
    return node
