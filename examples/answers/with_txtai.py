"""Questions answered from sentences, with txtai: python -m examples.answers.with_txtai --help"""

from __future__ import annotations

import os
from pathlib import Path

from txtai import Embeddings

from examples.answers.life import Answer, main

# txtai then lets a configuration name a function to embed with; "path": "sentence-transformers/..." needs no leave.
os.environ["ALLOW_RESOLVE_TRANSFORM"] = "1"


class TxtaiAnswers:
    """Embeddings, saved after each change: txtai keeps what is not saved in memory."""

    def __init__(self, path: str, train_at: int) -> None:
        self.path = path
        self.embeddings = Embeddings(
            method="external",
            transform="examples.minilm.embed",
            content=True,
            backend="pqstore.integrations.txtai.PQStoreANN",
            pqstore={"train_at": train_at},
        )
        if Path(path).exists():
            self.embeddings.load(path)

    def add(self, texts: list[str], first: int) -> None:
        self.embeddings.upsert([(f"s{n}", {"text": text, "page": n}) for n, text in enumerate(texts, first)])
        self.embeddings.save(self.path)

    def ask(self, question: str, k: int = 3, pages_below: int | None = None) -> list[Answer]:
        only = "" if pages_below is None else f" and page < {int(pages_below)}"
        found = self.embeddings.search(
            f"select id, text, score from txtai where similar(:question, 500){only}",
            k,
            parameters={"question": question},
        )
        return [Answer(one["id"], one["text"], one["score"]) for one in found]

    def forget(self, ids: list[str]) -> None:
        self.embeddings.delete(ids)
        self.embeddings.save(self.path)

    def forget_pages_below(self, page: int) -> None:
        found = self.embeddings.search(f"select id from txtai where page < {int(page)}", len(self))
        self.forget([one["id"] for one in found])

    def has(self, ids: list[str]) -> list[bool]:
        there = {one["id"] for one in self.embeddings.search("select id from txtai", len(self))}
        return [id in there for id in ids]

    def __len__(self) -> int:
        return self.embeddings.count()

    @property
    def state(self) -> str:
        return self.embeddings.ann.backend.phase

    def close(self) -> None:
        self.embeddings.close()


if __name__ == "__main__":
    main(TxtaiAnswers, "examples.answers.with_txtai")
