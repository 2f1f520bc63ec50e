"""Questions answered from sentences, with Haystack: python -m examples.answers.with_haystack --help"""

from __future__ import annotations

from haystack import Document, Pipeline, component
from haystack.document_stores.types import DuplicatePolicy

from examples.answers.life import Answer, main
from examples.minilm import DIMENSION, embed
from pqstore.integrations.haystack import PQStoreDocumentStore, PQStoreEmbeddingRetriever


@component
class MiniLMTextEmbedder:
    """In place of SentenceTransformersTextEmbedder, OpenAITextEmbedder, ..."""

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, list[float]]:
        return {"embedding": embed([text])[0].tolist()}


class HaystackAnswers:
    """A document store, and the pipeline that asks it."""

    def __init__(self, path: str, train_at: int) -> None:
        self.store = PQStoreDocumentStore(path, DIMENSION, fields=["page"], settings={"train_at": train_at})
        self.pipeline = Pipeline()
        self.pipeline.add_component("embedder", MiniLMTextEmbedder())
        self.pipeline.add_component("retriever", PQStoreEmbeddingRetriever(self.store))
        self.pipeline.connect("embedder.embedding", "retriever.query_embedding")

    def add(self, texts: list[str], first: int) -> None:
        vectors = embed(texts).tolist()
        documents = [
            Document(id=f"s{n}", content=text, embedding=vector, meta={"page": n})
            for n, (text, vector) in enumerate(zip(texts, vectors, strict=True), first)
        ]
        self.store.write_documents(documents, DuplicatePolicy.OVERWRITE)

    def ask(self, question: str, k: int = 3, pages_below: int | None = None) -> list[Answer]:
        asked: dict = {"top_k": k}
        if pages_below is not None:
            asked["filters"] = {"field": "meta.page", "operator": "<", "value": pages_below}
        found = self.pipeline.run({"embedder": {"text": question}, "retriever": asked})["retriever"]["documents"]
        return [Answer(document.id, document.content, document.score) for document in found]

    def forget(self, ids: list[str]) -> None:
        self.store.delete_documents(ids)

    def forget_pages_below(self, page: int) -> None:
        self.store.delete_by_filter({"field": "meta.page", "operator": "<", "value": page})

    def has(self, ids: list[str]) -> list[bool]:
        found = self.store.filter_documents({"field": "id", "operator": "in", "value": ids})
        there = {document.id for document in found}
        return [id in there for id in ids]

    def __len__(self) -> int:
        return self.store.count_documents()

    @property
    def state(self) -> str:
        return self.store.index.phase

    def close(self) -> None:
        self.store.close()


if __name__ == "__main__":
    main(HaystackAnswers, "examples.answers.with_haystack")
