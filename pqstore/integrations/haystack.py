"""`PQStoreDocumentStore` and `PQStoreEmbeddingRetriever`: an index as Haystack's document store."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from pqstore.errors import DuplicateIdError, InvalidFilterError, MissingDependencyError
from pqstore.index import Filter, Include, Index
from pqstore.index.asynchronous import in_thread
from pqstore.integrations.answers import all_records, likeness
from pqstore.integrations.haystack_filters import translated
from pqstore.integrations.opening import OwnsIndex, opened_index
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
_VALUES = 1000  # of a field, read at a time
_USUAL_DIM = 768  # of Haystack's stores
_TYPES = {"str": "keyword", "bool": "boolean", "number": "float", "datetime": "datetime"}


class PQStoreDocumentStore(OwnsIndex):
    """Documents in an index with str ids, with embeddings or without.

    The index begins empty and trains itself as it grows; contents and metadata are payloads. When a call returns, what
    it changed is on the disk; the same path given again finds it. Each method has a twin that ends with "_async".

    Filters mean what Haystack says. What the index cannot say by itself (dates that are written in several ways) it
    narrows down, and Haystack's own function looks through the rest.
    """

    def __init__(
        self,
        path: str,
        embedding_dim: int | None = None,
        metric: Metric | None = None,
        fields: Sequence[str] = (),
        originals: str | None = "default",
        settings: dict[str, Any] | None = None,
        readonly: bool = False,
    ) -> None:
        """Open the index at a path, or make an empty one where there is none yet.

        Args:
            path: The directory of the index.
            embedding_dim: Dimension of the embeddings. None: that of the index, 768 for a new one.
            metric: "cosine", "dot" or "l2". None: that of the index, "cosine" for a new one.
            fields: Keys of the metadata that get an index, for quick filters; of a new index.
            originals: How embeddings themselves are kept, as for `Index.create`. "default": as the index has them,
                "float32" in a new one.
            settings: Others of `Index.create`, of a new index, as ``{"train_at": 5000}``.
            readonly: Open what is there, for questions only.

        Raises:
            DimensionError, ValueError: the index that is there has another dimension, metric or kind of ids.
            IndexNotFoundError: nothing is there, with `readonly`. What `Index.open_or_create` raises.
        """
        self._given: dict[str, Any] = {
            "path": os.fspath(path),
            "embedding_dim": embedding_dim,
            "metric": metric,
            "fields": list(fields),
            "originals": originals,
            "settings": dict(settings or {}),
            "readonly": readonly,
        }
        self._index = opened_index(
            path,
            embedding_dim,
            metric,
            [name.removeprefix(_META) for name in fields],
            readonly,
            {**(settings or {}), **({} if originals == "default" else {"originals": originals})},
            dim_of_new=lambda: _USUAL_DIM,
            prefix=_META,
            of_new={"originals": "float32"},
        )

    @property
    def index(self) -> Index:
        """The index itself, for what Haystack has no name for: transactions, snapshots, backups."""
        return self._index

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
        """Remove what a filter finds, in one transaction, and say how many that were."""
        with self._index.transaction() as txn:  # nobody writes between the look and the change
            where = self._where(filters)
            return txn.clear() if where is None else txn.delete(where)

    def update_by_filter(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """Change the metadata of what a filter finds, the keys that are named, in one transaction; how many documents
        that were."""
        changes = {_META + key: value for key, value in meta.items()}
        with self._index.transaction() as txn:
            return txn.update_payload(payloads=changes, where=self._where(filters) or {_ID: {"$exists": True}})

    # Asking it

    def count_documents(self) -> int:
        """How many documents there are."""
        return len(self._index)

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """What a filter finds, or all; in the order in which the index has ids."""
        return [_document(record) for record in all_records(self._index, self._where(filters), ("payload", "vector"))]

    def count_documents_by_filter(self, filters: dict[str, Any]) -> int:
        """How many documents a filter finds."""
        return self._index.count(self._where(filters))

    def count_unique_metadata_by_filter(self, filters: dict[str, Any], metadata_fields: list[str]) -> dict[str, int]:
        """How many values each field has in what a filter finds."""
        where = self._where(filters)
        return {field.removeprefix(_META): len(self._values(field, where)) for field in metadata_fields}

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
        Members of lists are values; maps are not.

        Args:
            metadata_field: With "meta." before it or without.
            search_term: None: all values.
            from_: How many to leave out, of their order.
            size: At most so many.
            filters: Only of documents that this finds.
        """
        term = (search_term or "").casefold()
        found = [value for value in self._values(metadata_field, self._where(filters)) if term in str(value).casefold()]
        return found[from_ : from_ + size], len(found)

    def _values(self, field: str, where: Filter | None) -> list[Any]:
        """The distinct values of a field of the metadata, in their order."""
        name = _META + field.removeprefix(_META)
        found, after = [], None
        while True:
            page = self._index.field_values(name, where, limit=_VALUES, after=after)
            found += [one.value for one in page.values if one.value is not None]
            if page.after is None:
                break
            after = page.after
        # Haystack tells 1 from 1.0, the index does not.
        has_numbers = any(type(value) in (int, float) for value in found)
        return self._values_in_payloads(name, where) if has_numbers else found

    def _values_in_payloads(self, name: str, where: Filter | None) -> list[Any]:
        found: dict[tuple[str, Any], Any] = {}
        for record in all_records(self._index, where, "payload"):
            value = (record.payload or {}).get(name)
            for one in value if isinstance(value, list) else [value]:
                if one is not None and not isinstance(one, (dict, list)):
                    found[type(one).__name__, one] = one
        return [found[key] for key in sorted(found, key=lambda key: (key[0], key[1]))]

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
        include: Include = ("payload", "vector") if return_embedding else ("payload",)
        hits = self._index.search(query_embedding, top_k, where=self._where(filters), include=include, **search)
        metric = self._index.metric
        return [
            _document_of(hit["id"], hit["payload"], hit.get("vector"), likeness(metric, hit["distance"]))
            for hit in hits.to_dicts()
        ]

    def _where(self, filters: dict[str, Any] | None) -> Filter | None:
        """The filter of the index; where that finds too much, Haystack looks through what it finds."""
        if not filters:
            return None
        try:
            where, is_exact = translated(filters)
        except InvalidFilterError as error:
            raise FilterError(str(error)) from error
        if is_exact:
            return where
        narrowed = map(_document, all_records(self._index, where, "payload"))
        ids = [document.id for document in narrowed if document_matches_filter(filters, document)]
        return {"$and": [where, {_ID: {"$in": ids}}]}

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
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
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


def _document_of(id: str, payload: Mapping[str, Any] | None, vector: Any, score: float | None = None) -> Document:
    kept = payload or {}
    blob, sparse = kept.get(_BLOB), kept.get(_SPARSE)
    return Document(
        id=id,
        content=kept.get(_CONTENT),
        blob=None if blob is None else ByteStream(**blob),
        meta={key.removeprefix(_META): value for key, value in kept.items() if key.startswith(_META)},
        embedding=None if vector is None else vector.tolist(),
        score=score,
        sparse_embedding=None if sparse is None else SparseEmbedding.from_dict(sparse),
    )
