"""How far a long call is, told to who waits for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Progress", "ProgressStep", "no_progress"]


@dataclass(frozen=True, slots=True)
class ProgressStep:
    """A piece of work that is done."""

    stage: str
    """ "adding" (vectors); "rotation", "k-means", "encoding" (vectors) of training; "rewriting" (segments)
    and "merging" (runs); "copying" (bytes); "lists" (rows in lists that are made); "pages", "records", "ids",
    "attachments" of what is verified."""
    done: int
    """How much of this stage is done."""
    total: int | None
    """Of how much; None where nobody knows."""


Progress: TypeAlias = Callable[[ProgressStep], object]


def no_progress(step: ProgressStep) -> None:
    """For calls that nobody watches."""
