"""What `verify` finds."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Problem"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A broken invariant: its number in docs/format.md, where, and what was found."""

    invariant: int
    record: str
    message: str

    def __str__(self) -> str:
        return f"invariant {self.invariant}, {self.record}: {self.message}"
