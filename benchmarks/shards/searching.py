"""A collection in one process beside one index of the same rows: single queries, batches, re-ranking, filters.

    python -m benchmarks.shards.searching [--rows 8000000] [--shards 8] [--dir /var/tmp]

Calls are taken in turns; answers are compared. Prints Markdown. Needs the data of `data.py`.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

import pqstore
from benchmarks.data import machine
from benchmarks.shards.corpus import begun
from benchmarks.timing import CLOCKS, interleave
from pqstore import shards

BATCH = 200


def differing(many, one, queries: np.ndarray, **asked) -> int:
    """Queries whose ids or distances differ by a bit."""
    left, right = many.search(queries, **asked), one.search(queries, **asked)
    same = (left.ids == right.ids) & (left.distances.view(np.uint32) == right.distances.view(np.uint32))
    return int((~same.all(axis=1)).sum())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=8_000_000)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--dir", default=None)
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir) as name:
        plan, place, queries = begun(Path(name), options.rows, options.shards)
        shards.build(plan, place)
        shards.commit(plan, place)
        quantizer = pqstore.PQ.load(next(place.glob("quantizer-*.npz")))
        with pqstore.Index.create(Path(name) / "one", quantizer, bulk=True) as made:
            made.add(np.load(Path(name) / "vectors.npy", mmap_mode="r"))
        allow = list(range(0, options.rows, 100))
        with pqstore.Index.open(Path(name) / "one") as one, shards.Collection.open(place) as many:
            cases = {
                "single query, k 10": ({"k": 10}, 1),
                "single query, k 100": ({"k": 100}, 1),
                f"batch of {BATCH}, k 10": ({"k": 10}, BATCH),
                "single query, 1 of 100 allowed": ({"k": 10, "allow": pqstore.IdSet(allow)}, 1),
            }
            print(f"{machine()}; {options.rows:,} rows in {len(plan.shards)} shards, M = 16, all cores\n")
            print(
                "| what | one index, ms | collection, ms | times as long | differing answers |\n|---|---|---|---|---|"
            )
            for case, (asked, count) in cases.items():
                rounds = range(options.rounds if count == 1 else max(5, options.rounds // 6))

                def ask(index, asked, count, at) -> object:
                    first = at * count % (len(queries) - count + 1)
                    return index.search(queries[first] if count == 1 else queries[first : first + count], **asked)

                subjects = {name: partial(ask, each, asked, count) for name, each in {"one": one, "many": many}.items()}
                times = interleave(subjects, rounds, CLOCKS["wall"])
                wrong = differing(many, one, queries[:50], **asked)
                print(
                    f"| {case} | {times.median('one') * 1e3:.2f} | {times.median('many') * 1e3:.2f} | "
                    f"{1 / times.ratio('many', 'one'):.2f} | {wrong} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
