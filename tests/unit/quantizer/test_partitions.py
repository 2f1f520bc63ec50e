"""Partition tables: the same by every kernel, in one level and in two, and where vectors belong."""

from __future__ import annotations

import numpy as np
import pytest

from pqstore.errors import TrainingError
from pqstore.kernels import available, get
from pqstore.quantizer import partitions as module
from pqstore.quantizer.partitions import PartitionTable, train_partitions


def vectors(n: int, D: int = 12, scale: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(n)
    centres = rng.standard_normal((40, D)) * 3
    return ((centres[rng.integers(0, 40, n)] + rng.standard_normal((n, D))) * scale).astype(np.float32)


def trained(made: np.ndarray, partitions: int, **options: int) -> PartitionTable:
    return train_partitions(lambda positions: made[positions], len(made), partitions, **options)


def distances(made: np.ndarray, table: PartitionTable) -> np.ndarray:
    return ((made[:, None].astype(np.float64) - table.centroids[None]) ** 2).sum(axis=2)


@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e15])
def test_one_level(scale: float) -> None:
    made = vectors(2000, scale=scale)
    table = trained(made, 40)
    assert len(table) == 40
    assert np.isfinite(table.stored).all()
    near = distances(made, table)
    np.testing.assert_array_equal(table.assign(made), near.argmin(axis=1))
    assert near.min(axis=1).mean() < 0.3 * near.mean()
    mean = near.min(axis=1)[::4].mean()
    assert 0.5 * mean < np.ldexp(float(table.spreads.mean()), 2 * table.exponent) < 2 * mean


def test_two_levels() -> None:
    """Most vectors belong to the nearest partition; groups are slices, and every partition is in one."""
    made = vectors(9000)
    table = trained(made, 1500, threads=2)
    assert len(table) == 1500
    assert len(table.groups) == 32
    assert table.first[0] == 0
    assert table.first[-1] == 1500
    assert np.all(np.diff(table.first) >= 0)
    some = made[:1000]
    assert np.mean(table.assign(some) == distances(some, table).argmin(axis=1)) > 0.9
    one_by_one = [int(table.assign(some[at : at + 1])[0]) for at in range(50)]
    assert table.assign(some)[:50].tolist() == one_by_one


@pytest.mark.parametrize("partitions", [30, 1100])
def test_every_kernel_makes_the_same(monkeypatch: pytest.MonkeyPatch, partitions: int) -> None:
    made = vectors(3000, D=5)
    tables = []
    for name in available():
        monkeypatch.setattr(module, "active", lambda name=name: get(name))
        monkeypatch.setattr("pqstore.quantizer.kmeans.active", lambda name=name: get(name))
        table = trained(made, partitions, threads=2)
        tables.append((table.stored.tobytes(), table.spreads.tobytes(), table.groups.tobytes(), table.exponent))
        tables[-1] += (table.assign(made, 2).tobytes(),)
    assert all(other == tables[0] for other in tables)


def test_few_distinct_vectors() -> None:
    made = np.repeat(vectors(3), 20, axis=0)
    table = trained(made, 10)
    assert len(set(table.assign(made).tolist())) == 3
    table = trained(np.zeros((5000, 4), dtype=np.float32), 1200)
    assert set(table.assign(np.zeros((3, 4), dtype=np.float32)).tolist()) == {0}


def test_fewer_vectors_than_partitions() -> None:
    with pytest.raises(TrainingError, match="11 partitions need at least as many vectors, there are 10"):
        trained(vectors(10), 11)
    assert len(trained(vectors(10), 10)) == 10
