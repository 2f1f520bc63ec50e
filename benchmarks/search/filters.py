"""Filters, payloads and adding: time over searches without, bytes of a payload.

    python -m benchmarks.search.filters [--rows 1000000]

Prints Markdown. Needs the data of `data.py`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import msgpack
import numpy as np

import pqstore
from benchmarks.data import load, machine
from benchmarks.timing import one_query_at_a_time

RNG = np.random.default_rng(0)
FIELDS = ("lang", "percent", "number", "seen")


def payloads_for(rows: int) -> list:
    """Five fields, about 100 bytes of msgpack."""
    words = RNG.integers(0, 50, rows).tolist()
    numbers = RNG.integers(0, 10_000, rows).tolist()
    return [
        {
            "lang": ("de", "en")[number % 2],
            "percent": number % 100,
            "number": number,
            "title": f"a title of some forty characters, {word:06d}",
            "seen": at,
        }
        for at, (word, number) in enumerate(zip(words, numbers, strict=True))
    ]


def seconds(call) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def asked(index, **restriction) -> dict:
    """Searches with and without a restriction."""
    return {
        "all": lambda query: index.search(query, threads=1),
        "some": lambda query: index.search(query, threads=1, **restriction),
    }


def adding(directory: Path, base: np.ndarray, pq: pqstore.PQ) -> None:
    """Rows a second: codes alone, with originals and payloads, and with indexed fields too; bytes of a payload."""
    payloads = payloads_for(len(base))
    ratios: list = []
    indexed_ratios: list = []
    alone_rates = []
    for turn in range(5):
        plain = pqstore.Index.create(directory / f"plain-{turn}", pq)
        full = pqstore.Index.create(directory / f"full-{turn}", pq, originals="float16")
        indexed = pqstore.Index.create(directory / f"indexed-{turn}", pq, originals="float16", fields=FIELDS)
        alone = seconds(lambda: plain.add(base))  # noqa: B023
        ratios.append(alone / seconds(lambda: full.add(base, payloads=payloads)))  # noqa: B023
        indexed_ratios.append(alone / seconds(lambda: indexed.add(base, payloads=payloads)))  # noqa: B023
        alone_rates.append(len(base) / alone)
        used = full.stats().used_bytes - plain.stats().used_bytes
        for index in (plain, full, indexed):
            index.close()
    size = sum(len(msgpack.packb(payload)) for payload in payloads) / len(payloads)
    print(f"| adding {len(base):,} rows, codes alone | {np.median(alone_rates):,.0f} rows/s |")
    print(f"| the same with float16 originals and a payload of 5 fields | {np.median(ratios):.2f} of that |")
    print(f"| the same, and four of the fields indexed | {np.median(indexed_ratios):.2f} of that |")
    print(f"| bytes a row of a payload that is {size:.1f} bytes as msgpack | {used / len(base):.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="default 1,000,000: sift, jittered")
    rows = parser.parse_args().rows
    data = load("sift", rows)
    pq = pqstore.PQ(M=16, verbose=False).fit(data.train[:20_000].astype(np.float32), iter=10)
    print(f"pqstore {pqstore.__version__}, kernel {pqstore.kernels.active().name}, {machine()}, {rows:,} rows\n")
    print("| what | figure |\n|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        adding(Path(scratch), data.base[:200_000], pq)
        index = pqstore.Index.create(Path(scratch) / "filters", pq, fields=FIELDS)
        codes = pq.encode(data.base)
        index.add_codes(codes, payloads=payloads_for(rows))
        wheres = {
            "lang = de: 50 %": {"lang": "de"},
            "percent = 7: 1 %": {"percent": 7},
            "number = 77: 0.01 %": {"number": 77},
            "number < 5000: 50 %, a range of 5,000 values": {"number": {"$lt": 5000}},
            "percent in 20 values: 20 %": {"percent": {"$in": list(range(20))}},
            "number in 50 values: 0.5 %": {"number": {"$in": list(range(0, 10_000, 200))}},
            "lang = de or percent = 3: 51 %": {"$or": [{"lang": "de"}, {"percent": 3}]},
            "not number < 9000: 10 %": {"$not": {"number": {"$lt": 9000}}},
            "lang = de and percent < 50: 25 %": {"lang": "de", "percent": {"$lt": 50}},
            "seen in a range of half, all values distinct": {"seen": {"$gte": rows // 4, "$lt": 3 * rows // 4}},
        }
        queries = data.queries[:40].astype(np.float32)
        for name, where in wheres.items():
            with index.snapshot() as view:
                view.count(where)  # records are checked once a process
                bitmap = []
                for _ in range(15):
                    view._snapshot.memo.clear()
                    bitmap.append(seconds(lambda: view.count(where)))  # noqa: B023
                times = one_query_at_a_time(
                    asked(view, where=where),
                    queries,
                    3,
                )
                plan = view.search(queries[0], where=where, explain=True).plan
            print(
                f"| {name} | bitmap {np.median(bitmap) * 1e3:.2f} ms; {times['some']:.3f} of {times['all']:.3f} ms: "
                f"{times['some'] / times['all']:.2f} x; {plan.method} |",
                flush=True,
            )
        for share in (0.5, 0.01, 0.0001):
            ids = pqstore.IdSet(RNG.choice(rows, int(rows * share), replace=False))
            times = one_query_at_a_time(
                asked(index, allow=ids),
                queries,
                3,
            )
            ratio = times["some"] / times["all"]
            print(
                f"| IdSet of {len(ids):,} | {times['some']:.3f} of {times['all']:.3f} ms: {ratio:.2f} x |", flush=True
            )
        index.close()


if __name__ == "__main__":
    main()
