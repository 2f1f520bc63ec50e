"""Texts to be added, with their metadata and ids: checked before anything is embedded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from pqstore.errors import DimensionError, InvalidIdError

__all__ = ["TextBatch", "as_text_batch"]


class TextBatch(NamedTuple):
    """As many metadatas as texts, and as many ids, or None for automatic ones."""

    texts: list[str]
    metadatas: list[Mapping[str, Any]]
    ids: list[str] | None

    def parts(self, size: int | None) -> Iterator[TextBatch]:
        """Batches of at most `size` texts, or all in one; none of no texts.

        Raises:
            ValueError: `size` is below 1.
        """
        if size is not None and size < 1:
            raise ValueError(f"batch_size must be at least 1, got {size!r}")
        step = size or max(1, len(self.texts))
        for start in range(0, len(self.texts), step):
            part = slice(start, start + step)
            yield TextBatch(self.texts[part], self.metadatas[part], None if self.ids is None else self.ids[part])


def as_text_batch(
    texts: Iterable[str],
    metadatas: Sequence[Mapping[str, Any] | None] | None,
    ids: Sequence[str | None] | None,
) -> TextBatch:
    """The batch; embedding takes time and money, so what cannot be added is refused before.

    An empty list of metadatas or ids counts as none. Where some ids are None, they become new UUIDs.

    Raises:
        TypeError: `texts` is one str, or has something else than str; a metadata is no dict.
        InvalidIdError: an id is no str.
        DimensionError: there are not as many metadatas or ids as texts.
    """
    if isinstance(texts, str):
        raise TypeError("texts are a list of str, got one str: put it into a list")
    given = list(texts)
    for place, text in enumerate(given):
        if not isinstance(text, str):
            raise TypeError(f"texts are str, number {place} is {type(text).__name__}")
    for name, others in (("metadatas", metadatas), ("ids", ids)):
        if others and len(others) != len(given):
            raise DimensionError(f"there are {len(given)} texts and {len(others)} {name}: give one each, or none")
    return TextBatch(given, _maps(metadatas or [None] * len(given)), _names(ids) if ids else None)


def _maps(metadatas: Iterable[Any]) -> list[Mapping[str, Any]]:
    maps: list[Mapping[str, Any]] = []
    for place, metadata in enumerate(metadatas):
        if metadata is not None and not isinstance(metadata, Mapping):
            raise TypeError(f"metadatas are a list of dicts, number {place} is {metadata!r}")
        maps.append({} if metadata is None else metadata)
    return maps


def _names(ids: Iterable[Any]) -> list[str]:
    names: list[str] = []
    for place, id in enumerate(ids):
        if id is not None and not isinstance(id, str):
            raise InvalidIdError(f"ids are str, number {place} is {id!r} ({type(id).__name__})")
        names.append(str(uuid4()) if id is None else id)
    return names
