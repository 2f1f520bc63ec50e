"""The calls of an index for an event loop: each runs in a thread, so that the loop stays free."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pqstore.index.arguments.ids import IdArray
from pqstore.index.search.results import RangeResult, SearchResult

__all__ = ["AsyncCalls"]

Result = TypeVar("Result")


class AsyncCalls:
    """For `Index`: ``await index.asearch(...)`` is ``index.search(...)``, with the same arguments and errors.

    Scans run outside Python's global lock. A call that was begun runs to its end even when the task that awaits it
    is cancelled.
    """

    async def asearch(self: Any, queries: Any, k: int = 10, **options: Any) -> SearchResult:
        """As `Index.search`."""
        return await _in_thread(self.search, queries, k, **options)

    async def arange_search(self: Any, queries: Any, radius: float, **options: Any) -> RangeResult:
        """As `Index.range_search`."""
        return await _in_thread(self.range_search, queries, radius, **options)

    async def aadd(self: Any, vectors: Any, ids: Any = None, **options: Any) -> IdArray:
        """As `Index.add`."""
        return await _in_thread(self.add, vectors, ids, **options)

    async def aupsert(self: Any, vectors: Any, ids: Any, **options: Any) -> IdArray:
        """As `Index.upsert`."""
        return await _in_thread(self.upsert, vectors, ids, **options)

    async def aremove(self: Any, ids: Any, missing: str = "error", **options: Any) -> int:
        """As `Index.remove`."""
        return await _in_thread(self.remove, ids, missing, **options)

    async def aget(self: Any, ids: Any, **options: Any) -> Any:
        """As `Index.get`."""
        return await _in_thread(self.get, ids, **options)


async def _in_thread(call: Callable[..., Result], *arguments: Any, **named: Any) -> Result:
    from asyncio import to_thread  # noqa: PLC0415 # who calls this has loaded it; most programs never do

    return await to_thread(call, *arguments, **named)
