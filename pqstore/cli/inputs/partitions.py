"""How many inverted lists, and how many of them to read, as the command line says it."""

from __future__ import annotations

import argparse

__all__ = ["PARTITIONS_HELP", "as_nprobe", "as_partitions"]

PARTITIONS_HELP = "how many lists; auto: about 8 times the square root of the vectors; none: no lists"


def as_partitions(text: str) -> int | str | None:
    """What `Index.partition` takes."""
    if text == "none":
        return None
    return text if text == "auto" else _whole(text, "auto or none")


def as_nprobe(text: str) -> int | str:
    """What `nprobe` of a search takes."""
    return text if text == "all" else _whole(text, "or all")


def _whole(text: str, others: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a whole number, {others} expected, got {text!r}") from None
