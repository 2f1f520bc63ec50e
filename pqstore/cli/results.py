"""Results of a search as programs read them: a .npz or .npy file, or lines of JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from pqstore.cli.json_text import json_text

if TYPE_CHECKING:
    from pqstore import SearchResult

__all__ = ["Hit", "hits_of", "write_result"]


class Hit(TypedDict, total=False):
    """What was found for one query, nearest first, without padding; payloads if they were asked for."""

    query: int
    ids: list[Any]
    distances: list[float]
    payloads: list[Any]


def hits_of(result: SearchResult, queries: int | None = None) -> Iterator[Hit]:
    """One record for each query (or the first `queries`); places that no vector fills are left out."""
    import numpy as np

    payloads = getattr(result, "payloads", None)
    for number, (ids, distances) in enumerate(zip(*result, strict=True)):
        if number == queries:
            return
        filled = np.isfinite(distances)
        hits: Hit = {
            "query": number,
            "ids": ids[filled].tolist(),
            # the shortest decimals that are this float32
            "distances": [float(str(value)) for value in distances[filled]],
        }
        if payloads is not None:
            hits["payloads"] = [payload for payload, is_hit in zip(payloads[number], filled, strict=True) if is_hit]
        yield hits


def write_result(path: str, result: SearchResult) -> None:
    """Write .npz (arrays ``ids`` and ``distances``), .npy (the ids alone) or .jsonl (a line a query).

    Raises:
        ValueError: the name ends in none of these.
    """
    import numpy as np

    if path.endswith(".jsonl"):
        lines = (json_text(hits) + "\n" for hits in hits_of(result))
        with Path(path).open("w", encoding="utf-8") as stream:
            stream.writelines(lines)
        return
    ids, distances = result
    if ids.dtype == object:
        # Fixed-width strings: a .npy file without pickle.
        ids = np.array([["" if value is None else value for value in row] for row in ids.tolist()])
    if path.endswith(".npz"):
        np.savez(path, ids=ids, distances=distances)
    elif path.endswith(".npy"):
        np.save(path, ids)
    else:
        raise ValueError(f"{path}: give a name that ends in .npz (ids and distances), .npy (ids) or .jsonl")
