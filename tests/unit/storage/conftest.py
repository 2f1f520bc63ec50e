"""What the tests of the storage share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pqstore.storage import Store
from tests.unit.storage.model import Model
from tests.unit.storage.row_packing import RowPacking


@pytest.fixture
def packing() -> RowPacking:
    return RowPacking(8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.pqs"


@pytest.fixture
def create(path: Path, packing: RowPacking) -> Callable[..., Store]:
    """Make a small index: segments of 1,024 rows, tail chunks of 1,024 unless `packing` is wide."""

    def make(**options: Any) -> Store:
        options = {"segment_rows": 1024, **options}
        arrays = options.pop("arrays", {"codewords": np.arange(12, dtype=np.float32).reshape(3, 4)})
        settings = options.pop("settings", {"M": 8})
        return Store.create(options.pop("path", path), settings, arrays, options.pop("packing", packing), **options)

    return make


@pytest.fixture
def reopen(path: Path, packing: RowPacking) -> Callable[..., Store]:
    def open_(**options: Any) -> Store:
        return Store.open(options.pop("path", path), lambda _: packing, **options)

    return open_


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


@pytest.fixture(params=["int64", "str"])
def model(request: pytest.FixtureRequest, rng: np.random.Generator) -> Model:
    return Model(request.param, 8, rng)
