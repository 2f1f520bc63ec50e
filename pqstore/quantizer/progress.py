"""What training tells the one who waits: printed lines, and a callback for progress bars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Progress", "TrainingStep", "reporter", "say"]


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """One finished iteration of `fit`."""

    stage: str
    """ "k-means" or "rotation"."""
    done: int
    """Iterations of this stage that are done, from 1."""
    total: int
    """Iterations of this stage at most; k-means stops earlier when nothing changes."""
    error: float
    """Mean squared distance of the training vectors to their codewords, when the iteration began."""


Progress: TypeAlias = Callable[[TrainingStep], None]


def say(verbose: bool, text: str) -> None:
    """Print a line, if `verbose`: the only place where the quantizers print."""
    if verbose:
        print(text, flush=True)


def reporter(verbose: bool, progress: Progress | None, stage: str, total: int) -> Callable[[int, float], None]:
    """A function of (iterations done, error) that prints a line and calls `progress`."""

    def report(done: int, error: float) -> None:
        say(verbose, f"{stage} iteration {done} of {total}: mean squared error {error:.6g}")
        if progress is not None:
            progress(TrainingStep(stage, done, total, error))

    return report
