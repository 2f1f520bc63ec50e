"""Questions answered from sentences, with LlamaIndex: python -m examples.answers.with_llama_index --help"""

from __future__ import annotations

from llama_index.core import VectorStoreIndex
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters

from examples.answers.life import Answer, main
from examples.minilm import DIMENSION, embed
from pqstore.integrations.llama_index import PQStoreVectorStore


class MiniLM(BaseEmbedding):
    """In place of HuggingFaceEmbedding, OpenAIEmbedding, ..."""

    def _get_text_embedding(self, text: str) -> list[float]:
        return embed([text])[0].tolist()

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return embed(texts).tolist()

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)


class LlamaIndexAnswers:
    """A vector store, and the index of LlamaIndex over it."""

    def __init__(self, path: str, train_at: int) -> None:
        self.store = PQStoreVectorStore(path, DIMENSION, fields=["page"], train_at=train_at)
        self.index = VectorStoreIndex.from_vector_store(self.store, embed_model=MiniLM(embed_batch_size=100))

    def add(self, texts: list[str], first: int) -> None:
        self.index.insert_nodes(
            [TextNode(id_=f"s{n}", text=text, metadata={"page": n}) for n, text in enumerate(texts, first)]
        )

    def ask(self, question: str, k: int = 3, pages_below: int | None = None) -> list[Answer]:
        only = None if pages_below is None else pages(pages_below)
        found = self.index.as_retriever(similarity_top_k=k, filters=only).retrieve(question)
        return [Answer(one.node.node_id, one.text, one.score) for one in found]

    def forget(self, ids: list[str]) -> None:
        self.store.delete_nodes(ids)

    def forget_pages_below(self, page: int) -> None:
        self.store.delete_nodes(filters=pages(page))

    def has(self, ids: list[str]) -> list[bool]:
        there = {node.node_id for node in self.store.get_nodes(ids)}
        return [id in there for id in ids]

    def __len__(self) -> int:
        return len(self.store.client)

    @property
    def state(self) -> str:
        return self.store.client.phase

    def close(self) -> None:
        self.store.close()


def pages(below: int) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key="page", value=below, operator=FilterOperator.LT)])


if __name__ == "__main__":
    main(LlamaIndexAnswers, "examples.answers.with_llama_index")
