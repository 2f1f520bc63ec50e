"""Open what is there, or make it: safe where many processes begin at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from pqstore.errors import DimensionError, IndexExistsError, IndexNotFoundError
from pqstore.quantizer import Quantizer

__all__ = ["open_or_create", "refuse_difference"]

_ATTEMPTS = 10
_PAUSE = 0.01  # seconds, longer each time: another process is between its first and its last step


class _Index(Protocol):
    @property
    def path(self) -> str: ...
    @property
    def dim(self) -> int: ...
    @property
    def metric(self) -> str: ...
    @property
    def id_type(self) -> str: ...
    @property
    def originals(self) -> str | None: ...
    @property
    def expiry(self) -> str | None: ...
    def close(self) -> None: ...


Opened = TypeVar("Opened", bound=_Index)


def open_or_create(
    opened: Callable[[], Opened], created: Callable[[], Opened], look_over: Callable[[Opened], None]
) -> Opened:
    """What `opened` returns once `look_over` has not refused it; what `created` returns where there is no index."""
    for attempt in range(_ATTEMPTS):
        try:
            index = opened()
        except IndexNotFoundError:
            try:
                return created()
            except IndexExistsError:
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(_PAUSE * attempt)
                continue
        try:
            look_over(index)
        except BaseException:
            index.close()
            raise
        return index
    raise AssertionError("the last attempt returns or raises")


def refuse_difference(
    index: _Index,
    quantizer: Any,
    id_type: str,
    metric: str | None,
    originals: str | None,
    dim: Any = None,
    expiry: str | None = None,
) -> None:
    """Raise `ValueError` or `DimensionError` where the index is not what was asked for.

    `quantizer` may be a function, of which nothing is known; None asks for nothing.
    """
    given = quantizer.D if isinstance(quantizer, Quantizer) and quantizer.D is not None else dim
    if given is not None and given != index.dim:
        raise DimensionError(
            f"the index at {index.path} is there already, for vectors of dimension {index.dim}, not {given}: "
            "choose another path"
        )
    wanted = (("id_type", id_type), ("metric", metric), ("originals", originals), ("expiry", expiry))
    for name, value in wanted:
        stored = getattr(index, name)
        if value is not None and value != stored:
            raise ValueError(
                f"the index at {index.path} is there already, with {name}={stored!r}, not {value!r}: "
                "choose another path, or ask for what it has"
            )
