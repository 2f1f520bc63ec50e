"""The event loop stays free while an index works."""

from __future__ import annotations

import asyncio
import threading

import numpy as np

from tests.unit.index.contents import payload, vectors


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

    asyncio.run(work())
    assert len(empty) == 4
