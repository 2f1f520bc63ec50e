"""A case of VectorDBBench, run by its own runners: loaded in batches, optimized, asked by one process and by many.

    pip install vectordb-bench
    python -m benchmarks.integrations.vectordb_bench [--rows 10000] [--dim 128] [--concurrency 1 2] [--label]

The data set is generated: clusters, with the true neighbours beside them. Prints Markdown: what VectorDBBench measured.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

LABEL, LABELLED = "label_10p", 0.1  # what a filter by label asks for, and the share of the rows that have it


def written_data_set(directory: Path, rows: int, dim: int, queries: int = 100, k: int = 100) -> None:
    """Parquet files as VectorDBBench reads them: train, test, neighbors, labels and the neighbours among those."""
    import polars as pl

    rng = np.random.default_rng(0)
    centres = rng.standard_normal((max(2, rows // 100), dim)).astype(np.float32)
    train = centres[rng.integers(len(centres), size=rows)] + 0.5 * rng.standard_normal((rows, dim)).astype(np.float32)
    test = train[rng.integers(rows, size=queries)] + 0.2 * rng.standard_normal((queries, dim)).astype(np.float32)
    is_labelled = rng.random(rows) < LABELLED
    numbers = np.arange(queries)
    distances = np.square(train).sum(axis=1) - 2 * test @ train.T
    pl.DataFrame({"id": np.arange(rows), "emb": train.tolist()}).write_parquet(directory / "train.parquet")
    pl.DataFrame({"id": numbers, "emb": test.tolist()}).write_parquet(directory / "test.parquet")
    label = np.where(is_labelled, LABEL, "other")
    pl.DataFrame({"id": np.arange(rows), "labels": label}).write_parquet(directory / "scalar_labels.parquet")
    for name, allowed in (("neighbors", np.ones(rows, bool)), (f"neighbors_labels_{LABEL}", is_labelled)):
        scored = np.where(allowed, distances, np.inf)
        nearest = np.argsort(scored, axis=1, kind="stable")[:, :k]
        pl.DataFrame({"id": numbers, "neighbors_id": nearest.tolist()}).write_parquet(directory / f"{name}.parquet")


def measured(
    directory: Path, rows: int, dim: int, seconds: int, concurrency: list[int], by_label: bool, **case: Any
) -> Any:
    """The metrics that VectorDBBench makes of the case; k is 100."""
    os.environ.setdefault("LOG_FILE", str(directory / "vectordb_bench.log"))
    from vectordb_bench.backend.assembler import Assembler
    from vectordb_bench.backend.cases import CaseType
    from vectordb_bench.backend.clients import DB
    from vectordb_bench.backend.data_source import DatasetSource
    from vectordb_bench.models import CaseConfig, ConcurrencySearchConfig, TaskConfig

    from pqstore.integrations.vectordb_bench import PQStoreCaseConfig, PQStoreClient, PQStoreConfig

    written_data_set(directory, rows, dim)
    custom = {
        "name": "clusters",
        "description": "",
        "load_timeout": 3600,
        "optimize_timeout": 3600,
        "dataset_config": {"name": "clusters", "dir": str(directory), "size": rows, "dim": dim, "metric_type": "L2"},
        "use_filter": by_label,
        "label_percentage": LABELLED if by_label else None,
    }
    task = TaskConfig(
        db=DB.Test,  # its enumeration has no member for a client from elsewhere: this one stands in for it
        db_config=PQStoreConfig(path=str(directory / "index"), db_label="pqstore"),
        db_case_config=PQStoreCaseConfig(**case),
        case_config=CaseConfig(
            case_id=CaseType.PerformanceCustomDataset,
            custom_case=custom,
            concurrency_search_config=ConcurrencySearchConfig(
                num_concurrency=concurrency, concurrency_duration=seconds
            ),
        ),
        insert_batch_size=1000,
        load_concurrency=1,
    )
    with mock.patch.object(DB, "init_cls", PQStoreClient):
        return Assembler.assemble("run", task, DatasetSource.S3).run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--seconds", type=int, default=5, help="how long each number of processes asks")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 2], help="numbers of processes")
    parser.add_argument("--label", action="store_true", help="filter by a label that a tenth of the rows has")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        found = measured(
            Path(directory), given.rows, given.dim, given.seconds, given.concurrency, given.label, rerank=400
        )
    print("| rows | loaded, s | optimized, s | recall@100 | p99 of one, ms | processes: queries a second |")
    print("|---|---|---|---|---|---|")
    rates = ", ".join(f"{n}: {qps:,.0f}" for n, qps in zip(found.conc_num_list, found.conc_qps_list, strict=True))
    print(
        f"| {given.rows:,} | {found.insert_duration:.2f} | {found.optimize_duration:.2f} | {found.recall:.3f} "
        f"| {found.serial_latency_p99 * 1e3:.2f} | {rates} |"
    )


if __name__ == "__main__":
    main()
