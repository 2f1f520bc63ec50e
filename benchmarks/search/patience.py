"""When a search of lists should stop: after so many rows, or after lists that brought nothing nearer.

    python -m benchmarks.search.patience [--queries 300]

Prints Markdown. Needs the data of `data.py`. Lists are made and put in order as an index does it; a true neighbour
counts as found where its list was read and its code is among the candidates. Rows that are read depend on no machine.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np

import pqstore
from benchmarks.data import load
from pqstore.index.lists.partitioning import automatic_partitions
from pqstore.kernels import active, list_order, resolve_threads
from pqstore.quantizer.partitions import train_partitions

CONFIGURATIONS = (("sift", 16, 256, 150), ("minilm", 96, 16, 100))
TARGETS = (0.9, 0.95, 0.98)
K = 10
MOST_LISTS = 1500


class Query(NamedTuple):
    """What a query would read, list after list."""

    rows: np.ndarray
    """(lists,): rows read when a list has been."""
    kth: np.ndarray
    """(lists,): the distance of the k-th best by codes then."""
    needs: np.ndarray
    """(k,): how many lists must be read for each true neighbour; more than there are where no code is near enough."""


def prepared(name: str, M: int, Ks: int, rerank: int, count: int) -> list[Query]:
    data, threads = load(name), resolve_threads(None)
    pq = pqstore.PQ(M=M, Ks=Ks, verbose=False).fit(data.train.astype(np.float32), iter=10)
    codes = pq.encode(data.base.astype(np.float32))
    decoded = pq.decode(codes)
    partitions = automatic_partitions(len(codes))
    sample = np.unique(np.linspace(0, len(codes) - 1, min(len(codes), 64 * partitions)).astype(int))
    table = train_partitions(lambda at: decoded[sample[at]], len(sample), partitions, threads=threads)
    of_row = table.assign(decoded, threads)
    sizes = np.bincount(of_row, minlength=partitions)
    members = np.split(np.argsort(of_row, kind="stable"), np.cumsum(sizes)[:-1])
    grid = table.grid(dot=False)
    queries = data.queries[len(data.queries) // 2 :][:count].astype(np.float32)
    truth = data.neighbors[len(data.queries) // 2 :][:count, :K]
    found = []
    for query, true in zip(queries, truth, strict=True):
        distances = active().adist(active().dtables(query[None], pq.codewords, "l2")[0], codes)
        order = list_order(grid, query)[: min(MOST_LISTS, partitions)]
        place = np.full(partitions, len(order))
        place[order] = np.arange(len(order))
        reachable = (distances[:, None] < distances[true]).sum(axis=0) < rerank
        needs = np.where(reachable, place[of_row[true]] + 1, len(order) + 1)
        best, kth = np.empty(0, dtype=np.float32), np.empty(len(order))
        for at, partition in enumerate(order):
            best = np.sort(np.concatenate((best, distances[members[partition]])))[:K]
            kth[at] = best[-1] if len(best) == K else np.inf
        found.append(Query(np.cumsum(sizes[order]), kth, needs))
    return found


def by_budget(query: Query, budget: int) -> int:
    """Lists that are read until there are so many rows."""
    return min(int(np.searchsorted(query.rows, budget)) + 1, len(query.rows))


def by_patience(query: Query, patience: int) -> int:
    """Lists that are read until so many of them, one after another, left the k-th best where it was."""
    nearer = np.flatnonzero(query.kth < np.concatenate(([np.inf], query.kth[:-1])))
    gaps = np.diff(nearer, append=len(query.kth) + patience)
    enough = np.flatnonzero(gaps > patience)
    return min(int(nearer[enough[0]]) + patience + 1, len(query.kth)) if len(enough) else len(query.kth)


def reached(queries: list[Query], lists: list[int]) -> tuple[float, float, float]:
    """(recall, of the worst tenth, rows read in the mean)."""
    shares = np.sort([float((query.needs <= count).mean()) for query, count in zip(queries, lists, strict=True)])
    rows = [int(query.rows[count - 1]) for query, count in zip(queries, lists, strict=True)]
    return float(shares.mean()), float(shares[: len(shares) // 10].mean()), float(np.mean(rows))


def least(queries: list[Query], rule, values: list[int], target: float) -> tuple[int, float, float, float] | None:
    """The first value that reaches a recall, with what it takes."""
    for value in values:
        recall, worst, rows = reached(queries, [rule(query, value) for query in queries])
        if recall >= target:
            return value, recall, worst, rows
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=300)
    options = parser.parse_args()
    print("| | recall@10 | budget: rows, worst tenth | patience: lists, rows, worst tenth | rows by patience |")
    print("|---|---|---|---|---|")
    for name, M, Ks, rerank in CONFIGURATIONS:
        queries = prepared(name, M, Ks, rerank, options.queries)
        most = int(max(query.rows[-1] for query in queries))
        budgets = np.unique(np.geomspace(100, most, 300).astype(int)).tolist()
        for target in TARGETS:
            budget = least(queries, by_budget, budgets, target)
            patience = least(queries, by_patience, list(range(1, MOST_LISTS)), target)
            if budget is None or patience is None:
                continue
            print(
                f"| {name} {M}x{Ks}, rerank {rerank} | {target} | {budget[3]:,.0f}, {budget[2]:.2f} | {patience[0]}, "
                f"{patience[3]:,.0f}, {patience[2]:.2f} | {patience[3] / budget[3] - 1:+.0%} |"
            )


if __name__ == "__main__":
    main()
