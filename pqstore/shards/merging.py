"""What shards answer, put together: nearest first, equal distances in the order of ids, as one index answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, I64
from pqstore.index.arguments.ids import IdArray
from pqstore.kernels.merge import merge_nearest

__all__ = ["Found", "Merged", "merged", "merged_within"]


class Found(NamedTuple):
    """What a shard has found: nearest first, padded with id -1 or None, infinitely far."""

    ids: IdArray
    """(n, c)"""
    distances: F32
    """(n, c)"""


class Merged(NamedTuple):
    """The nearest of all shards."""

    ids: IdArray
    """(n, k)"""
    distances: F32
    """(n, k)"""
    shards: I64
    """int64 (n, k): where each lies; -1 for padding."""


def merged(answers: Mapping[int, Found], queries: int, k: int, *, larger_is_nearer: bool, strings: bool) -> Merged:
    """The k nearest that shards, by number, have found for so many queries."""
    far = np.float32(-np.inf if larger_is_nearer else np.inf)
    nothing = Merged(
        np.full((queries, k), None, dtype=object) if strings else np.full((queries, k), -1, dtype=np.int64),
        np.full((queries, k), far, dtype=np.float32),
        np.full((queries, k), -1, dtype=np.int64),
    )
    if not answers or not queries:
        return nothing
    ids = np.concatenate([found.ids for found in answers.values()], axis=1)
    distances = np.concatenate([found.distances for found in answers.values()], axis=1)
    widths = [found.ids.shape[1] for found in answers.values()]
    owners = np.repeat(np.fromiter(answers, np.int64, len(answers)), widths)
    if strings:
        missing = ids == None  # noqa: E711 # element by element
        names = _ranks(ids, missing)
    else:
        missing, names = (ids == -1) & (distances == far), ids
    places = merge_nearest(distances, names, missing, k, larger_is_nearer=larger_is_nearer)
    there = places >= 0
    which = np.where(there, places, 0)
    result = nothing
    result.ids[there] = np.take_along_axis(ids, which, axis=1)[there]
    result.distances[there] = np.take_along_axis(distances, which, axis=1)[there]
    result.shards[there] = owners[which[there]]
    return result


def merged_within(
    answers: Mapping[int, tuple[list[IdArray], list[F32]]], queries: int, most: int | None, *, larger_is_nearer: bool
) -> tuple[list[IdArray], list[F32]]:
    """All that shards have found within a radius of each query, or the `most` nearest."""
    ids_of_all: list[IdArray] = []
    distances_of_all: list[F32] = []
    for query in range(queries):
        ids = np.concatenate([ids[query] for ids, _ in answers.values()])
        distances = np.concatenate([distances[query] for _, distances in answers.values()])
        if len(ids):
            names = _ranks(ids[None], np.zeros((1, len(ids)), dtype=bool)) if ids.dtype == object else ids[None]
            order = merge_nearest(distances[None], names, None, len(ids), larger_is_nearer=larger_is_nearer)[0]
            order = order[order >= 0][:most]
            ids, distances = ids[order], distances[order]
        ids_of_all.append(ids)
        distances_of_all.append(distances)
    return ids_of_all, distances_of_all


def _ranks(ids: IdArray, missing: npt.NDArray[np.bool_]) -> I64:
    """Numbers in the order of the ids, those that are missing 0."""
    ranks = np.zeros(ids.shape, dtype=np.int64)
    ranks[~missing] = np.unique(ids[~missing], return_inverse=True)[1]
    return ranks
