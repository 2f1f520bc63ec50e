"""What a file says of the metric of its vectors, in the words of other programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

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
    """The statement among `keys`, if there is one that is text."""
    for key in keys:
        if key.lower() in STATING:
            value = value_of(key)
            text = value.decode(errors="replace") if isinstance(value, bytes) else value
            if isinstance(text, str):
                return (Statement(where, key, str(text)),)
    return ()
