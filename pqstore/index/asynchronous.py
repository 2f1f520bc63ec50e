"""The calls of an index for an event loop: each runs in a thread, so that the loop stays free."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from typing import Concatenate

    from typing_extensions import ParamSpec

    Arguments = ParamSpec("Arguments")

__all__ = ["in_thread", "in_threads", "twin_of"]

Handle = TypeVar("Handle")
Result = TypeVar("Result")


def twin_of(
    method: Callable[Concatenate[Handle, Arguments], Result],
) -> Callable[Concatenate[Handle, Arguments], Coroutine[Any, Any, Result]]:
    """The method that does in a thread what `method` does, with the same arguments and errors.

    Scans run outside Python's global lock. A call that was begun runs to its end even when the task that awaits it is
    cancelled.
    """
    name = method.__name__

    async def twin(self: Handle, /, *arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        return await in_thread(getattr(self, name), *arguments, **named)

    update_wrapper(twin, method)
    twin.__name__, twin.__doc__ = f"a{name}", f"`Index.{name}` in a thread, to be awaited."
    twin.__qualname__ = f"{method.__qualname__.rpartition('.')[0]}.a{name}"
    return twin


async def in_thread(call: Callable[..., Result], *arguments: Any, **named: Any) -> Result:
    """What `call` returns or raises, in a thread."""
    from asyncio import to_thread  # noqa: PLC0415 # who calls this has loaded it; most programs never do

    return await to_thread(call, *arguments, **named)


async def in_threads(source: Iterator[Result]) -> AsyncIterator[Result]:
    """The items of an iterator, each fetched in a thread."""
    end = object()
    while True:
        item: Any = await in_thread(next, source, end)
        if item is end:
            return
        yield item
