"""`PQStoreDocumentStore` and `PQStoreEmbeddingRetriever`: an index as Haystack's document store."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pqstore.errors import DuplicateIdError, InvalidFilterError, MissingDependencyError
from pqstore.index import Filter, Include, Index
from pqstore.index.asynchronous import in_thread
from pqstore.integrations.haystack_filters import translated
from pqstore.quantizer import Metric

try:
    from haystack import component, default_from_dict, default_to_dict
    from haystack.dataclasses import ByteStream, Document, SparseEmbedding
    from haystack.document_stores.errors import DuplicateDocumentError
    from haystack.document_stores.types import DuplicatePolicy, FilterPolicy, apply_filter_policy
    from haystack.errors import FilterError
    from haystack.utils.filters import document_matches_filter
except ImportError as error:
    raise MissingDependencyError("Haystack's document store needs haystack-ai: pip install 'pqstore[haystack]'") from (
        error
    )

__all__ = ["PQStoreDocumentStore", "PQStoreEmbeddingRetriever"]

# Keys of a payload; those of the metadata have "meta." before them, so that each gets an index, and is changed, alone.
_ID, _CONTENT, _BLOB, _SPARSE = "id", "content", "blob", "sparse_embedding"
_META = "meta."
_PAGE = 1000
_TYPES = {"str": "keyword", "bool": "boolean", "number": "float", "datetime": "datetime"}


class PQStoreDocumentStore:
    """Documents in an index with str ids, with embeddings or without.

    The index begins empty and trains itself as it grows; contents and metadata are payloads. When a call returns, what
    it changed is on the disk; the same path given again finds it. Each method has a twin that ends with "_async".

    Filters mean what Haystack says. What the index cannot say by itself (dates that are written in several ways) it
    narrows down, and Haystack's own function looks through the rest.
    """

    def __init__(
        self,
        path: str,
        embedding_dim: int = 768,
        metric: Metric = "cosine",
        fields: Sequence[str] = (),
        originals: str | None = "float32",
        settings: dict[str, Any] | None = None,
    ) -> None:
        """Open the index at a path, or make an empty one where there is none yet.

        Args:
            path: The directory of the index.
            embedding_dim: Dimension of the embeddings.
            metric: "cosine", "dot" or "l2".
            fields: Keys of the metadata that get an index, for quick filters; of a new index.
            originals: How embeddings themselves are kept, as for `Index.create`.
            settings: Others of `Index.create`, of a new index, as ``{"train_at": 5000}``.

        Raises:
            DimensionError, ValueError: the index that is there has another dimension, metric or kind of ids.
            What `Index.open_or_create` raises.
        """
        self._given: dict[str, Any] = {
            "path": os.fspath(path),
            "embedding_dim": embedding_dim,
            "metric": metric,
            "fields": list(fields),
            "originals": originals,
            "settings": dict(settings or {}),
        }
        names = [_META + name.removeprefix(_META) for name in fields]
        kept: Any = originals
        self._index = Index.open_or_create(
            path, id_type="str", metric=metric, dim=embedding_dim, originals=kept, fields=names, **(settings or {})
        )

    @property
    def index(self) -> Index:
        """The index itself, for what Haystack has no name for: transactions, snapshots, backups."""
        return self._index

    def close(self) -> None:
        """Close the index; closing twice is allowed."""
        self._index.close()

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` makes this store of."""
        made: dict[str, Any] = default_to_dict(self, **self._given)
        return made

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> PQStoreDocumentStore:
        """The store that `to_dict` told of."""
        made: PQStoreDocumentStore = default_from_dict(cls, data)
        return made

    # Changing it

    def write_documents(self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        """Store documents in one transaction, and say how many were written.

        Args:
            documents: With an embedding or without.
            policy: What to do with ids that are there: FAIL (as NONE is), SKIP, OVERWRITE.

        Raises:
            ValueError: these are no documents.
            DuplicateDocumentError: an id is there already, or twice in the list, by FAIL; nothing was written.
            InvalidPayloadError: metadata that cannot be stored.
        """
        if not isinstance(documents, list) or not all(isinstance(document, Document) for document in documents):
            raise ValueError("write_documents takes a list of Documents")
        by_id: dict[str, Document] = {}
        for document in documents:
            if document.id in by_id and policy in (DuplicatePolicy.FAIL, DuplicatePolicy.NONE):
                raise DuplicateDocumentError(f"the id {document.id!r} is twice among the documents")
            if document.id not in by_id or policy == DuplicatePolicy.OVERWRITE:
                by_id[document.id] = document
        if not by_id:
            return 0
        ids, kept = list(by_id), list(by_id.values())
        vectors, payloads = [document.embedding for document in kept], [_payload_of(document) for document in kept]
        conflict: Any = {DuplicatePolicy.SKIP: "skip", DuplicatePolicy.OVERWRITE: "replace"}.get(policy, "error")
        try:
            with self._index.transaction() as txn:
                before = len(txn)
                txn.add(vectors, ids, conflict, payloads=payloads)
                written = len(txn) - before
        except DuplicateIdError as error:
            raise DuplicateDocumentError(str(error)) from error
        return written if policy == DuplicatePolicy.SKIP else len(documents)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Remove documents; ids that are not there are passed over."""
        self._index.remove(document_ids, missing="ignore")

    def delete_all_documents(self, recreate_index: bool = False) -> None:
        """Remove all documents; with `recreate_index` their disk space is given back too."""
        self._index.clear()
        if recreate_index:
            self._index.compact()

    def delete_by_filter(self, filters: dict[str, Any]) -> int:
        """Remove what a filter finds, and say how many that were."""
        where, ids = self._found(filters)
        if where is None:
            return self._index.clear() if ids is None else self._index.remove(ids, missing="ignore")
        return self._index.delete(where)

    def update_by_filter(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """Change the metadata of what a filter finds, the keys that are named; how many documents that were."""
        changes = {_META + key: value for key, value in meta.items()}
        where, ids = self._found(filters)
        if where is None:
            return self._index.update_payload(list(self._index) if ids is None else ids, changes)
        return self._index.update_payload(payloads=changes, where=where)

    # Asking it

    def count_documents(self) -> int:
        """How many documents there are."""
        return len(self._index)

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """What a filter finds, or all; in the order in which the index has ids."""
        where, ids = self._found(filters)
        if ids is None:
            return list(self._documents(where, ("payload", "vector")))
        return [_document(record) for record in self._index.get(ids, missing="ignore") if record is not None]

    def count_documents_by_filter(self, filters: dict[str, Any]) -> int:
        """How many documents a filter finds."""
        where, ids = self._found(filters)
        return self._index.count(where) if ids is None else len(ids)

    def count_unique_metadata_by_filter(self, filters: dict[str, Any], metadata_fields: list[str]) -> dict[str, int]:
        """How many values each field has in what a filter finds."""
        return {
            field.removeprefix(_META): self.get_metadata_field_unique_values(field, size=0, filters=filters)[1]
            for field in metadata_fields
        }

    def get_metadata_fields_info(self) -> dict[str, dict[str, str]]:
        """The fields of the metadata, and of what type each is."""
        found = {}
        for name, kinds in self._index.field_kinds().items():
            known = [_TYPES.get(kind, "keyword") for kind in kinds if kind != "null"]
            if name.startswith(_META) and known:
                found[name.removeprefix(_META)] = {"type": known[0] if len(set(known)) == 1 else "keyword"}
        return found

    def get_metadata_field_min_max(self, metadata_field: str) -> dict[str, Any]:
        """The lowest and the highest value of a field: of numbers, else of dates, else of texts; None without any."""
        name = _META + metadata_field.removeprefix(_META)
        for kind in ("number", "datetime", "str"):
            low, high = self._index.field_range(name, kind=kind)
            if low is not None:
                return {"min": low, "max": high}
        return {"min": None, "max": None}

    def get_metadata_field_unique_values(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        """Values of a field, those that contain `search_term` (case does not count), and how many there are in all.

        Args:
            metadata_field: With "meta." before it or without.
            search_term: None: all values.
            from_: How many to leave out, of their order.
            size: At most so many.
            filters: Only of documents that this finds.
        """
        name, term = _META + metadata_field.removeprefix(_META), (search_term or "").casefold()
        found: dict[tuple[str, Any], Any] = {}
        where, ids = self._found(filters)
        records = (
            self._payloads(where)
            if ids is None
            else (
                record.payload or {} for record in self._index.get(ids, include="payload", missing="ignore") if record
            )
        )
        for payload in records:
            value = payload.get(name)
            for one in value if isinstance(value, list) else [value]:
                if one is not None and term in str(one).casefold():
                    found[type(one).__name__, one if not isinstance(one, (dict, list)) else str(one)] = one
        ordered = [found[key] for key in sorted(found, key=lambda key: (key[0], key[1]))]
        return ordered[from_ : from_ + size], len(ordered)

    def embedding_retrieval(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        return_embedding: bool = False,
        **search: Any,
    ) -> list[Document]:
        """The documents nearest to an embedding, each with its score, of which more is nearer.

        Args:
            query_embedding: (D,).
            filters: Only of what this finds.
            top_k: How many.
            return_embedding: Whether they bring their embeddings.
            search: Other arguments of `Index.search`, as ``rerank=``, ``mmr=`` or ``group_by=``.
        """
        where, ids = self._found(filters)
        include: Include = ("payload", "vector") if return_embedding else ("payload",)
        if ids is not None:
            search["allow"] = ids
        hits = self._index.search(query_embedding, top_k, where=where, include=include, **search)
        larger = self._index.metric != "l2"
        return [
            replace(
                _document_of(hit["id"], hit["payload"], hit.get("vector")),
                score=hit["distance"] if larger else 1 / (1 + hit["distance"]),
            )
            for hit in hits.to_dicts()
        ]

    def _found(self, filters: dict[str, Any] | None) -> tuple[Filter | None, list[str] | None]:
        """(filter of the index, None), or (None, ids) where Haystack has to look through what that finds."""
        if not filters:
            return None, None
        try:
            where, is_exact = translated(filters)
        except InvalidFilterError as error:
            raise FilterError(str(error)) from error
        if is_exact:
            return where, None
        ids = [
            document.id for document in self._documents(where, "payload") if document_matches_filter(filters, document)
        ]
        return None, ids

    def _documents(self, where: Filter | None, include: Include) -> Iterator[Document]:
        after = None
        while True:
            page = self._index.scroll(where, limit=_PAGE, after=after, include=include)
            yield from map(_document, page.records)
            if page.after is None:
                return
            after = page.after

    def _payloads(self, where: Filter | None) -> Iterator[Mapping[str, Any]]:
        after = None
        while True:
            page = self._index.scroll(where, limit=_PAGE, after=after)
            for record in page.records:
                yield record.payload or {}
            if page.after is None:
                return
            after = page.after

    # In a thread, for event loops

    async def count_documents_async(self) -> int:
        """`count_documents`, in a thread."""
        return await in_thread(self.count_documents)

    async def filter_documents_async(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """`filter_documents`, in a thread."""
        return await in_thread(self.filter_documents, filters)

    async def write_documents_async(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """`write_documents`, in a thread."""
        return await in_thread(self.write_documents, documents, policy)

    async def delete_documents_async(self, document_ids: list[str]) -> None:
        """`delete_documents`, in a thread."""
        await in_thread(self.delete_documents, document_ids)

    async def delete_all_documents_async(self, recreate_index: bool = False) -> None:
        """`delete_all_documents`, in a thread."""
        await in_thread(self.delete_all_documents, recreate_index)

    async def delete_by_filter_async(self, filters: dict[str, Any]) -> int:
        """`delete_by_filter`, in a thread."""
        return await in_thread(self.delete_by_filter, filters)

    async def update_by_filter_async(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """`update_by_filter`, in a thread."""
        return await in_thread(self.update_by_filter, filters, meta)

    async def count_documents_by_filter_async(self, filters: dict[str, Any]) -> int:
        """`count_documents_by_filter`, in a thread."""
        return await in_thread(self.count_documents_by_filter, filters)

    async def count_unique_metadata_by_filter_async(
        self, filters: dict[str, Any], metadata_fields: list[str]
    ) -> dict[str, int]:
        """`count_unique_metadata_by_filter`, in a thread."""
        return await in_thread(self.count_unique_metadata_by_filter, filters, metadata_fields)

    async def get_metadata_fields_info_async(self) -> dict[str, dict[str, str]]:
        """`get_metadata_fields_info`, in a thread."""
        return await in_thread(self.get_metadata_fields_info)

    async def get_metadata_field_min_max_async(self, metadata_field: str) -> dict[str, Any]:
        """`get_metadata_field_min_max`, in a thread."""
        return await in_thread(self.get_metadata_field_min_max, metadata_field)

    async def get_metadata_field_unique_values_async(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        """`get_metadata_field_unique_values`, in a thread."""
        return await in_thread(self.get_metadata_field_unique_values, metadata_field, search_term, from_, size, filters)

    async def embedding_retrieval_async(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        return_embedding: bool = False,
        **search: Any,
    ) -> list[Document]:
        """`embedding_retrieval`, in a thread."""
        return await in_thread(self.embedding_retrieval, query_embedding, filters, top_k, return_embedding, **search)


@component
class PQStoreEmbeddingRetriever:
    """Finds the documents of a `PQStoreDocumentStore` that are nearest to an embedding; a component of pipelines."""

    def __init__(
        self,
        document_store: PQStoreDocumentStore,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        return_embedding: bool = False,
        filter_policy: FilterPolicy | str = FilterPolicy.REPLACE,
        search: dict[str, Any] | None = None,
    ) -> None:
        """Find documents in this store.

        Args:
            document_store: The store.
            filters: Only of what this finds.
            top_k: How many documents.
            return_embedding: Whether they bring their embeddings.
            filter_policy: Whether filters of a run take the place of `filters` (REPLACE) or narrow them (MERGE).
            search: Other arguments of `Index.search`, as ``{"mmr": 0.5}``.
        """
        if not isinstance(document_store, PQStoreDocumentStore):
            raise TypeError(f"document_store must be a PQStoreDocumentStore, got {type(document_store).__name__}")
        self.document_store = document_store
        self.filters = filters
        self.top_k = top_k
        self.return_embedding = return_embedding
        self.filter_policy = FilterPolicy.from_str(filter_policy) if isinstance(filter_policy, str) else filter_policy
        self.search = search or {}

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` makes this component of."""
        made: dict[str, Any] = default_to_dict(
            self,
            document_store=self.document_store.to_dict(),
            filters=self.filters,
            top_k=self.top_k,
            return_embedding=self.return_embedding,
            filter_policy=self.filter_policy.value,
            search=self.search,
        )
        return made

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> PQStoreEmbeddingRetriever:
        """The component that `to_dict` told of."""
        parameters = dict(data["init_parameters"])
        parameters["document_store"] = PQStoreDocumentStore.from_dict(parameters["document_store"])
        made: PQStoreEmbeddingRetriever = default_from_dict(cls, {**data, "init_parameters": parameters})
        return made

    @component.output_types(documents=list[Document])
    def run(
        self, query_embedding: list[float], filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Find the documents nearest to an embedding.

        Args:
            query_embedding: (D,).
            filters, top_k: In place of those of the component; see `filter_policy`.
        """
        return {
            "documents": self.document_store.embedding_retrieval(
                *self._asked(query_embedding, filters, top_k), **self.search
            )
        }

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query_embedding: list[float], filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """`run`, in a thread."""
        asked = self._asked(query_embedding, filters, top_k)
        return {"documents": await self.document_store.embedding_retrieval_async(*asked, **self.search)}

    def _asked(
        self, query_embedding: list[float], filters: dict[str, Any] | None, top_k: int | None
    ) -> tuple[list[float], dict[str, Any] | None, int, bool]:
        filters = apply_filter_policy(self.filter_policy, self.filters, filters)
        return query_embedding, filters, self.top_k if top_k is None else top_k, self.return_embedding


def _payload_of(document: Document) -> dict[str, Any]:
    payload: dict[str, Any] = {_ID: document.id}
    if document.content is not None:
        payload[_CONTENT] = document.content
    if document.blob is not None:
        blob = document.blob
        payload[_BLOB] = {"data": bytes(blob.data), "meta": blob.meta, "mime_type": blob.mime_type}
    if document.sparse_embedding is not None:
        payload[_SPARSE] = document.sparse_embedding.to_dict()
    payload |= {_META + key: value for key, value in document.meta.items()}
    return payload


def _document(record: Any) -> Document:
    return _document_of(record.id, record.payload, record.vector)


def _document_of(id: str, payload: Mapping[str, Any] | None, vector: Any) -> Document:
    kept = payload or {}
    blob, sparse = kept.get(_BLOB), kept.get(_SPARSE)
    return Document(
        id=id,
        content=kept.get(_CONTENT),
        blob=None if blob is None else ByteStream(**blob),
        meta={key.removeprefix(_META): value for key, value in kept.items() if key.startswith(_META)},
        embedding=None if vector is None else vector.tolist(),
        sparse_embedding=None if sparse is None else SparseEmbedding.from_dict(sparse),
    )
