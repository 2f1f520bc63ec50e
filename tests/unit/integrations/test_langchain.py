"""LangChain's vector store over an index: its life from the first document, and what it gives back."""

from __future__ import annotations

import asyncio
import json
import pickle
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pqstore

pytest.importorskip("langchain_core", reason="the vector store is one of langchain-core")

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from pqstore.integrations.langchain import PQStoreVectorStore

COLOURS = ["red", "green", "blue", "white", "black"]
THINGS = ["kettle", "lamp", "river", "stone", "letter", "garden"]


class Words(Embeddings):
    """Texts by the words that they have in common: each word has a direction, which its name decides."""

    def __init__(self, dim: int = 32) -> None:
        self.dim = dim
        self.asked: list[str] = []

    def _direction(self, word: str) -> np.ndarray:
        return np.random.default_rng(zlib.crc32(word.encode())).standard_normal(self.dim)

    def embed_query(self, text: str) -> list[float]:
        self.asked.append(text)
        return np.sum([self._direction(word) for word in text.split()], axis=0).tolist()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


class Awaited(Words):
    """A model whose own calls are coroutines."""

    def embed_query(self, text: str) -> list[float]:
        raise AssertionError("the event loop would wait for this")

    async def aembed_query(self, text: str) -> list[float]:
        await asyncio.sleep(0)
        return super().embed_query(text)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        return [await self.aembed_query(text) for text in texts]


def text_of(number: int) -> str:
    return f"{COLOURS[number % 5]} {THINGS[number % 6]} number{number}"


@pytest.fixture
def store(tmp_path: Path):
    with PQStoreVectorStore(Words(), tmp_path / "index", fields=["n"]) as opened:
        opened.add_texts(
            [text_of(number) for number in range(30)],
            [{"n": number, "colour": {"name": COLOURS[number % 5]}} for number in range(30)],
            ids=[f"doc-{number}" for number in range(30)],
        )
        yield opened


def test_a_restart_finds_everything(store: PQStoreVectorStore, tmp_path: Path) -> None:
    before = store.similarity_search_with_score("green lamp number7", k=30)
    store.close()
    with PQStoreVectorStore(Words(), tmp_path / "index") as again:
        assert again.similarity_search_with_score("green lamp number7", k=30) == before
        assert again.index.fields == ("metadata.n",)
        assert again.index.metric == "cosine"
    assert before[0][0] == Document("blue lamp number7", id="doc-7", metadata={"n": 7, "colour": {"name": "blue"}})


def test_3000_documents_through_training(tmp_path: Path) -> None:
    model = Words()
    small = pqstore.PQ(M=8, Ks=16, verbose=False)
    with PQStoreVectorStore(model, tmp_path / "index", dim=32, quantizer=small, train_at=1000) as store:
        texts = [text_of(number) for number in range(3000)]
        ids = store.add_texts(texts, [{"n": number} for number in range(3000)], batch_size=500)
        assert store.index.phase == "codes"
        assert store.index.stats().trained_on == 1000
        assert len(set(ids)) == len(store.index) == 3000
        exact = np.array(model.embed_documents(texts), dtype=np.float32)
        exact /= np.linalg.norm(exact, axis=1, keepdims=True)
        for number in range(0, 3000, 271):
            found = store.similarity_search_with_score(texts[number], k=4, filter={"n": {"$lt": number + 1}})
            assert found[0][0] == Document(texts[number], id=ids[number], metadata={"n": number})
            nearest = np.sort(exact[: number + 1] @ exact[number])[::-1][:4]
            assert [score for _, score in found] == pytest.approx(nearest.tolist(), abs=2e-3)  # float16 originals
        assert store.delete(filter={"n": {"$gte": 10}}) is True
        assert {document.metadata["n"] for document in store.similarity_search("red", k=50)} == set(range(10))


def test_replacing_deleting_and_getting(store: PQStoreVectorStore) -> None:
    assert store.add_documents([Document("violet cup", id="doc-3"), Document("new")])[0] == "doc-3"
    assert len(store.index) == 31
    (changed,) = store.get_by_ids(["doc-3"])
    assert changed == Document("violet cup", id="doc-3", metadata={})
    assert store.delete(["doc-3", "doc-4", "nobody"]) is True
    assert [document.id for document in store.get_by_ids(["doc-5", "doc-4", "doc-0"])] == ["doc-5", "doc-0"]
    assert store.get_by_ids("doc-5") == store.get_by_ids(["doc-5"])  # not the ids "d", "o", "c", ...
    store.delete(["doc-5", "doc-6"], filter={"n": 5})
    assert [document.id for document in store.get_by_ids(["doc-5", "doc-6"])] == ["doc-6"]
    store.delete([])
    assert len(store.index) == 28
    store.delete()
    assert len(store.index) == 0
    assert store.similarity_search("red") == []
    assert store.max_marginal_relevance_search("red") == []


def test_filters(store: PQStoreVectorStore) -> None:
    found = store.similarity_search("red lamp", k=30, filter={"n": {"$lt": 20}, "colour.name": "blue"})
    assert sorted(document.metadata["n"] for document in found) == [2, 7, 12, 17]
    retriever = store.as_retriever(search_kwargs={"k": 2, "filter": {"$or": [{"n": 4}, {"n": 5}]}})
    assert {document.id for document in retriever.invoke("red")} == {"doc-4", "doc-5"}
    plan = store.index.search(Words().embed_query("red"), where={"metadata.n": 4}, explain=True).plan
    assert plan.indexed_fields == ("metadata.n",)
    with pytest.raises(pqstore.InvalidFilterError, match="near"):
        store.similarity_search("red", filter={"n": {"$near": 1}})


def test_arguments_of_searches_reach_the_index_and_typing_errors_do_not_pass(store: PQStoreVectorStore) -> None:
    assert [d.id for d in store.similarity_search("red lamp", k=5, allow=["doc-8", "doc-9"])][1:] != []
    assert len(store.similarity_search("red lamp", k=5, allow=["doc-8", "doc-9"])) == 2
    with pytest.raises(TypeError, match="filters"):
        store.similarity_search("red", filters={"n": 4})
    with pytest.raises(TypeError, match="upsert"):
        store.add_texts(["red"], upsert=True)
    with pytest.raises(pqstore.DimensionError, match="one embedding"):
        store.similarity_search_by_vector([[0.0] * 32, [1.0] * 32])


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_relevance_is_larger_when_nearer_and_within_0_and_1(metric: Any, tmp_path: Path) -> None:
    with PQStoreVectorStore(Words(), tmp_path / "index", metric=metric) as store:
        store.add_texts([text_of(number) for number in range(200)])
        query = text_of(17)
        relevances = [relevance for _, relevance in store.similarity_search_with_relevance_scores(query, k=200)]
        scores = [score for _, score in store.similarity_search_with_score(query, k=200)]
        assert relevances == sorted(relevances, reverse=True)
        assert relevances[0] == pytest.approx(1)
        assert relevances[-1] < 0.1
        expected = [1 / (1 + score) for score in scores] if metric == "l2" else np.clip(scores, 0, 1).tolist()
        assert relevances == pytest.approx(expected)
        retriever = store.as_retriever(
            search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.99, "k": 200}
        )
        assert len(retriever.invoke(query)) == sum(relevance >= 0.99 for relevance in relevances)


def test_own_relevance(tmp_path: Path) -> None:
    half = PQStoreVectorStore(Words(), tmp_path / "index", relevance_score_fn=lambda score: (1 + score) / 2)
    with half as store:
        store.add_texts(["red", "green"])
        (_, score), _ = store.similarity_search_with_score("red", k=2)
        assert store.similarity_search_with_relevance_scores("red", k=2)[0][1] == (1 + score) / 2


def test_diverse_answers(store: PQStoreVectorStore) -> None:
    store.add_texts(["red lamp"] * 5, ids=[f"same-{n}" for n in range(5)])
    near = store.similarity_search("red lamp", k=3)
    assert [document.page_content for document in near] == ["red lamp"] * 3
    mixed = store.max_marginal_relevance_search("red lamp", k=3, fetch_k=35, lambda_mult=0.3)
    assert [document.page_content for document in mixed].count("red lamp") == 1
    assert store.max_marginal_relevance_search("red lamp", k=3, lambda_mult=1) == near
    assert len(store.max_marginal_relevance_search("red", k=8, fetch_k=2)) == 8
    only = store.as_retriever(search_type="mmr", search_kwargs={"k": 4, "filter": {"n": {"$lt": 2}}}).invoke("red")
    assert {document.id for document in only} == {"doc-0", "doc-1"}


def test_coroutines_await_the_model(tmp_path: Path) -> None:
    async def life() -> None:
        model = Awaited()
        store = await PQStoreVectorStore.afrom_texts(
            ["red lamp", "blue stone"], model, ids=["a", "b"], path=tmp_path / "i"
        )
        assert await store.aadd_texts(["green river"], [{"n": 1}], ids=["c"], batch_size=1) == ["c"]
        await store.aadd_documents([Document("white letter", id="d")])
        assert [d.id for d in await store.asimilarity_search("red lamp", k=1)] == ["a"]
        ((document, score),) = await store.asimilarity_search_with_score("green river", filter={"n": 1})
        assert (document.id, score) == ("c", pytest.approx(1))
        ((document, score),) = await store.asimilarity_search_with_relevance_scores("blue stone", k=1)
        assert (document.id, score) == ("b", pytest.approx(1))
        assert len(await store.amax_marginal_relevance_search("red", k=2)) == 2
        assert [d.id for d in await store.as_retriever(search_kwargs={"k": 1}).ainvoke("white letter")] == ["d"]
        assert await store.adelete(["a"]) is True
        assert [d.id for d in await store.aget_by_ids(["a", "b"])] == ["b"]
        store.close()

    asyncio.run(life())


def test_metadata_cannot_be_taken_for_the_text(store: PQStoreVectorStore) -> None:
    metadata = {"text": "other", "metadata": {"a": [1, 2.5, None, True]}, "": "empty"}
    store.add_texts(["red"], [metadata], ids=["odd"])
    assert store.get_by_ids(["odd"]) == [Document("red", id="odd", metadata=metadata)]
    assert [d.id for d in store.similarity_search("x", filter={"text": "other"})] == ["odd"]


def test_what_cannot_be_added_changes_nothing_and_is_refused_before_it_is_embedded(store: PQStoreVectorStore) -> None:
    model, before = store.embeddings, len(store.index)
    model.asked.clear()
    with pytest.raises(pqstore.DimensionError, match="2 texts and 1 metadatas"):
        store.add_texts(["a", "b"], [{}])
    with pytest.raises(TypeError, match="one str"):
        store.add_texts("text")
    assert model.asked == []
    with pytest.raises(pqstore.DuplicateIdError):
        store.add_texts(["a", "b"], ids=["same", "same"])
    with pytest.raises(pqstore.InvalidPayloadError):
        store.add_texts(["a", "b"], [{}, {"x": object()}])
    with pytest.raises(pqstore.DimensionError, match="1 texts and 2 embeddings"):
        store.add_embeddings(["a"], np.ones((2, 32)))
    with pytest.raises(pqstore.DimensionError):
        store.add_embeddings(["a"], np.ones((1, 31)))
    assert len(store.index) == before
    assert store.add_texts([]) == []


def test_embeddings_that_are_there(store: PQStoreVectorStore) -> None:
    vectors = np.asarray(Words().embed_documents(["red stone", "blue letter"]))
    assert store.add_embeddings(["red stone", "blue letter"], vectors, [{"n": 70}, {"n": 71}], ids=["x", "y"]) == [
        "x",
        "y",
    ]
    assert store.similarity_search_by_vector(vectors[1], k=1) == store.get_by_ids(["y"])


def test_from_documents_asks_the_model_for_these_alone(tmp_path: Path) -> None:
    model = Words()
    documents = [Document("red", id="a", metadata={"n": 1}), Document("green", id="b")]
    with PQStoreVectorStore.from_documents(documents, model, path=tmp_path / "index", metric="l2") as store:
        assert model.asked == ["red", "green"]
        assert store.index.metric == "l2"
        assert store.get_by_ids(["a", "b"]) == documents
    with PQStoreVectorStore.from_texts([], model, path=tmp_path / "empty") as store:
        assert len(store.index) == 0
        assert store.index.dim == 32


def test_a_model_that_fails_leaves_nothing_behind_and_its_own_error(tmp_path: Path) -> None:
    # Its error came as one that happened while another was handled.
    with pytest.raises(AssertionError, match="event loop") as failed:
        PQStoreVectorStore(Awaited(), tmp_path / "index")
    assert failed.value.__context__ is None
    assert not (tmp_path / "index").exists()


def test_another_index_is_refused(tmp_path: Path) -> None:
    pqstore.Index.create(tmp_path / "numbers", dim=32).close()
    with pytest.raises(ValueError, match="id_type='int64'"):
        PQStoreVectorStore(Words(), tmp_path / "numbers")
    PQStoreVectorStore(Words(), tmp_path / "index").close()
    with pytest.raises(ValueError, match="metric='cosine'"):
        PQStoreVectorStore(Words(), tmp_path / "index", metric="l2")
    with pytest.raises(pqstore.DimensionError, match="dimension 32"):
        PQStoreVectorStore.from_texts(["a"], Words(8), path=tmp_path / "index")
    with pytest.raises(pqstore.IndexNotFoundError):
        PQStoreVectorStore(Words(), tmp_path / "nowhere", readonly=True)
    for place in ("nowhere", "index"):
        with pytest.raises(TypeError, match="colour"):
            PQStoreVectorStore(Words(), tmp_path / place, colour="red")
    with pytest.raises(ValueError, match="metric='cosine'"):
        PQStoreVectorStore(Words(), tmp_path / "index", metric="l2", readonly=True)
    assert not (tmp_path / "nowhere").exists()
    with PQStoreVectorStore(Words(), tmp_path / "index", readonly=True) as store, pytest.raises(pqstore.ReadOnlyError):
        store.add_texts(["a"])


def test_rows_of_another_program_have_no_text(store: PQStoreVectorStore) -> None:
    store.index.add(np.ones(32), ["plain"])
    store.index.add(np.ones(32), ["other"], payloads=[{"year": 1}])
    assert store.get_by_ids(["plain", "other"]) == [Document("", id="plain"), Document("", id="other")]


def test_pickles_as_a_handle(store: PQStoreVectorStore) -> None:
    with pickle.loads(pickle.dumps(store)) as again:
        assert repr(again).startswith("<PQStoreVectorStore over <pqstore.Index ")
        assert again.get_by_ids(["doc-1"]) == store.get_by_ids(["doc-1"])


WRITER = """
import sys
from pqstore import PQ
from tests.unit.integrations.test_langchain import PQStoreVectorStore, Words, text_of
small = PQ(M=8, Ks=16, verbose=False)
store = PQStoreVectorStore(Words(), sys.argv[1], train_at=300, quantizer=small, dim=32)
number = 0
while True:
    numbers = range(number, number + 50)
    store.add_texts(map(text_of, numbers), [{"n": n} for n in numbers], ids=[str(n) for n in numbers])
    number += 50
    print(number, flush=True)
"""


@pytest.mark.parametrize("acknowledged", [50, 250, 600])  # before, about and after its training
def test_killed_and_opened_again(tmp_path: Path, acknowledged: int) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "index")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as writer:
        assert writer.stdout is not None
        told = 0
        for line in writer.stdout:
            told = int(line)
            if told == acknowledged:
                writer.kill()  # what it said meanwhile is read to its end
    assert told >= acknowledged
    with PQStoreVectorStore(Words(), tmp_path / "index") as store:
        assert len(store.index) in (told, told + 50)  # the batch that was under way is there whole, or not at all
        documents = store.get_by_ids([str(number) for number in range(told)])
        assert documents == [Document(text_of(n), id=str(n), metadata={"n": n}) for n in range(told)]
        assert store.similarity_search(text_of(told - 1), k=1)[0].id == str(told - 1)
        assert store.index.verify(deep=True) == []
        store.add_texts(["red"], ids=["after"])


def test_without_langchain_the_error_names_the_extra(tmp_path: Path) -> None:
    (tmp_path / "langchain_core.py").write_text("raise ModuleNotFoundError('No module named langchain_core')\n")
    code = f"import sys; sys.path.insert(0, {json.dumps(str(tmp_path))}); import pqstore.integrations.langchain"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingDependencyError" in done.stderr
    assert "pip install 'pqstore[langchain]'" in done.stderr
