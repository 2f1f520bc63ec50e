"""A client of VectorDBBench, driven as its runners drive one; skipped where vectordb-bench is not installed."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("LOG_FILE", os.devnull)  # else importing it begins logs/vectordb_bench.log, wherever one is
pytest.importorskip(
    "vectordb_bench.backend.clients.api", reason="the interface is vectordb-bench's", exc_type=ImportError
)

from vectordb_bench.backend.clients.api import MetricType
from vectordb_bench.backend.filter import FilterOp, IntFilter, LabelFilter, NonFilter

from pqstore.integrations.vectordb_bench import PQStoreCaseConfig, PQStoreClient, PQStoreConfig

N, D = 3000, 16
X = np.random.default_rng(6).standard_normal((N, D)).astype(np.float32)
LABELS = ["label_10p" if n % 10 == 0 else "other" for n in range(N)]


def loaded(path: Path, **case: Any) -> PQStoreClient:
    config = PQStoreConfig(path=str(path), db_label="test")
    client = PQStoreClient(D, config.to_dict(), PQStoreCaseConfig(**case), "c", drop_old=True, with_scalar_labels=True)
    with client.init():
        for start in range(0, N, 1000):
            part = slice(start, start + 1000)
            count, error = client.insert_embeddings(X[part].tolist(), list(range(start, start + 1000)), LABELS[part])
            assert (count, error) == (1000, None)
        client.optimize(N)
    return client


@pytest.mark.parametrize("partitions", [None, 8])
@pytest.mark.parametrize("metric", [MetricType.L2, MetricType.COSINE, MetricType.IP])
def test_a_case(tmp_path: Path, metric: MetricType, partitions: Any) -> None:
    client = loaded(
        tmp_path / "index", metric_type=metric, partitions=partitions, rerank=N, scan=N if partitions else None
    )
    rows = X if metric != MetricType.COSINE else X / np.linalg.norm(X, axis=1, keepdims=True)
    query = X[17] * 0.9
    scores = -((X - query) ** 2).sum(axis=1) if metric == MetricType.L2 else rows @ query
    for filters, allowed in (
        (NonFilter(filter_rate=0.0), np.ones(N, dtype=bool)),
        (IntFilter(filter_rate=0.01, int_value=2500), np.arange(N) >= 2500),
        (LabelFilter(label_percentage=0.1), np.array(LABELS) == "label_10p"),
    ):
        assert PQStoreClient.filter_supported(filters)
        client.prepare_filter(filters)
        copy = pickle.loads(pickle.dumps(client))
        with copy.init():
            found = copy.search_embedding(query.tolist(), 10)
        wanted = [int(at) for at in np.argsort(-scores, kind="stable") if allowed[at]][:10]
        assert len(found) == 10
        assert len(set(found) & set(wanted)) >= 9, "float16 originals may swap a pair"


def test_what_goes_wrong_is_told(tmp_path: Path) -> None:
    client = loaded(tmp_path / "index", partitions=None)
    with client.init():
        count, error = client.insert_embeddings([[0.0] * (D + 1)], [1])
        assert count == 0
        assert isinstance(error, ValueError)
    assert {FilterOp.NumGE, FilterOp.StrEqual} <= set(PQStoreClient.supported_filter_types)


def test_what_is_there_stays_unless_it_is_dropped(tmp_path: Path) -> None:
    client = loaded(tmp_path / "index", partitions=None)
    again = PQStoreClient(D, {"path": str(tmp_path / "index")}, None, "c")
    with again.init(), client.init():
        assert len(again.index) == N
    again = PQStoreClient(D, {"path": str(tmp_path / "index")}, None, "c", drop_old=True)
    with again.init():
        assert len(again.index) == 0


@pytest.mark.lives
@pytest.mark.parametrize("filters", [[], ["--label"]])
def test_a_case_is_run_by_its_own_runners(filters: list[str]) -> None:
    for name in ("vectordb_bench.backend.task_runner", "vectordb_bench.backend.assembler"):
        pytest.importorskip(name, reason="its runners need more than its interface: make peers", exc_type=ImportError)
    command = [sys.executable, "-m", "benchmarks.integrations.vectordb_bench", "--rows", "2000", "--dim", "16"]
    command += ["--seconds", "1", "--concurrency", "2", *filters]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows, _, _, recall, _, rates = (part.strip() for part in done.stdout.splitlines()[-1].strip("|").split("|"))
    assert rows == "2,000"
    assert float(recall) > 0.95
    assert int(rates.removeprefix("2: ").replace(",", "")) > 0, "processes asked, and were answered"
