"""The calls of an index for an event loop: each runs in a thread, so that the loop stays free."""

from __future__ import annotations

import asyncio
from typing import Any

from pqstore.index.arguments.ids import IdArray
from pqstore.index.search.results import RangeResult, SearchResult

__all__ = ["AsyncCalls"]


class AsyncCalls:
    """For `Index`: ``await index.asearch(...)`` is ``index.search(...)``, with the same arguments and errors.

    Scans run outside Python's global lock. A call that was begun runs to its end even when the task that awaits it
    is cancelled.
    """

    async def asearch(self: Any, queries: Any, k: int = 10, **options: Any) -> SearchResult:
        """As `Index.search`."""
        return await asyncio.to_thread(self.search, queries, k, **options)

    async def arange_search(self: Any, queries: Any, radius: float, **options: Any) -> RangeResult:
        """As `Index.range_search`."""
        return await asyncio.to_thread(self.range_search, queries, radius, **options)

    async def aadd(self: Any, vectors: Any, ids: Any = None, **options: Any) -> IdArray:
        """As `Index.add`."""
        return await asyncio.to_thread(self.add, vectors, ids, **options)

    async def aupsert(self: Any, vectors: Any, ids: Any, **options: Any) -> IdArray:
        """As `Index.upsert`."""
        return await asyncio.to_thread(self.upsert, vectors, ids, **options)

    async def aremove(self: Any, ids: Any, missing: str = "error") -> int:
        """As `Index.remove`."""
        return await asyncio.to_thread(self.remove, ids, missing)

    async def aget(self: Any, ids: Any, **options: Any) -> Any:
        """As `Index.get`."""
        return await asyncio.to_thread(self.get, ids, **options)
