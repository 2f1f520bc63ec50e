"""LlamaIndex's vector store beside its store in memory; skipped where llama-index-core is not installed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llama_index.core", reason="the oracle is LlamaIndex's own store")

from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

from pqstore.index.search.diversity import diverse
from pqstore.integrations.llama_index import PQStoreVectorStore

D = 8
RNG = np.random.default_rng(4)
TAGS = [["a"], ["a", "b"], [], ["c"]]


def nodes(count: int = 60) -> list[TextNode]:
    made = []
    for n in range(count):
        metadata: dict[str, Any] = {"n": n % 9, "word": f"Word {n % 5}", "tags": TAGS[n % 4], "x": n / 4}
        if n % 3 == 0:
            del metadata["n"]
        if n % 7 == 0:
            metadata |= {"word": "", "maybe": None, "x": None}
        node = TextNode(text=f"text {n}", id_=f"node-{n}", metadata=metadata, embedding=RNG.random(D).tolist())
        node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=f"doc-{n % 6}")
        made.append(node)
    return made


@pytest.fixture(params=["fields", "no fields"])
def stores(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any]]:
    fields = ["n", "word", "tags", "x", "maybe"] if request.param == "fields" else []
    ours, theirs = PQStoreVectorStore(tmp_path / "index", D, fields=fields, originals="float32"), SimpleVectorStore()
    made = nodes()
    assert ours.add(made) == theirs.add(made) == [node.node_id for node in made]
    yield ours, theirs
    ours.close()


def asked(stores: Any, filters: Any = None, **query: Any) -> tuple[Any, Any]:
    one = VectorStoreQuery(query_embedding=RNG.random(D).tolist(), similarity_top_k=200, filters=filters, **query)
    return stores[0].query(one), stores[1].query(one)


ONE = [
    *((op, "n", v) for op, v in product(["==", "!=", ">", "<", ">=", "<="], [3, 0, 100])),
    *((op, "n", None) for op in ("==", "!=")),
    *((op, "word", v) for op, v in product(["==", "!="], ["Word 1", "word 1", "", "ord"])),
    *((f"text_match{op}", "word", v) for op, v in product(["", "_insensitive"], ["Word 1", "word 1", "", "ord"])),
    *((op, "n", v) for op, v in product(["in", "nin"], [[1, 2], [], [100]])),
    *((op, "tags", v) for op, v in product(["any", "all"], [["a"], ["a", "b"], [], ["z", "c"]])),
    *(("contains", "tags", v) for v in ("a", "z")),
    *(("is_empty", key, None) for key in ("n", "word", "tags", "maybe", "none")),
    ("==", "x", 2.5),
    (">", "x", 3.25),
    ("==", "doc_id", "doc-2"),
    ("==", "none", 1),
    ("!=", "none", 1),
]


@pytest.mark.filterwarnings("ignore::pqstore.errors.FilterKindWarning")
def test_each_operator(stores: Any) -> None:
    for operator, key, value in ONE:
        filters = MetadataFilters(filters=[MetadataFilter(key=key, value=value, operator=FilterOperator(operator))])
        ours, theirs = asked(stores, filters)
        assert sorted(ours.ids) == sorted(theirs.ids), (operator, key, value)
        assert sorted(node.node_id for node in stores[0].get_nodes(filters=filters)) == sorted(theirs.ids)


@pytest.mark.filterwarnings("ignore::pqstore.errors.FilterKindWarning")
@pytest.mark.parametrize("condition", list(FilterCondition))
def test_conditions(stores: Any, condition: FilterCondition) -> None:
    rng = np.random.default_rng(8)
    for _ in range(60):
        some = [ONE[int(at)] for at in rng.integers(len(ONE), size=int(rng.integers(1, 4)))]
        parts = [MetadataFilter(key=key, value=value, operator=FilterOperator(op)) for op, key, value in some]
        filters = MetadataFilters(filters=parts, condition=condition)
        ours, theirs = asked(stores, filters)
        assert sorted(ours.ids) == sorted(theirs.ids), some
        # What the store in memory does not take: filters within filters.
        nested = MetadataFilters(filters=[filters, filters], condition=FilterCondition.NOT)
        rest = set(stores[1].data.embedding_dict) - set(theirs.ids)
        assert {node.node_id for node in stores[0].get_nodes(filters=nested)} == rest


def test_order_and_similarities(stores: Any) -> None:
    for query in ({}, {"node_ids": ["node-3", "node-40", "none"]}):
        ours, theirs = asked(stores, **query)
        assert ours.ids == theirs.ids
        np.testing.assert_allclose(ours.similarities, theirs.similarities, atol=1e-5)
        assert [node.node_id for node in ours.nodes] == ours.ids


def test_whole_nodes_come_back(stores: Any) -> None:
    ours, _ = asked(stores)
    given = {node.node_id: node for node in nodes()}
    for node in ours.nodes:
        assert node.text == given[node.node_id].text
        assert node.metadata == given[node.node_id].metadata
        assert node.ref_doc_id == given[node.node_id].ref_doc_id
        assert node.embedding is None, "reading them costs more than the rest of a query"
    found = stores[0].get_nodes(["node-5", "none", "node-1"])
    assert [node.node_id for node in found] == ["node-5", "node-1"]
    assert all(len(node.embedding) == D for node in found)
    assert len(stores[0].get_nodes()) == 60


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_diversity(stores: Any, threshold: float) -> None:
    """From the third on theirs weighs likeness to the last hit alone, where the paper has all that were chosen."""
    query = VectorStoreQuery(RNG.random(D).tolist(), similarity_top_k=2, mode=VectorStoreQueryMode.MMR)
    theirs = stores[1].query(query, mmr_threshold=threshold)
    assert stores[0].query(query, mmr_threshold=threshold, candidates=60).ids == theirs.ids
    query.mmr_threshold, query.similarity_top_k = threshold, 7
    given = stores[0].get_nodes()
    vectors = np.array([node.embedding for node in given], dtype=np.float32)
    wanted = [given[at].node_id for at in diverse(query.query_embedding, vectors, 7, threshold)]
    assert stores[0].query(query, candidates=60).ids == wanted


def test_documents(stores: Any) -> None:
    found = stores[0].query(VectorStoreQuery([1.0] * D, similarity_top_k=99, doc_ids=["doc-1", "doc-3"]))
    assert {node.ref_doc_id for node in found.nodes} == {"doc-1", "doc-3"}
    assert len(found.ids) == 20
    for store in stores:
        store.delete("doc-1")
        store.delete("none")
    ours, theirs = asked(stores)
    assert ours.ids == theirs.ids
    assert len(ours.ids) == 50


@pytest.mark.parametrize("ids", [None, ["node-1", "node-2", "node-9", "none"]])
@pytest.mark.parametrize("with_filter", [True, False])
def test_delete_nodes(stores: Any, ids: Any, with_filter: bool) -> None:
    more = MetadataFilter(key="n", value=5, operator=FilterOperator.GT)
    filters = MetadataFilters(filters=[more]) if with_filter else None
    for store in stores:
        store.delete_nodes(ids, filters)
    ours, theirs = asked(stores)
    assert sorted(ours.ids) == sorted(theirs.ids)


def test_life(tmp_path: Path) -> None:
    made = nodes()
    store = PQStoreVectorStore(tmp_path / "index", D)
    store.add(made[:10])
    changed = TextNode(text="new", id_="node-1", embedding=[1.0] * D)
    assert store.add([changed, TextNode(text="bare", id_="bare")]) == ["node-1", "bare"]
    store.persist("nowhere")
    store.close()
    store = PQStoreVectorStore(str(tmp_path / "index"), D)
    assert store.get_nodes(["node-1"])[0].text == "new"
    assert store.get_nodes(["bare"])[0].embedding is None
    assert "bare" not in store.query(VectorStoreQuery([1.0] * D, similarity_top_k=99)).ids
    assert len(store.client) == 11
    store.clear()
    assert store.query(VectorStoreQuery([1.0] * D, similarity_top_k=3)).ids == []
    assert store.add([]) == []
    for query in (VectorStoreQuery(), VectorStoreQuery([1.0] * D, mode=VectorStoreQueryMode.HYBRID)):
        with pytest.raises(ValueError, match=r"embedding|mode"):
            store.query(query)
    store.close()


def test_coroutines(tmp_path: Path) -> None:
    async def life() -> None:
        store, made = PQStoreVectorStore(tmp_path / "index", D), nodes(20)
        assert len(await store.async_add(made)) == 20
        assert len(await store.aget_nodes(["node-1"])) == 1
        await store.adelete("doc-0")
        await store.adelete_nodes(["node-1"])
        query = VectorStoreQuery([1.0] * D, similarity_top_k=99)
        assert len((await store.aquery(query)).ids) == 15
        await store.aclear()
        assert (await store.aquery(query)).ids == []
        store.close()

    asyncio.run(life())


def test_as_a_vector_index(tmp_path: Path) -> None:
    from llama_index.core import StorageContext, VectorStoreIndex
    from llama_index.core.embeddings import MockEmbedding

    store = PQStoreVectorStore(tmp_path / "index", D)
    model = MockEmbedding(embed_dim=D)
    context = StorageContext.from_defaults(vector_store=store)
    VectorStoreIndex(nodes(10), storage_context=context, embed_model=model)
    index = VectorStoreIndex.from_vector_store(store, embed_model=model)
    assert len(index.as_retriever(similarity_top_k=4).retrieve("anything")) == 4
    store.close()


def test_opened_again_it_is_what_it_is(tmp_path: Path) -> None:
    # `from_dict(to_dict())`, by which LlamaIndex loads what it wrote, was refused: it names the class's own flags.
    with pytest.raises(ValueError, match="a new one needs embed_dim="):
        PQStoreVectorStore(tmp_path / "index")
    with PQStoreVectorStore(tmp_path / "index", D, "l2") as store:
        store.add(nodes(3))
        with PQStoreVectorStore.from_dict(store.to_dict()) as again:
            assert (again.embed_dim, again.metric, len(again.client)) == (D, "l2", 3)
        with PQStoreVectorStore(tmp_path / "index", readonly=True) as again:
            assert again.client.readonly
            assert len(again.get_nodes()) == 3
