"""Haystack's own suites for document stores, all of them; skipped where haystack-ai is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("haystack", reason="the suites of Haystack are in haystack-ai")

from haystack import Document, Pipeline
from haystack.dataclasses import ByteStream, SparseEmbedding
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import DuplicatePolicy
from haystack.testing import document_store as plain
from haystack.testing import document_store_async as awaited

import pqstore
from pqstore.integrations.haystack import PQStoreDocumentStore, PQStoreEmbeddingRetriever


class _Store:
    @pytest.fixture(params=["fields", "no fields"])
    def document_store(self, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[PQStoreDocumentStore]:
        fields = ["number", "name", "date", "category", "priority"] if request.param == "fields" else []
        store = PQStoreDocumentStore(str(tmp_path / "index"), embedding_dim=768, fields=fields)
        yield store
        store.close()

    @staticmethod
    def assert_documents_are_equal(received: list[Document], expected: list[Document]) -> None:
        """Documents come in an order of ids, and embeddings are float32."""
        by_id = [sorted(map(as_kept, some), key=lambda d: d["id"]) for some in (received, expected)]
        assert by_id[0] == by_id[1]


def as_kept(document: Document) -> dict[str, Any]:
    kept = document.to_dict(flatten=False)
    if kept["embedding"] is not None:
        kept["embedding"] = np.array(kept["embedding"], dtype=np.float32).tolist()
    return kept


@pytest.mark.filterwarnings("ignore::pqstore.errors.FilterKindWarning")
class TestDocumentStore(
    _Store,
    plain.DocumentStoreBaseExtendedTests,
    plain.CountDocumentsByFilterTest,
    plain.CountUniqueMetadataByFilterTest,
    plain.GetMetadataFieldsInfoTest,
    plain.GetMetadataFieldMinMaxTest,
    plain.GetMetadataFieldUniqueValuesTest,
):
    def test_write_documents(self, document_store: PQStoreDocumentStore) -> None:
        documents = [Document(id="1"), Document(id="2", content="x")]
        assert document_store.write_documents(documents) == 2
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([Document(id="3"), Document(id="1")])
        self.assert_documents_are_equal(document_store.filter_documents(), documents)


@pytest.mark.asyncio
@pytest.mark.filterwarnings("ignore:.*is not an async function:pytest.PytestWarning")
@pytest.mark.filterwarnings("ignore::pqstore.errors.FilterKindWarning")
class TestAsyncDocumentStore(
    _Store,
    awaited.CountDocumentsAsyncTest,
    awaited.CountDocumentsByFilterAsyncTest,
    awaited.CountUniqueMetadataByFilterAsyncTest,
    awaited.DeleteAllAsyncTest,
    awaited.DeleteByFilterAsyncTest,
    awaited.DeleteDocumentsAsyncTest,
    awaited.FilterDocumentsAsyncTest,
    awaited.GetMetadataFieldsInfoAsyncTest,
    awaited.GetMetadataFieldMinMaxAsyncTest,
    awaited.GetMetadataFieldUniqueValuesAsyncTest,
    awaited.UpdateByFilterAsyncTest,
    awaited.WriteDocumentsAsyncTest,
):
    async def test_write_documents_async(self, document_store: PQStoreDocumentStore) -> None:
        assert await document_store.write_documents_async([Document(id="1"), Document(id="2")]) == 2
        with pytest.raises(DuplicateDocumentError):
            await document_store.write_documents_async([Document(id="1")])


VALUES: list[Any] = [0, 1, 2.5, -3, True, False, None, "", "a", "10", [1, "a"], {"deep": 1}]
DATES = ["2024-01-01", "2024-01-01T00:00:00", "2024-01-01T02:00:00+02:00", "1999-12-31T23:59:59Z", "2024-13-01"]


def some_documents(rng: np.random.Generator, count: int) -> list[Document]:
    def meta() -> dict[str, Any]:
        made = {"n": VALUES[int(rng.integers(len(VALUES)))], "date": DATES[int(rng.integers(3))]}
        return {key: value for key, value in made.items() if rng.random() < 0.8}

    return [Document(id=f"d{n:03}", content=f"text {n % 7}", meta=meta()) for n in range(count)]


def some_filter(rng: np.random.Generator, depth: int = 0) -> dict[str, Any]:
    if depth < 3 and rng.random() < 0.5:
        inner = [some_filter(rng, depth + 1) for _ in range(int(rng.integers(1, 4)))]
        return {"operator": str(rng.choice(["AND", "OR", "NOT"])), "conditions": inner}
    field = str(rng.choice(["meta.n", "n", "meta.date", "content", "id", "meta.n.deep", "meta.none"]))
    if field == "meta.date" and rng.random() < 0.5:
        value: Any = DATES[int(rng.integers(4))]
        return {"field": field, "operator": str(rng.choice([">", ">=", "<", "<=", "==", "!="])), "value": value}
    operator = str(rng.choice(["==", "!=", "in", "not in"]))
    choices = [*VALUES, *DATES, "text 3", "d004"]
    several = [choices[int(at)] for at in rng.integers(len(choices), size=int(rng.integers(0, 4)))]
    return {"field": field, "operator": operator, "value": several if "in" in operator else (several or [None])[0]}


@pytest.mark.filterwarnings("ignore::pqstore.errors.FilterKindWarning")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fields", [[], ["n", "date"]], ids=["scanned", "indexed"])
def test_filters_find_what_the_store_in_memory_finds(tmp_path: Path, seed: int, fields: list[str]) -> None:
    rng = np.random.default_rng(seed)
    documents = some_documents(rng, 120)
    theirs, ours = InMemoryDocumentStore(), PQStoreDocumentStore(str(tmp_path / "i"), 4, fields=fields)
    theirs.write_documents(documents)
    ours.write_documents(documents)
    for _ in range(150):
        filters = some_filter(rng)
        wanted = sorted(d.id for d in theirs.filter_documents(filters))
        assert sorted(d.id for d in ours.filter_documents(filters)) == wanted, filters
        assert ours.count_documents_by_filter(filters) == len(wanted)
    ours.close()


def test_all_of_a_document_comes_back(tmp_path: Path) -> None:
    document = Document(
        id="x",
        content="text",
        blob=ByteStream(b"\x00\x01", meta={"from": "a.bin"}, mime_type="application/x"),
        meta={"a": {"b": [1, {"c": None}]}, "meta.odd": 1, "content": 2},
        embedding=[1.0, 0.5],
        sparse_embedding=SparseEmbedding([1, 5], [0.25, 0.5]),
    )
    store = PQStoreDocumentStore(str(tmp_path / "index"), embedding_dim=2)
    store.write_documents([document])
    store.close()
    again = PQStoreDocumentStore.from_dict(store.to_dict())
    assert again.filter_documents() == [document]
    assert again.filter_documents({"field": "meta.a.b", "operator": "==", "value": [1, {"c": None}]}) == [document]
    again.close()


def test_twice_in_one_list(tmp_path: Path) -> None:
    store = PQStoreDocumentStore(str(tmp_path / "index"), embedding_dim=2)
    twice = [Document(id="1", content="a"), Document(id="1", content="b")]
    with pytest.raises(DuplicateDocumentError):
        store.write_documents(twice)
    assert store.count_documents() == 0
    assert store.write_documents(twice, DuplicatePolicy.SKIP) == 1
    assert store.filter_documents()[0].content == "a"
    assert store.write_documents(twice, DuplicatePolicy.OVERWRITE) == 2
    assert store.filter_documents()[0].content == "b"
    assert store.write_documents([]) == 0
    store.close()


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_retriever_in_a_pipeline(tmp_path: Path, metric: Any) -> None:
    store = PQStoreDocumentStore(str(tmp_path / "index"), embedding_dim=3, metric=metric)
    rows = [row.tolist() for row in np.eye(3)]
    documents = [Document(id=f"{n}", embedding=row, meta={"date": DATES[n]}) for n, row in enumerate(rows)]
    store.write_documents([*documents, Document(id="none", content="no embedding")])
    pipeline = Pipeline()
    pipeline.add_component("find", PQStoreEmbeddingRetriever(store, top_k=2))
    described = pipeline.dumps()
    store.close()
    pipeline = Pipeline.loads(described, allowed_modules=["pqstore.integrations.haystack"])
    found = pipeline.run({"find": {"query_embedding": [0.9, 0.5, 0.0]}})["find"]["documents"]
    assert [d.id for d in found] == ["0", "1"]
    assert found[0].score > found[1].score
    assert found[0].embedding is None
    filters = {"field": "meta.date", "operator": ">", "value": "2023-01-01T00:00:00+00:00"}
    asked = {"query_embedding": [0, 0, 1.0], "filters": filters, "top_k": 9}
    found = pipeline.run({"find": asked})["find"]["documents"]
    assert {d.id for d in found} == {"0", "1", "2"}
    pipeline.get_component("find").document_store.close()


def test_the_life_of_a_store(tmp_path: Path) -> None:
    """The first document, thousands that train it, a restart, filters, removal."""
    rng, D = np.random.default_rng(9), 16
    rows = rng.standard_normal((3000, D)).astype(np.float32)

    def opened() -> PQStoreDocumentStore:
        return PQStoreDocumentStore(str(tmp_path / "index"), D, fields=["part"], settings={"train_at": 2000})

    def document(n: int) -> Document:
        return Document(id=f"{n}", content=f"text {n}", embedding=rows[n].tolist(), meta={"part": n % 10})

    store = opened()
    store.write_documents([document(0)])
    assert [d.id for d in store.embedding_retrieval(rows[0].tolist(), top_k=5)] == ["0"]
    for start in range(1, 3000, 500):
        store.write_documents([document(n) for n in range(start, min(start + 500, 3000))])
    assert store.index.phase == "codes"
    store.close()
    store = opened()
    assert store.count_documents() == 3000
    third = {"field": "meta.part", "operator": "==", "value": 3}
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    wanted = [n for n in np.argsort(-(units @ rows[7])).tolist() if n % 10 == 3][:10]
    found = store.embedding_retrieval(rows[7].tolist(), third, top_k=10, return_embedding=True)
    assert [int(d.id) for d in found] == wanted
    np.testing.assert_array_equal(found[0].embedding, rows[wanted[0]])
    assert store.delete_by_filter(third) == 300
    assert not {int(d.id) % 10 for d in store.embedding_retrieval(rows[7].tolist(), top_k=50)} & {3}
    store.close()


def test_opened_again_it_is_what_it_is(tmp_path: Path) -> None:
    # The second process had to repeat the dimension, the metric and the kind of originals that the first one chose.
    path = str(tmp_path / "index")
    with PQStoreDocumentStore(path, 3, "l2", originals="float16") as store:
        store.write_documents([Document(id="a", embedding=[1.0, 0.0, 0.0], meta={"n": 1})])
    for readonly in (False, True):
        with PQStoreDocumentStore(path, readonly=readonly) as store:
            assert (store.index.dim, store.index.metric, store.index.readonly) == (3, "l2", readonly)
            assert PQStoreDocumentStore.from_dict(store.to_dict()).count_documents() == 1
            assert store.embedding_retrieval([1.0, 0.0, 0.0])[0].score == 1.0
    with PQStoreDocumentStore(str(tmp_path / "new")) as store:
        assert store.index.dim == 768
        with pytest.raises(ValueError, match="top_k"):
            PQStoreEmbeddingRetriever(store, top_k=0)


def test_what_a_filter_finds_is_changed_in_one_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A filter that Haystack looks through was looked through first, and the change made later: another writer's change
    # between the two was passed over.
    with PQStoreDocumentStore(str(tmp_path / "index"), 2) as store, ThreadPoolExecutor(1) as another:
        store.write_documents([Document(id=f"{n}", meta={"date": f"2024-01-0{n}"}) for n in range(1, 6)])
        late = {"field": "meta.date", "operator": ">", "value": "2024-01-03"}
        where = store._where

        def interrupted(filters: Any) -> Any:
            with pytest.raises(pqstore.IndexLockedError):
                another.submit(store.index.remove, ["5"], timeout=0).result()
            return where(filters)

        monkeypatch.setattr(store, "_where", interrupted)
        assert store.update_by_filter(late, {"seen": True}) == 2
        assert store.delete_by_filter(late) == 2
        assert store.count_documents() == 3
        assert store.update_by_filter({}, {"seen": False}) == 3
        assert store.delete_by_filter({}) == 3


def test_values_of_fields_without_numbers_come_from_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with PQStoreDocumentStore(str(tmp_path / "index"), 2, fields=["tags"]) as store:
        store.write_documents([Document(id=f"{n}", meta={"tags": ["B", f"t{n}"], "n": n}) for n in range(3)])
        assert store.get_metadata_field_unique_values("n") == ([0, 1, 2], 3)
        monkeypatch.setattr(store, "_values_in_payloads", None)
        assert store.get_metadata_field_unique_values("meta.tags", from_=1, size=2) == (["t0", "t1"], 4)
        assert store.get_metadata_field_unique_values("tags", search_term="b") == (["B"], 1)
        few = {"field": "meta.n", "operator": "<", "value": 1}
        assert store.count_unique_metadata_by_filter(few, ["tags", "missing"]) == {"tags": 2, "missing": 0}
