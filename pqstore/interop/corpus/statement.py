"""What a file says of the metric of its vectors, in the words of other programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pqstore.quantizer import Metric

__all__ = ["STATING", "Statement", "statements_in"]

STATING = ("distance", "metric", "space")
"""Names under which files state a metric."""

_WORDS: Mapping[Metric, tuple[str, ...]] = {
    "l2": ("l2", "euclidean", "squared euclidean", "sqeuclidean", "l2 squared", "squared l2", "l2sq"),
    "dot": ("dot", "ip", "inner product", "innerproduct", "dot product", "dotproduct", "max inner product"),
    "cosine": ("cosine", "cos", "angular", "cosine similarity", "cosine distance"),
}


@dataclass(frozen=True, slots=True)
class Statement:
    """A file's word on its metric."""

    where: str
    name: str
    value: str

    @property
    def metric(self) -> Metric | None:
        """The metric that is meant; None: one that pqstore does not have."""
        word = " ".join(self.value.lower().replace("-", " ").replace("_", " ").split())
        return next((metric for metric, words in _WORDS.items() if word in words), None)

    def __str__(self) -> str:
        return f"{self.where} says {self.name} = {self.value}"


def statements_in(where: str, keys: Iterable[str], value_of: Callable[[str], Any]) -> tuple[Statement, ...]:
    """The statement among `keys`, if there is one that is a word."""
    for key in keys:
        if key.lower() in STATING:
            text = _text(value_of(key))
            if text is not None:
                return (Statement(where, key, text),)
    return ()


def _text(value: Any) -> str | None:
    """A word as programs write it: as text, as bytes, or in an array of one."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.item() if value.size == 1 else None
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, str) else None
