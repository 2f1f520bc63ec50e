"""LangChain's own suite for vector stores, all of it, and its indexing; skipped where langchain-tests is not installed.

Each of its tests has a new, empty index, as small as the suite's embeddings: 6 dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("langchain_tests", reason="the suite of LangChain is langchain-tests")

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance
from langchain_tests.integration_tests.vectorstores import VectorStoreIntegrationTests

from pqstore.index.search.diversity import diverse
from pqstore.integrations.langchain import PQStoreVectorStore


# The mark is for the suite's coroutines, which leave it to the settings; its plain tests carry it too.
@pytest.mark.asyncio
@pytest.mark.filterwarnings("ignore:.*is not an async function:pytest.PytestWarning")
class TestPQStoreVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture(params=["cosine", "l2", "dot"])
    def vectorstore(self, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[PQStoreVectorStore]:
        with PQStoreVectorStore(self.get_embeddings(), tmp_path / "index", metric=request.param) as store:
            yield store


def test_indexing_of_sources_adds_skips_replaces_and_deletes(tmp_path: Path) -> None:
    manager = InMemoryRecordManager(namespace="notes")
    manager.create_schema()
    embedding = DeterministicFakeEmbedding(size=6)

    def indexed(store: PQStoreVectorStore, *texts: str) -> dict[str, int]:
        documents = [Document(text, metadata={"source": text[0]}) for text in texts]
        counts = index(
            documents, manager, store, batch_size=2, cleanup="full", source_id_key="source", key_encoder="sha256"
        )
        assert sorted(d.page_content for d in store.similarity_search("x", k=9)) == sorted(texts)
        return dict(counts)

    with PQStoreVectorStore(embedding, tmp_path / "index") as store:
        counts = indexed(store, "a1", "a2", "b1")
        assert counts == {"num_added": 3, "num_updated": 0, "num_skipped": 0, "num_deleted": 0}
        counts = indexed(store, "a1", "b2", "c1")
        assert counts == {"num_added": 2, "num_updated": 0, "num_skipped": 1, "num_deleted": 2}


def test_finds_and_scores_as_the_store_in_memory(tmp_path: Path) -> None:
    embedding = DeterministicFakeEmbedding(size=24)
    texts = [f"text {number}" for number in range(300)]
    theirs = InMemoryVectorStore(embedding)
    theirs.add_texts(texts, ids=texts)
    with PQStoreVectorStore(embedding, tmp_path / "index") as ours:
        ours.add_texts(texts, ids=texts)
        for query in texts[:5]:
            found = ours.similarity_search_with_score(query, k=20)
            expected = theirs.similarity_search_with_score(query, k=20)
            assert [document.id for document, _ in found] == [document.id for document, _ in expected]
            assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-5)
            mixed = ours.max_marginal_relevance_search(query, k=6, fetch_k=40, lambda_mult=0.4)
            wanted = theirs.max_marginal_relevance_search(query, k=6, fetch_k=40, lambda_mult=0.4)
            assert [document.id for document in mixed] == [document.id for document in wanted]


def test_diversity_is_that_of_langchain() -> None:
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    print("seed", seed)
    rng = np.random.default_rng(seed)
    for weight in (0.0, 0.2, 0.5, 0.9, 1.0):
        query, vectors = rng.standard_normal(16), rng.standard_normal((40, 16))
        theirs = maximal_marginal_relevance(query, vectors.tolist(), weight, 12)
        assert diverse(query, vectors, 12, weight) == theirs
