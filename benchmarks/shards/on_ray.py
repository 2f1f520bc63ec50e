"""A question to the actors of a `Searcher` beside one to actors that do nothing, and beside one process.

    python -m benchmarks.shards.on_ray [--rows 400000] [--shards 4] [--rounds 300]

Where a single query begins to be worth distributing follows from the last column. Prints Markdown. Needs Ray and the
data of `data.py`.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
from pathlib import Path

import numpy as np
import ray

from benchmarks.data import machine
from benchmarks.shards.corpus import begun
from benchmarks.timing import CLOCKS, interleave
from pqstore import shards
from pqstore.shards.ray import Searcher


@ray.remote(num_cpus=0.1)
class Nothing:
    """An actor that answers as quickly as any can."""

    def answer(self, queries: np.ndarray) -> int:
        return len(queries)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=300)
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR, object_store_memory=200 << 20)
    with tempfile.TemporaryDirectory() as name:
        plan, place, queries = begun(Path(name), options.rows, options.shards)
        shards.build(plan, place)
        shards.commit(plan, place)
        nothing = [Nothing.remote() for _ in plan.shards]
        with Searcher(place, num_cpus=0.1) as searcher, shards.Collection.open(place) as here:
            batches = queries[:200]
            subjects = {
                "bare": lambda at: ray.get([actor.answer.remote(queries[at]) for actor in nothing]),
                "searcher": lambda at: searcher.search(queries[at], k=10),
                "here": lambda at: here.search(queries[at], k=10),
            }
            times = interleave(subjects, range(options.rounds), CLOCKS["wall"])
            together = interleave(
                {"searcher": lambda _: searcher.search(batches, k=10), "here": lambda _: here.search(batches, k=10)},
                range(20),
                CLOCKS["wall"],
            )
    print(f"{machine()}; {options.rows:,} rows in {options.shards} shards and as many actors on 2 cores\n")
    print("| | bare fan-out | Searcher | times as long | in one process |\n|---|---|---|---|---|")
    for word, share in {"p50": 0.5, "p95": 0.95}.items():
        bare, mine, local = (float(np.quantile(times.of(each), share)) * 1e3 for each in ("bare", "searcher", "here"))
        print(f"| single query, {word}, ms | {bare:.2f} | {mine:.2f} | {mine / bare:.2f} | {local:.2f} |")
    mine, local = (together.median(each) * 1e3 for each in ("searcher", "here"))
    print(f"| batch of 200, ms | | {mine:.1f} | | {local:.1f} |")
    ray.shutdown()


if __name__ == "__main__":
    main()
