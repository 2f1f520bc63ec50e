"""What LangChain's vector store costs over plain calls of the index that it has: searches, and adding.

    python -m benchmarks.integrations.langchain [--documents 40000]

Prints Markdown: medians of calls that alternate. The model is a table of random embeddings, so that it costs nothing.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from langchain_core.embeddings import Embeddings

import pqstore
from benchmarks.timing import CLOCKS, interleave
from pqstore.integrations.langchain import PQStoreVectorStore

DIMENSION = 384
ADDED = 10_000


class Table(Embeddings):
    """Embeds the number that a text is."""

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors
        self.lists = vectors[:200].tolist()  # what a model gives

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.lists[int(text)] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.lists[int(text)]


def seconds(call) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def searching(store: PQStoreVectorStore, model: Table, k: int = 10) -> tuple[float, float]:
    """Medians in milliseconds: through the store, and plain."""
    calls = {
        "through": lambda number: store.similarity_search(str(number), k=k),
        "plain": lambda number: store.index.search(model.lists[number], k=k, include="payload"),
    }
    times = interleave(calls, range(200), CLOCKS["wall"])
    return times.median("through") * 1e3, times.median("plain") * 1e3


def adding(
    directory: Path, model: Table, texts: list[str], metadatas: list[dict], rounds: int = 5
) -> tuple[float, float]:
    """Medians in seconds, of `ADDED` documents whose vectors are ready: through the store, and plain."""
    vectors, ids = model.vectors[:ADDED], [f"document-{number}" for number in range(ADDED)]
    payloads = [{"text": text, "metadata": metadata} for text, metadata in zip(texts, metadatas, strict=True)]
    times: list[tuple[float, float]] = []
    for turn in range(rounds):
        with PQStoreVectorStore(model, directory / f"store-{turn}", dim=DIMENSION, train_at=None) as store:
            through = seconds(lambda store=store: store.add_embeddings(texts, vectors, metadatas, ids=ids))
        settings = {"dim": DIMENSION, "id_type": "str", "metric": "cosine", "train_at": None}
        with pqstore.Index.create(directory / f"plain-{turn}", **settings) as index:
            plain = seconds(lambda index=index: index.add(vectors, ids, payloads=payloads))
        times.append((through, plain))
    through, plain = (statistics.median(column) for column in zip(*times, strict=True))
    return through, plain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=40_000)
    documents = parser.parse_args().documents
    vectors = np.random.default_rng(0).standard_normal((documents, DIMENSION), dtype=np.float32)
    model = Table(vectors)
    texts = [f"a text of some hundred characters, {number:08d} " * 3 for number in range(documents)]
    metadatas = [{"source": f"file-{number % 100}.pdf", "page": number} for number in range(documents)]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with PQStoreVectorStore(model, directory / "searched", dim=DIMENSION) as store:
            store.add_embeddings(texts, vectors, metadatas)
            through, plain = searching(store, model)
        print("| | LangChain | plain call | |\n|---|---|---|---|")
        print(f"| a search of {documents:,} documents, ms | {through:.3f} | {plain:.3f} | + {through - plain:.3f} |")
        through, plain = adding(directory, model, texts[:ADDED], metadatas[:ADDED])
        print(f"| adding {ADDED:,} documents, s | {through:.3f} | {plain:.3f} | {through / plain:.2f} x |")


if __name__ == "__main__":
    main()
