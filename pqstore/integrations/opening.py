"""The index that an adapter owns: opened or begun by what its framework says, closed with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any

from pqstore.errors import IndexNotFoundError
from pqstore.index import Index
from pqstore.index.open_or_create import refuse_difference
from pqstore.quantizer import Metric

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["OwnsIndex", "opened_index"]


class OwnsIndex:
    """Closes its index at the end of a ``with`` block."""

    _index: Index

    def close(self) -> None:
        """Close the index; closing twice is allowed."""
        self._index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def opened_index(
    path: str | os.PathLike[str],
    dim: int | None,
    metric: Metric | None,
    fields: str | Iterable[str],
    readonly: bool,
    settings: dict[str, Any],
    *,
    dim_of_new: Callable[[], int],
    prefix: str = "",
    of_new: Mapping[str, Any] = MappingProxyType({}),
) -> Index:
    """The index at a path, with str ids; a new one where there is none yet, unless it is for reading.

    Args:
        path: Its directory.
        dim, metric: None: what the index has; a new one gets `dim_of_new()`, and "cosine".
        fields: What gets an index, of a new one; each has `prefix` before it in payloads.
        readonly: Open what is there.
        settings: Others of `Index.create`, of a new one. One that is there must have the `originals` that are named.
        dim_of_new: Asked once, and only where there is no index.
        of_new: What a new one has unless `settings` say otherwise.

    Raises:
        DimensionError, ValueError: the index that is there has another dimension, metric or kind of ids.
        IndexNotFoundError: nothing is there, with `readonly`. What `Index.open_or_create` raises.
    """
    if readonly:
        return _opened_for_reading(path, dim, metric)
    names = [fields] if isinstance(fields, str) else fields
    if not _is_there(path):
        metric = metric or "cosine"
        if dim is None and settings.get("quantizer") is None:
            dim = dim_of_new()
        settings = {**of_new, **settings}
    # Settings that cannot be meant are refused, also where there is an index already.
    indexed = dict.fromkeys(prefix + name for name in names)
    return Index.open_or_create(path, id_type="str", metric=metric, dim=dim, fields=indexed, **settings)


def _opened_for_reading(path: str | os.PathLike[str], dim: int | None, metric: Metric | None) -> Index:
    index = Index.open(path, readonly=True)
    try:
        refuse_difference(index, None, "str", metric, None, dim)
    except BaseException:
        index.close()  # nobody has it, to close it
        raise
    return index


def _is_there(path: str | os.PathLike[str]) -> bool:
    try:
        Index.open(path).close()
    except IndexNotFoundError:
        return False
    return True
