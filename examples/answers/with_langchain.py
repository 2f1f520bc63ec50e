"""Questions answered from sentences, with LangChain: python -m examples.answers.with_langchain --help"""

from __future__ import annotations

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from examples.answers.life import Answer, main
from examples.minilm import DIMENSION, embed
from pqstore.integrations.langchain import PQStoreVectorStore


class MiniLM(Embeddings):
    """In place of HuggingFaceEmbeddings, OpenAIEmbeddings, ..."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return embed(texts).tolist()

    def embed_query(self, text: str) -> list[float]:
        return embed([text])[0].tolist()


class LangChainAnswers:
    """A vector store, and what is asked of it."""

    def __init__(self, path: str, train_at: int) -> None:
        self.store = PQStoreVectorStore(MiniLM(), path, dim=DIMENSION, fields=["page"], train_at=train_at)

    def add(self, texts: list[str], first: int) -> None:
        self.store.add_documents(
            [Document(text, id=f"s{n}", metadata={"page": n}) for n, text in enumerate(texts, first)]
        )

    def ask(self, question: str, k: int = 3, pages_below: int | None = None) -> list[Answer]:
        only = None if pages_below is None else {"page": {"$lt": pages_below}}
        found = self.store.similarity_search_with_score(question, k, only)
        return [Answer(document.id, document.page_content, score) for document, score in found]

    def forget(self, ids: list[str]) -> None:
        self.store.delete(ids)

    def forget_pages_below(self, page: int) -> None:
        self.store.delete(filter={"page": {"$lt": page}})

    def has(self, ids: list[str]) -> list[bool]:
        there = {document.id for document in self.store.get_by_ids(ids)}
        return [id in there for id in ids]

    def __len__(self) -> int:
        return len(self.store.index)

    @property
    def state(self) -> str:
        return self.store.index.phase

    def close(self) -> None:
        self.store.close()


if __name__ == "__main__":
    main(LangChainAnswers, "examples.answers.with_langchain")
