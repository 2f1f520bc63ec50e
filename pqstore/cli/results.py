"""Results of a search as programs read them: a .npz or .npy file, or lines of JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypedDict

from pqstore.cli.json_text import json_text

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pqstore import SearchResult

__all__ = ["Hit", "check_result_name", "hits_of", "shortest", "write_results"]


class Hit(TypedDict, total=False):
    """What was found for one query, nearest first, without padding; payloads if they were asked for."""

    query: int
    ids: list[Any]
    distances: list[float]
    payloads: list[Any]


def hits_of(answers: Iterable[SearchResult]) -> Iterator[Hit]:
    """One record for each query of each batch; places that no vector fills are left out."""
    import numpy as np

    number = 0
    for result in answers:
        payloads = getattr(result, "payloads", None)
        for row, (ids, distances) in enumerate(zip(*result, strict=True)):
            filled = np.isfinite(distances)
            hits: Hit = {"query": number, "ids": ids[filled].tolist(), "distances": shortest(distances[filled])}
            if payloads is not None:
                hits["payloads"] = [payload for payload, is_hit in zip(payloads[row], filled, strict=True) if is_hit]
            yield hits
            number += 1


def shortest(values: npt.NDArray[np.float32]) -> list[float]:
    """The shortest decimals that are these float32."""
    decimals: list[float] = values.astype("U").astype("f8").tolist()
    return decimals


def check_result_name(path: str, with_payloads: bool) -> None:
    """Refuse, before the search, a name to which its results cannot be written.

    Raises:
        ValueError: the name has another ending, or one of a file that holds no payloads.
    """
    if not path.endswith((".npz", ".npy", ".jsonl")):
        raise ValueError(f"{path}: give a name that ends in .npz (ids and distances), .npy (ids) or .jsonl")
    if with_payloads and not path.endswith(".jsonl"):
        raise ValueError(f"{path}: arrays hold no payloads: give a name that ends in .jsonl")


def write_results(path: str, answers: Iterable[SearchResult]) -> None:
    """Write .npz (arrays ``ids`` and ``distances``), .npy (the ids alone) or .jsonl (a line a query, as they come).

    Raises:
        ValueError: a str id ends in NUL, which arrays of strings do not keep.
    """
    import numpy as np

    from pqstore.whole_file import whole_file

    with whole_file(path) as stream:
        if path.endswith(".jsonl"):
            for hits in hits_of(answers):
                stream.write(json_text(hits).encode() + b"\n")
            return
        parts = list(answers)
        ids = np.concatenate([part.ids for part in parts])
        if ids.dtype == object:
            ids = _texts(path, ids)
        if path.endswith(".npz"):
            np.savez(stream, ids=ids, distances=np.concatenate([part.distances for part in parts]))
        else:
            np.save(stream, ids)


def _texts(path: str, ids: npt.NDArray[Any]) -> npt.NDArray[np.str_]:
    """Strings of fixed width, so that the file needs no pickle; "" where no vector fills a place."""
    import numpy as np

    rows = [["" if value is None else value for value in row] for row in ids.tolist()]
    if any(value.endswith("\0") for row in rows for value in row):
        raise ValueError(f"{path}: an id ends in NUL, which an array of strings does not keep: write .jsonl")
    return np.array(rows, dtype=np.str_).reshape(ids.shape)
