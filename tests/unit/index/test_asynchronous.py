"""The event loop stays free while an index works."""

from __future__ import annotations

import asyncio
import inspect
import threading

import numpy as np
import pytest

import pqstore
from pqstore.errors import UnknownIdError
from tests.unit.index.contents import payload, vectors

# Said at once, or no calls that wait.
IMMEDIATE = {"path", "quantizer", "dim", "phase", "metric", "id_type", "originals", "readonly", "closed"}
# Properties that read the catalog: `stats()` has them too, and a twin.
IN_STATS = {"expiry", "fields", "sets"}
# A transaction belongs to one thread, and what is awaited runs in any: a function that has the whole block is awaited.
OF_ONE_THREAD = {"transaction"}


def public_names() -> set[str]:
    return {name for name in dir(pqstore.Index) if not name.startswith("_")}


def twins() -> set[str]:
    return {name for name in public_names() if name[0] == "a" and name[1:] in public_names()}


def test_every_method_that_waits_has_a_twin() -> None:
    missing = {
        name for name in public_names() - twins() - IMMEDIATE - IN_STATS - OF_ONE_THREAD if f"a{name}" not in twins()
    }
    assert missing == set()
    assert len(twins()) >= 30


@pytest.mark.parametrize(
    "name", sorted(twins() - {"acreate", "aopen", "aopen_or_create", "arepair", "afrom_faiss", "aiter_codes"})
)
def test_a_twin_takes_the_same_arguments(name: str) -> None:
    twin, method = getattr(pqstore.Index, name), getattr(pqstore.Index, name[1:])
    assert inspect.iscoroutinefunction(twin)
    assert inspect.signature(twin) == inspect.signature(method)
    assert (twin.__name__, twin.__qualname__) == (name, f"Index.{name}")
    assert method.__name__ in twin.__doc__


def test_the_event_loop_stays_free(filled, monkeypatch) -> None:
    entered, go_on = threading.Event(), threading.Event()
    plain = filled.search

    def held(*args, **options):
        entered.set()
        assert go_on.wait(20)
        return plain(*args, **options)

    async def work() -> list:
        monkeypatch.setattr(filled, "search", held)
        task = asyncio.create_task(filled.asearch(vectors()[1], k=1, rerank=50))
        while not entered.is_set():
            await asyncio.sleep(0.001)
        record = await filled.aget(5, include="payload")  # answered while the search is held up
        assert record.payload == payload(5)
        go_on.set()
        return (await task).ids.tolist()

    assert asyncio.run(work()) == [1]


def test_async_changes(empty) -> None:
    async def work() -> None:
        await empty.aadd(vectors()[:5], payloads=[{"n": n} for n in range(5)])
        await empty.aupsert(vectors()[:1], [3], payloads=[{"n": 9}])
        assert (await empty.arange_search(vectors()[0], np.inf, where={"n": 9})).ids.tolist() == [3]
        assert await empty.aremove([3]) == 1
        assert await empty.adelete({"n": 1}) == 1
        assert await empty.acount() == 3
        with pytest.raises(UnknownIdError):
            await empty.aget(3)

    asyncio.run(work())
    assert len(empty) == 3


def test_codes_and_files_in_threads(filled, tmp_path) -> None:
    async def work() -> None:
        blocks = [ids.tolist() async for ids, _ in filled.aiter_codes(block_rows=100)]
        assert [id for block in blocks for id in block] == list(filled)
        assert len(blocks) > 1
        await filled.abackup(tmp_path / "copy")
        copy = await pqstore.Index.aopen(tmp_path / "copy", readonly=True)
        assert (await copy.astats()).vectors == len(filled)
        assert await copy.averify(deep=True) == []
        await copy.aclose()
        assert copy.closed
        made = await pqstore.Index.acreate(tmp_path / "new", filled.quantizer, id_type="str", bulk=True)
        await made.apublish()
        assert made.id_type == "str"
        made.close()
        report = await pqstore.Index.arepair(tmp_path / "copy", tmp_path / "repaired")
        assert report is not None

    asyncio.run(work())


def test_an_asynchronous_block_closes_and_publishes(small_pq, tmp_path) -> None:
    async def build() -> None:
        async with await pqstore.Index.acreate(tmp_path / "new", small_pq, bulk=True) as index:
            await index.aadd(np.ones((3, small_pq.D), dtype=np.float32))
        assert index.closed
        async with await pqstore.Index.aopen(tmp_path / "new") as index:
            assert len(index) == 3
        with pytest.raises(ValueError, match="given up"):
            async with await pqstore.Index.acreate(tmp_path / "other", small_pq, bulk=True):
                raise ValueError("given up")

    asyncio.run(build())
    assert [entry.name for entry in tmp_path.iterdir()] == ["new"]
