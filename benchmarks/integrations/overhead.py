"""What an adapter costs over plain calls of the index that it has: searches, and adding with vectors ready.

    python -m benchmarks.integrations.overhead [langchain haystack llama_index txtai] [--documents 40000] [--clock cpu]

Prints Markdown: medians of calls that alternate, plain ones with all that the adapter asks for. "cpu" counts what the
calling thread itself ran, for a machine that others use too. What LlamaIndex makes of a node before it is stored and
after it is found is its own, and counted on both sides.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import pqstore
from benchmarks.timing import CLOCKS, Clock, interleave

DIMENSION, K = 384, 10
ADDED, ROUNDS = 10_000, 5


class Documents(NamedTuple):
    """As many texts, metadata and ids as there are vectors."""

    vectors: np.ndarray
    lists: list[list[float]]  # of the first of them: what a model gives
    texts: list[str]
    metadatas: list[dict[str, Any]]
    ids: list[str]


class Adapter(NamedTuple):
    """One that is open: how it adds, and is asked; and the same by plain calls."""

    index: pqstore.Index
    add: Callable[[Documents], Any]
    ask: Callable[[list[float]], Any]
    add_plainly: Callable[[pqstore.Index, Documents], Any]
    ask_plainly: Callable[[pqstore.Index, list[float]], Any]
    close: Callable[[], None]


def langchain(path: Path, **settings: Any) -> Adapter:
    from langchain_core.embeddings import DeterministicFakeEmbedding

    from pqstore.integrations.langchain import PQStoreVectorStore

    store = PQStoreVectorStore(DeterministicFakeEmbedding(size=DIMENSION), path, dim=DIMENSION, **settings)
    return Adapter(
        store.index,
        lambda given: store.add_embeddings(given.texts, given.vectors, given.metadatas, ids=given.ids),
        lambda query: store.similarity_search_by_vector(query, K),
        lambda index, given: index.add(
            given.vectors,
            given.ids,
            "replace",
            payloads=[{"text": t, "metadata": m} for t, m in zip(given.texts, given.metadatas, strict=True)],
        ),
        lambda index, query: index.search(query, K, include="payload"),
        store.close,
    )


def haystack(path: Path, **settings: Any) -> Adapter:
    from haystack import Document
    from haystack.document_stores.types import DuplicatePolicy

    from pqstore.integrations.haystack import PQStoreDocumentStore

    store = PQStoreDocumentStore(str(path), DIMENSION, originals="float16", settings=settings)
    made: dict[str, list[Document]] = {}

    def add(given: Documents) -> None:
        if given.ids[0] not in made:  # the application's part
            rows = zip(given.ids, given.texts, given.metadatas, given.lists, strict=True)
            made[given.ids[0]] = [Document(id=i, content=t, meta=m, embedding=v) for i, t, m, v in rows]
        store.write_documents(made[given.ids[0]], DuplicatePolicy.OVERWRITE)

    def add_plainly(index: pqstore.Index, given: Documents) -> None:
        rows = zip(given.ids, given.texts, given.metadatas, strict=True)
        payloads = [{"id": i, "content": t, **{f"meta.{key}": one for key, one in m.items()}} for i, t, m in rows]
        index.add(given.lists, given.ids, "replace", payloads=payloads)

    return Adapter(
        store.index,
        add,
        lambda query: store.embedding_retrieval(query, top_k=K),
        add_plainly,
        lambda index, query: index.search(query, K, include="payload"),
        store.close,
    )


def llama_index(path: Path, **settings: Any) -> Adapter:
    from llama_index.core.schema import TextNode
    from llama_index.core.vector_stores.types import VectorStoreQuery
    from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

    from pqstore.integrations.llama_index import PQStoreVectorStore

    store = PQStoreVectorStore(path, DIMENSION, **settings)
    made: dict[str, list[TextNode]] = {}

    def nodes(given: Documents) -> list[TextNode]:
        if given.ids[0] not in made:  # the application's part
            rows = zip(given.ids, given.texts, given.metadatas, given.lists, strict=True)
            made[given.ids[0]] = [TextNode(id_=i, text=t, metadata=m, embedding=v) for i, t, m, v in rows]
        return made[given.ids[0]]

    def add_plainly(index: pqstore.Index, given: Documents) -> None:
        payloads = [node_to_metadata_dict(node, remove_text=False) for node in nodes(given)]  # LlamaIndex's part
        index.add(given.lists, given.ids, "replace", payloads=payloads)

    return Adapter(
        store.client,
        lambda given: store.add(nodes(given)),
        lambda query: store.query(VectorStoreQuery(query, similarity_top_k=K)),
        add_plainly,
        lambda index, query: [
            metadata_dict_to_node(payload)  # LlamaIndex's part
            for payload in index.search(query, K, include="payload").payloads
        ],
        store.close,
    )


def txtai(path: Path, **settings: Any) -> Adapter:
    from txtai.ann import ANNFactory

    assert not path.exists()  # what is not saved has no path
    config = {"backend": "pqstore.integrations.txtai.PQStoreANN", "dimensions": DIMENSION, "pqstore": settings}
    ann = ANNFactory.create(config)
    ann.index(np.empty((0, DIMENSION), dtype=np.float32))
    return Adapter(
        ann.backend,
        lambda given: ann.append(given.vectors),
        lambda query: ann.search(np.array([query], dtype=np.float32), K),
        lambda index, given: index.add(given.vectors, np.arange(len(given.ids)), "replace"),
        lambda index, query: index.search(np.array([query], dtype=np.float32), K),
        ann.close,
    )


ADAPTERS = {made.__name__: made for made in (langchain, haystack, llama_index, txtai)}


def documents(count: int) -> Documents:
    vectors = np.random.default_rng(0).standard_normal((count, DIMENSION), dtype=np.float32)
    return Documents(
        vectors,
        vectors[:ADDED].tolist(),
        [f"a text of some hundred characters, {number:08d} " * 3 for number in range(count)],
        [{"source": f"file-{number % 100}.pdf", "page": number} for number in range(count)],
        [f"document-{number}" for number in range(count)],
    )


def searching(adapter: Adapter, given: Documents, clock: Clock) -> tuple[float, float]:
    """Medians in milliseconds: through the adapter, and plain."""
    for start in range(0, len(given.ids), ADDED):
        part = slice(start, start + ADDED)
        adapter.add(Documents(given.vectors[part], given.vectors[part].tolist(), *(c[part] for c in given[2:])))
    lists = given.lists
    calls = {
        "through": lambda number: adapter.ask(lists[number]),
        "plain": lambda number: adapter.ask_plainly(adapter.index, lists[number]),
    }
    times = interleave(calls, range(200), clock)
    return times.median("through") * 1e3, times.median("plain") * 1e3


def adding(made: Callable[..., Adapter], directory: Path, given: Documents, clock: Clock) -> tuple[float, float]:
    """Medians in seconds: through the adapter, and plain, each into a new index that is not trained."""
    times: dict[str, list[float]] = {"through": [], "plain": []}
    for turn in range(ROUNDS):
        for name in sorted(times, reverse=turn % 2 == 1):
            adapter = made(directory / f"{name}-{turn}", train_at=None)
            if turn == 0:  # what is made once, and the caches
                adapter.add(given)
                adapter.index.clear()
            begin = clock()
            if name == "through":
                adapter.add(given)
            else:
                adapter.add_plainly(adapter.index, given)
            times[name].append(clock() - begin)
            adapter.close()
    return statistics.median(times["through"]), statistics.median(times["plain"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("adapters", nargs="*", default=list(ADAPTERS), help=", ".join(ADAPTERS))
    parser.add_argument("--documents", type=int, default=40_000)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    asked = parser.parse_args()
    given, clock = documents(asked.documents), CLOCKS[asked.clock]
    first = Documents(*(column[:ADDED] for column in given))
    print(
        f"| | a search of {asked.documents:,}, ms | plain | | adding {ADDED:,}, s | plain | |\n|---" + "|---" * 6 + "|"
    )
    for name in asked.adapters:
        with tempfile.TemporaryDirectory() as directory:
            adapter = ADAPTERS[name](Path(directory) / "searched")
            through, plain = searching(adapter, given, clock)
            adapter.close()
            more, less = adding(ADAPTERS[name], Path(directory), first, clock)
        print(
            f"| {name} | {through:.3f} | {plain:.3f} | + {through - plain:.3f} "
            f"| {more:.3f} | {less:.3f} | {more / less:.2f} x |",
            flush=True,
        )


if __name__ == "__main__":
    main()
