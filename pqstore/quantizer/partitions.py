"""The partition table: centroids that divide the space into lists, and which of them a vector belongs to."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from pqstore.arrays import F16, F32, F64, I64
from pqstore.errors import TrainingError
from pqstore.kernels import ListGrid, active, list_grid
from pqstore.quantizer.kmeans import head_start, lloyd
from pqstore.quantizer.seeding import initial_codewords

__all__ = ["MAX_PARTITIONS", "ROWS_PER_PARTITION", "PartitionTable", "table_around", "train_partitions"]

MAX_PARTITIONS = 65_536
ROWS_PER_PARTITION = 64
"""Rows a partition beyond which training gains little."""

_ONE_GROUP_UP_TO = 1024  # partitions
_NEAR_GROUPS = 12  # whose partitions a vector may belong to
_ITERATIONS = 10
_BLOCK_ROWS = 65_536
_ASSIGNED_ROWS = 1 << 18  # so many for each group that the centroids near it are worth being brought together
_SPREADS_FROM = 4  # one row of so many says how wide a partition is


class PartitionTable:
    """Partitions are numbered group by group; more than 1,024 of them have groups.

    A vector belongs to the nearest partition, as `Kernels.encode` defines it, of those in the 12 groups that are
    nearest to its nearest group; without groups, of all.
    """

    def __init__(self, stored: F16, exponent: int, spreads: F32, groups: F32, first: I64) -> None:
        """See the attributes; everything has been checked."""
        self.stored = stored
        """float16 (P, D): the centroids divided by ``2 ** exponent``."""
        self.exponent = exponent
        self.spreads = spreads
        """float32 (P,): mean squared distance of the vectors of a partition to its centroid, over ``4 ** exponent``."""
        self.groups = groups
        """float32 (G, D): centroids of groups."""
        self.first = first
        """int64 (G + 1): group g has the partitions ``first[g] .. first[g + 1] - 1``."""

    def __len__(self) -> int:
        """Number of partitions."""
        return len(self.stored)

    @property
    def D(self) -> int:  # noqa: N802
        """Dimension of the space that is divided: that of the codewords."""
        return int(self.stored.shape[1])

    @cached_property
    def centroids(self) -> F32:
        """float32 (P, D)."""
        return np.ldexp(self.stored.astype(np.float32), self.exponent)

    def grid(self, *, dot: bool) -> ListGrid:
        """What searches order lists by; `dot`: by inner products."""
        spreads = np.ldexp(self.spreads.astype(np.float64), 2 * self.exponent)
        return list_grid(self.centroids, spreads, self.groups, self.first, dot=dot)

    def assign(self, vectors: F32, threads: int = 1) -> I64:
        """The partition of each vector float32 (n, D): int64 (n,)."""
        if len(self.groups) == 1:
            return active().encode(vectors, self.centroids[None], threads)[:, 0].astype(np.int64)
        partitions = np.empty(len(vectors), dtype=np.int64)
        for start in range(0, len(vectors), _ASSIGNED_ROWS):
            part = slice(start, start + _ASSIGNED_ROWS)
            partitions[part] = self._assign_by_group(vectors[part], threads)
        return partitions

    def _assign_by_group(self, vectors: F32, threads: int) -> I64:
        groups = active().encode(vectors, self.groups[None], threads)[:, 0]
        partitions = np.empty(len(vectors), dtype=np.int64)
        order = np.argsort(groups, kind="stable")
        bounds = np.searchsorted(groups[order], np.arange(len(self.groups) + 1))
        for group in np.flatnonzero(np.diff(bounds)).tolist():
            mine = order[bounds[group] : bounds[group + 1]]
            candidates = self._candidates(group)
            nearest = active().encode(vectors[mine], self.centroids[candidates][None], threads)[:, 0]
            partitions[mine] = candidates[nearest]
        return partitions

    def _candidates(self, group: int) -> I64:
        """Partitions that a vector nearest to this group may belong to, ascending."""
        ranges = [np.arange(self.first[near], self.first[near + 1]) for near in self._near_groups[group].tolist()]
        return np.concatenate(ranges)

    @cached_property
    def _near_groups(self) -> I64:
        """The groups nearest to each that have partitions, in order of their numbers: int64 (G, 12)."""
        distances = np.zeros((len(self.groups), len(self.groups)))
        for d in range(self.D):  # in this order: part of what is defined
            wide = self.groups[:, d].astype(np.float64)
            distances += (wide[:, None] - wide[None]) ** 2
        distances[:, np.diff(self.first) == 0] = np.inf
        near = np.argsort(distances, axis=1, kind="stable")[:, :_NEAR_GROUPS]
        return np.sort(near, axis=1)


def train_partitions(
    vectors_at: Callable[[I64], F32], rows: int, partitions: int, *, seed: int = 123, threads: int = 1
) -> PartitionTable:
    """Train a table of so many partitions by k-means over `rows` vectors, which ``vectors_at(positions)`` gives,
    float32 (n, D). More than 1,024 partitions are trained in two levels: groups, then each group by itself. The same
    vectors and seed give the same table, by any kernels.

    Raises:
        TrainingError: there are fewer vectors than partitions.
    """
    if rows < partitions:
        raise TrainingError(f"{partitions} partitions need at least as many vectors, there are {rows}")
    seeds = np.random.SeedSequence(seed)
    everything = np.arange(rows)
    if partitions <= _ONE_GROUP_UP_TO:
        centroids = _means(vectors_at(everything), partitions, seeds, threads)
        groups, first = centroids.mean(axis=0, dtype=np.float64, keepdims=True), np.array([0, partitions])
        return _measured(_rounded(centroids, groups.astype(np.float32), first), vectors_at, rows, threads)
    count = 1 << round(np.log2(partitions) / 2)
    group_seed, sample_seed, *rest = seeds.spawn(count + 2)
    some = np.random.default_rng(sample_seed).permutation(rows)[: 256 * count]
    groups = _means(vectors_at(np.sort(some)), count, group_seed, threads)
    of_group = np.concatenate(
        [active().encode(vectors_at(part), groups[None], threads)[:, 0] for part in _blocks(everything)]
    )
    shares = _shares(np.bincount(of_group, minlength=count), partitions)
    first = np.concatenate(([0], np.cumsum(shares)))
    centroids = np.empty((partitions, groups.shape[1]), dtype=np.float32)
    for group in np.flatnonzero(shares).tolist():
        mine = vectors_at(np.flatnonzero(of_group == group))
        centroids[first[group] : first[group + 1]] = _means(mine, int(shares[group]), rest[group], threads)
    centroids = _one_round(_rounded(centroids, groups, first), vectors_at, rows, threads)
    return _measured(_rounded(centroids, groups, first), vectors_at, rows, threads)


def table_around(
    centroids: F32, vectors_at: Callable[[I64], F32], rows: int, *, seed: int = 123, threads: int = 1
) -> PartitionTable:
    """The table of given centroids, finite float32 (P, D), in groups like those that are trained; arguments as of
    `train_partitions`. What is stored of the centroids is float16, and more than 1,024 of them are numbered anew."""
    if len(centroids) <= _ONE_GROUP_UP_TO:
        groups, first = centroids.mean(axis=0, dtype=np.float64, keepdims=True), np.array([0, len(centroids)])
        return _measured(_rounded(centroids, groups.astype(np.float32), first), vectors_at, rows, threads)
    count = 1 << round(np.log2(len(centroids)) / 2)
    groups = _means(centroids, count, np.random.SeedSequence(seed), threads)
    of_group = active().encode(centroids, groups[None], threads)[:, 0]
    order = np.argsort(of_group, kind="stable")
    first = np.concatenate(([0], np.cumsum(np.bincount(of_group, minlength=count))))
    return _measured(_rounded(centroids[order], groups, first), vectors_at, rows, threads)


def _blocks(positions: I64) -> list[I64]:
    return [positions[at : at + _BLOCK_ROWS] for at in range(0, len(positions), _BLOCK_ROWS)]


def _means(vectors: F32, count: int, seed: np.random.SeedSequence, threads: int) -> F32:
    """Centroids float32 (count, D) of k-means over vectors (n, D)."""
    points = np.ascontiguousarray(vectors)[None]
    start_seed, sample_seed = seed.spawn(2)
    start = initial_codewords(points, count, "points", [start_seed])
    start = head_start(points, start, _ITERATIONS, threads, sample_seed)
    return lloyd(points, start, _ITERATIONS, threads, lambda *_: None)[0]


def _shares(counts: I64, partitions: int) -> I64:
    """How many partitions each group gets: in proportion to its rows, one at least and no more than there are rows."""
    exact = counts * (partitions / counts.sum())
    shares = np.minimum(np.maximum(np.floor(exact).astype(np.int64), counts > 0), counts)
    while shares.sum() != partitions:
        short = int(partitions - shares.sum())
        can = np.flatnonzero(shares < counts) if short > 0 else np.flatnonzero(shares > 1)
        by_need = can[np.argsort((shares - exact)[can] * np.sign(short), kind="stable")][: abs(short)]
        shares[by_need] += np.sign(short)
    return shares


def _rounded(centroids: F32, groups: F32, first: I64) -> PartitionTable:
    """The table with centroids as they are stored; their spreads are not known yet."""
    most = float(np.abs(centroids).max(initial=0))
    exponent = int(np.frexp(most)[1]) if most > 0 else 0
    stored = np.ldexp(centroids, -exponent).astype(np.float16)
    return PartitionTable(stored, exponent, np.zeros(len(stored), dtype=np.float32), groups, first.astype(np.int64))


def _one_round(table: PartitionTable, vectors_at: Callable[[I64], F32], rows: int, threads: int) -> F32:
    """The mean of the vectors that each partition gets; partitions without any stay as they are."""
    sums: F64 = np.zeros((len(table), table.D))
    counts = np.zeros(len(table), dtype=np.int64)
    for part in _blocks(np.arange(rows)):
        vectors = vectors_at(part)
        assigned = table.assign(vectors, threads)
        counts += np.bincount(assigned, minlength=len(table))
        for d in range(table.D):
            sums[:, d] += np.bincount(assigned, weights=vectors[:, d], minlength=len(table))
    means = table.centroids.copy()
    means[counts > 0] = (sums[counts > 0] / counts[counts > 0][:, None]).astype(np.float32)
    return means


def _measured(table: PartitionTable, vectors_at: Callable[[I64], F32], rows: int, threads: int) -> PartitionTable:
    """The table with the spreads of its partitions; one without vectors gets the mean of the others."""
    sums: F64 = np.zeros(len(table))
    counts = np.zeros(len(table), dtype=np.int64)
    for part in _blocks(np.arange(0, rows, _SPREADS_FROM)):
        vectors = vectors_at(part)
        assigned = table.assign(vectors, threads)
        counts += np.bincount(assigned, minlength=len(table))
        squares = np.zeros(len(vectors))
        for d in range(table.D):
            squares += np.ldexp(vectors[:, d].astype(np.float64) - table.centroids[assigned, d], -table.exponent) ** 2
        sums += np.bincount(assigned, weights=squares, minlength=len(table))
    spreads = np.full(len(table), sums.sum() / max(1, counts.sum()))
    spreads[counts > 0] = sums[counts > 0] / counts[counts > 0]
    table.spreads = spreads.astype(np.float32)
    return table
