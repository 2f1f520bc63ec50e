"""`PQStoreVectorStore`: an index as LangChain's vector store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pqstore.errors import DimensionError, MissingDependencyError
from pqstore.index import Filter, Include, Index, SearchHits
from pqstore.index.asynchronous import in_thread
from pqstore.integrations.answers import likeness
from pqstore.integrations.nested_filter import under
from pqstore.integrations.opening import OwnsIndex, opened_index
from pqstore.integrations.text_batch import TextBatch, as_text_batch
from pqstore.quantizer import Metric

try:
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.vectorstores import VectorStore
except ImportError as error:
    raise MissingDependencyError(
        "LangChain's vector store needs langchain-core: pip install 'pqstore[langchain]'"
    ) from error

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["PQStoreVectorStore"]

# A payload has these two keys, and nothing else: no key of the metadata can be taken for the text.
_TEXT = "text"
_METADATA = "metadata"


class PQStoreVectorStore(OwnsIndex, VectorStore):
    """Documents in an index with str ids, found by their embeddings.

    The index begins empty, trains itself as it grows, and keeps all that there is: text and metadata are payloads. When
    a call returns, what it changed is on the disk; the same path given again finds it. Methods that embed have twins
    that await the model's own (``aembed_documents``, ``aembed_query``), and leave the index to a thread.

    ``filter=`` of searches is a filter of `pqstore.Index.search` on the metadata. Searches take its other arguments too
    (``rerank=``, ``allow=``, ``nprobe=``, ...); those that it does not know are refused.

    Examples:
        >>> from langchain_core.embeddings import DeterministicFakeEmbedding
        >>> from pqstore.integrations.langchain import PQStoreVectorStore
        >>> import tempfile
        >>> with PQStoreVectorStore(DeterministicFakeEmbedding(size=32), tempfile.mkdtemp() + "/notes") as store:
        ...     ids = store.add_texts(["red", "green"], [{"n": 1}, {"n": 2}], ids=["a", "b"])
        ...     found = store.similarity_search("green", k=1, filter={"n": {"$gte": 1}})
        >>> found[0].id, found[0].page_content, found[0].metadata
        ('b', 'green', {'n': 2})
    """

    def __init__(
        self,
        embedding: Embeddings,
        path: str | os.PathLike[str],
        *,
        dim: int | None = None,
        metric: Metric | None = None,
        fields: Iterable[str] = (),
        readonly: bool = False,
        relevance_score_fn: Callable[[float], float] | None = None,
        **settings: Any,
    ) -> None:
        """Open the index at a path, or make an empty one where there is none yet.

        Args:
            embedding: The model; the same one whenever the store is opened.
            path: The directory of the index.
            dim: Dimension of the embeddings. None asks the index that is there; for a new one, the model, by embedding
                a word.
            metric: "cosine", "l2" or "dot"; None takes that of the index, "cosine" for a new one.
            fields: Keys of the metadata that get an index, for quick filters; of a new index.
            readonly: Open what is there, for searches only.
            relevance_score_fn: From what `similarity_search_with_score` gives to 0 .. 1, in place of the own one: for
                "cosine" and "dot" the score itself within 0 .. 1; for "l2" 1 / (1 + squared distance).
            settings: Of a new index: ``train_at=``, ``originals=``, ``partitions=`` and others of `Index.create`.

        Raises:
            DimensionError, ValueError: the index that is there has another dimension or metric, or ids that are no str.
            IndexNotFoundError: nothing is there, with `readonly`.
            What `Index.open_or_create` raises.
        """
        self._embedding = embedding
        self._relevance = relevance_score_fn
        self._index = opened_index(
            path,
            dim,
            metric,
            fields,
            readonly,
            settings,
            dim_of_new=lambda: len(embedding.embed_query("dimension")),
            prefix=f"{_METADATA}.",
        )

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        path: str | os.PathLike[str],
        **settings: Any,
    ) -> Self:
        """The store at `path`, made where there is none, with these texts added; `settings` as for the class."""
        batch = as_text_batch(texts, metadatas, ids)
        vectors = embedding.embed_documents(batch.texts) if batch.texts else []
        return cls._filled(batch, vectors, embedding, path, settings)

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        path: str | os.PathLike[str],
        **settings: Any,
    ) -> Self:
        """`from_texts`, to be awaited."""
        batch = as_text_batch(texts, metadatas, ids)
        vectors = await embedding.aembed_documents(batch.texts) if batch.texts else []
        return await in_thread(cls._filled, batch, vectors, embedding, path, settings)

    @classmethod
    def _filled(
        cls,
        batch: TextBatch,
        vectors: Any,
        embedding: Embeddings,
        path: str | os.PathLike[str],
        settings: dict[str, Any],
    ) -> Self:
        if len(vectors) and settings.get("dim") is None:
            settings["dim"] = len(vectors[0])
        store = cls(embedding, path, **settings)
        try:
            store._stored(batch, vectors)
        except BaseException:
            store.close()  # nobody has it, to close it
            raise
        return store

    @property
    def index(self) -> Index:
        """The index itself, for what LangChain has no name for: counts, transactions, snapshots, backups."""
        return self._index

    @property
    def embeddings(self) -> Embeddings:
        """The model."""
        return self._embedding

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self._index!r}>"

    # Changing it

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Embed texts and store them; a text whose id is there already takes the place of the old one.

        Args:
            texts: The texts.
            metadatas: One dict a text, of what payloads may hold (see `Index.add`).
            ids: One id a text; None, for all or for one, gives new UUIDs.
            batch_size: Embed and store so many at a time, each time one transaction; None: all in one.
            kwargs: ``threads=`` and ``timeout=``, as for `Index.add`.

        Returns:
            The ids.

        Raises:
            DimensionError: not as many metadatas or ids as texts; or embeddings of another dimension.
            DuplicateIdError: an id is given twice in one batch.
            InvalidPayloadError: metadata that cannot be stored. What `Index.add` raises.
        """
        stored: list[str] = []
        for batch in as_text_batch(texts, metadatas, ids).parts(batch_size):
            stored += self._stored(batch, self._embedding.embed_documents(batch.texts), **kwargs)
        return stored

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """`add_texts`, to be awaited."""
        stored: list[str] = []
        for batch in as_text_batch(texts, metadatas, ids).parts(batch_size):
            vectors = await self._embedding.aembed_documents(batch.texts)
            stored += await in_thread(self._stored, batch, vectors, **kwargs)
        return stored

    def add_embeddings(
        self,
        texts: Iterable[str],
        embeddings: Any,
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """`add_texts` with embeddings that are there already: array-like (n, D), one a text."""
        return self._stored(as_text_batch(texts, metadatas, ids), embeddings, **kwargs)

    def _stored(self, batch: TextBatch, vectors: Any, **kwargs: Any) -> list[str]:
        if len(vectors) != len(batch.texts):
            raise DimensionError(
                f"there are {len(batch.texts)} texts and {len(vectors)} embeddings: one each is needed"
            )
        if not batch.texts:
            return []
        payloads = [
            {_TEXT: text, _METADATA: metadata} for text, metadata in zip(batch.texts, batch.metadatas, strict=True)
        ]
        ids = self._index.add(vectors, batch.ids, "replace", payloads=payloads, **kwargs)
        return list(ids.tolist())

    def delete(
        self, ids: Sequence[str] | None = None, *, filter: Filter | None = None, timeout: float | None = None
    ) -> bool:
        """Remove documents, in one transaction. Ids that are not there are passed over.

        Args:
            ids: Which; with `filter`, only those of them that it finds.
            filter: As for searches, and not empty. With neither, all go, as LangChain's interface wants it.
            timeout: Seconds to wait while another writes; None means 60.

        Returns:
            True.
        """
        if filter is not None:
            self._index.delete(under(_METADATA, filter), ids=ids, timeout=timeout)
        elif ids is None:
            self._index.clear(timeout=timeout)
        else:
            self._index.remove(ids, missing="ignore", timeout=timeout)
        return True

    # Asking it

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents with these ids, in their order; those that are not there are left out. One str is one id."""
        wanted = [ids] if isinstance(ids, str) else list(ids)
        records = self._index.get(wanted, include="payload", missing="ignore")
        return [_document(record.id, record.payload) for record in records if record is not None]

    def similarity_search(self, query: str, k: int = 4, filter: Filter | None = None, **search: Any) -> list[Document]:
        """The k documents nearest to a text, nearest first."""
        return self.similarity_search_by_vector(self._embedding.embed_query(query), k, filter, **search)

    async def asimilarity_search(
        self, query: str, k: int = 4, filter: Filter | None = None, **search: Any
    ) -> list[Document]:
        """`similarity_search`, to be awaited."""
        embedding = await self._embedding.aembed_query(query)
        return await in_thread(self.similarity_search_by_vector, embedding, k, filter, **search)

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: Filter | None = None, **search: Any
    ) -> list[tuple[Document, float]]:
        """The k documents nearest to a text, with what the index gives: cosines or inner products, of which more is
        nearer, or squared distances for "l2"."""
        return _scored(self._index, self._embedding.embed_query(query), k, filter, **search)

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, filter: Filter | None = None, **search: Any
    ) -> list[tuple[Document, float]]:
        """`similarity_search_with_score`, to be awaited."""
        embedding = await self._embedding.aembed_query(query)
        return await in_thread(_scored, self._index, embedding, k, filter, **search)

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, filter: Filter | None = None, **search: Any
    ) -> list[Document]:
        """The k documents nearest to an embedding, nearest first."""
        return [document for document, _ in _scored(self._index, embedding, k, filter, **search)]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **search: Any,
    ) -> list[Document]:
        """Of the `fetch_k` documents nearest to a text, k that differ from one another: see
        `max_marginal_relevance_search_by_vector`."""
        embedding = self._embedding.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(embedding, k, fetch_k, lambda_mult, filter, **search)

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **search: Any,
    ) -> list[Document]:
        """`max_marginal_relevance_search`, to be awaited."""
        embedding = await self._embedding.aembed_query(query)
        find = self.max_marginal_relevance_search_by_vector
        return await in_thread(find, embedding, k, fetch_k, lambda_mult, filter, **search)

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **search: Any,
    ) -> list[Document]:
        """Of the `fetch_k` documents nearest to an embedding, k that differ from one another, by maximal marginal
        relevance over the vectors that the index keeps.

        Args:
            embedding: The query, (D,).
            k: How many.
            fetch_k: Candidates; at least k are taken.
            lambda_mult: 1: nearness alone; 0: after the first, difference alone.
            filter, search: As for the other searches.
        """
        search |= {"mmr": lambda_mult, "candidates": max(k, fetch_k)}
        return [document for document, _ in _scored(self._index, embedding, k, filter, **search)]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        if self._relevance is not None:
            return self._relevance
        metric = self._index.metric
        # Within 0 .. 1: a cosine by codes may pass 1 by a little, and what points away is not relevant.
        return lambda score: min(1.0, max(0.0, likeness(metric, score)))


def _scored(index: Index, embedding: Any, k: int, filter: Filter | None, **search: Any) -> list[tuple[Document, float]]:
    return list(_found(_hits(index, embedding, k, filter, ("payload",), search)))


def _hits(
    index: Index, embedding: Any, k: int, filter: Filter | None, include: Include, search: dict[str, Any]
) -> SearchHits:
    where = None if filter is None else under(_METADATA, filter)
    hits = index.search(embedding, k, where=where, include=include, **search)
    if hits.ids.ndim != 1:
        raise DimensionError(f"a query is one embedding of shape ({index.dim},), got {len(hits.ids)} of them")
    return hits


def _found(hits: SearchHits) -> Iterator[tuple[Document, float]]:
    for id, score, payload in zip(hits.ids.tolist(), hits.distances.tolist(), hits.payloads, strict=True):
        if id is None:  # padding: there are no more
            return
        yield _document(id, payload), score


def _document(id: str, payload: Mapping[str, Any] | None) -> Document:
    """The document of a row; without a text where another program has added the row."""
    kept = payload or {}
    return Document(id=id, page_content=kept.get(_TEXT, ""), metadata=kept.get(_METADATA, {}))
