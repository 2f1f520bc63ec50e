"""What applications ask besides the nearest: groups, diversity, values of fields, texts, rows without a vector.

    python -m benchmarks.search.questions [--rows 1000000]

Prints Markdown. Needs the data of `data.py`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import pqstore
from benchmarks.data import load, machine
from benchmarks.timing import one_query_at_a_time

RNG = np.random.default_rng(0)
VALUES = 1000  # of the field that has few


def payloads_for(rows: int) -> list[dict[str, object]]:
    """A document of ten rows each, a word of a thousand, a title of its own."""
    words = RNG.integers(0, VALUES, rows).tolist()
    return [
        {"doc": int(at % max(1, rows // 10)), "word": f"word-{word:04d}", "title": f"a title of some letters, {at:09d}"}
        for at, word in enumerate(words)
    ]


def median_ms(call: Callable[[], object], turns: int = 9) -> float:
    times = []
    for _ in range(turns):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1e3


def variety(index: pqstore.Index, queries: np.ndarray) -> None:
    """Groups and diversity, over plain searches of the same index."""
    times = one_query_at_a_time(
        {
            "plain": lambda query: index.search(query, threads=1),
            "groups": lambda query: index.search(query, threads=1, group_by="doc"),
            "pairs": lambda query: index.search(query, threads=1, group_by="word", per_group=2),
            "diverse": lambda query: index.search(query, threads=1, mmr=0.5),
        },
        queries,
        3,
    )
    for name, what in (
        ("groups", "group_by a field of which ten rows have the same value, k = 10"),
        ("pairs", f"group_by a field of {VALUES:,} values, per_group = 2"),
        ("diverse", "mmr = 0.5, 50 candidates"),
    ):
        print(
            f"| {what} | {times[name]:.3f} of {times['plain']:.3f} ms: {times[name] / times['plain']:.2f} x |",
            flush=True,
        )


def facts(index: pqstore.Index) -> None:
    """Values of fields with an index."""
    low = {"doc": {"$lt": 1000}}
    for what, call in (
        (f"field_values of {VALUES:,} values", lambda: index.field_values("word", limit=VALUES)),
        ("the first 20 values of a field with a value for ten rows", lambda: index.field_values("doc", limit=20)),
        (
            f"field_values of {VALUES:,} values, where a filter holds",
            lambda: index.field_values("word", low, limit=VALUES),
        ),
        ("field_range", lambda: index.field_range("doc")),
    ):
        call()
        print(f"| {what} | {median_ms(call):.2f} ms |", flush=True)


def texts(index: pqstore.Index) -> None:
    """Parts of texts, with an index on the field and without, beside reading all payloads."""

    def fresh(where: dict[str, object]) -> Callable[[], object]:
        def call() -> None:
            with index.snapshot() as view:
                view.count({"$and": [where, {"doc": {"$gte": -RNG.random()}}]})  # no two are the same

        return call

    reading = median_ms(fresh({"title": {"$exists": True}}), 3)
    for operator, part in (("$text", ", 00012"), ("$itext", ", 00012")):
        scanned = median_ms(fresh({"title": {operator: part}}), 3)
        print(f"| {operator} without an index | {scanned:.0f} ms, reading {reading:.0f}: {scanned / reading:.2f} x |")
        indexed = median_ms(fresh({"word": {operator: "d-0012"}}))
        print(f"| {operator} with one, {VALUES:,} values | {indexed:.2f} ms |", flush=True)


def beside_vectorless(index: pqstore.Index, queries: np.ndarray) -> None:
    """Searches of the same rows with a hundredth of them without a vector."""
    plain = one_query_at_a_time({"plain": lambda query: index.search(query, threads=1)}, queries, 3)["plain"]
    index.add(None, payloads=[{"doc": -1}] * (len(index) // 100))
    beside = one_query_at_a_time({"plain": lambda query: index.search(query, threads=1)}, queries, 3)["plain"]
    print(
        f"| search beside rows without a vector | {beside:.3f} of {plain:.3f} ms: {beside / plain:.2f} x |", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="default 1,000,000: sift, jittered")
    rows = parser.parse_args().rows
    data = load("sift", rows)
    pq = pqstore.PQ(M=16, verbose=False).fit(data.train[:20_000].astype(np.float32), iter=10)
    print(f"pqstore {pqstore.__version__}, kernel {pqstore.kernels.active().name}, {machine()}, {rows:,} rows\n")
    print("| what | figure |\n|---|---|")
    queries = data.queries[:40].astype(np.float32)
    with tempfile.TemporaryDirectory() as scratch:
        with pqstore.Index.create(Path(scratch) / "index", pq, fields=["doc", "word"], bulk=True) as index:
            index.add_codes(pq.encode(data.base), payloads=payloads_for(rows))
        with pqstore.Index.open(Path(scratch) / "index") as index:
            variety(index, queries)
            facts(index)
            texts(index)
            beside_vectorless(index, queries)


if __name__ == "__main__":
    main()
