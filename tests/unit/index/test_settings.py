"""Settings and arrays that contradict each other are refused by name, and leave no handle; so are names of no field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pqstore
from pqstore.errors import CorruptIndexError
from pqstore.index.code_packing import CodePacking
from pqstore.index.code_space import CodeSpace
from pqstore.index.settings import record_of
from pqstore.kernels import CodeLayout
from pqstore.storage import Store
from pqstore.storage.transactions import open_index

ODD = (0, -1, 3, 2**63, None, 2.0, "2", True)
VECTORS = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)


def made(path: Path, settings: dict[str, Any], arrays: dict[str, Any], Ks: int = 32, row_bytes: int = 0) -> Path:
    """An index on disk whose settings and arrays are those of a PQ of `Ks` codewords, but for the changes."""
    quantizer = pqstore.PQ(M=2, Ks=Ks, verbose=False).fit(VECTORS, iter=1)
    plain, stored = record_of(CodeSpace(quantizer, "l2"))
    nested = settings.pop("quantizer", {})
    if isinstance(nested, dict):
        nested = {**plain["quantizer"], **nested}
    plain = {**plain, "quantizer": nested, **settings}
    plain = {name: value for name, value in plain.items() if value != "missing"}
    stored = {name: array for name, array in {**stored, **arrays}.items() if array is not None}
    Store.create(path, plain, stored, CodePacking(CodeLayout(2, Ks)), row_bytes=row_bytes).close()
    return path


@pytest.mark.parametrize(
    "settings",
    [
        {"metric": "L2"},
        {"metric": ["l2"]},
        {"metric": "missing"},
        {"quantizer": "missing"},
        {"quantizer": 5},
        {"more": 1},
        {"originals": "float64"},
        {"originals": "float32"},
        *(
            {"quantizer": {name: value}}
            for name in ("M", "Ks", "D")
            for value in (0, -1, 3, 2**63, None, 2.0, "2", True)
        ),
        {"quantizer": {"kind": "IVF"}},
        {"quantizer": {"kind": ["PQ"]}},
        {"quantizer": {"metric": "hamming"}},
        {"quantizer": {"more": 1}},
    ],
    ids=str,
)
def test_settings_that_cannot_be(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(CorruptIndexError):
        pqstore.Index.open(made(tmp_path / "x.pqs", settings, {}))


@pytest.mark.parametrize(
    "arrays",
    [
        {"codewords": np.full((2, 32, 4), np.nan, dtype=np.float32)},
        {"codewords": np.zeros((2, 32, 5), dtype=np.float32)},
        {"codewords": np.zeros((2, 32, 4))},
        {"codewords": None},
        {"R": np.zeros((8, 8), dtype=np.float32)},
        {"labels": None},
        {"labels": np.zeros((2, 32), dtype=np.uint8)},
        {"labels": np.arange(64, dtype=np.uint8).reshape(2, 32).astype(np.int64)},
        {"labels": np.arange(32, dtype=np.uint8)},
    ],
    ids=lambda arrays: (
        f"{[(name, getattr(a, 'dtype', None), getattr(a, 'shape', None)) for name, a in arrays.items()]}"
    ),
)
def test_arrays_that_do_not_fit(arrays: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(CorruptIndexError):
        pqstore.Index.open(made(tmp_path / "x.pqs", {}, arrays))


def test_labels_where_codes_have_none(tmp_path: Path) -> None:
    labels = np.arange(32, dtype=np.uint8).reshape(2, 16)
    with pytest.raises(CorruptIndexError, match="labels"):
        pqstore.Index.open(made(tmp_path / "x.pqs", {}, {"labels": labels}, Ks=16))


def test_originals_that_the_settings_do_not_know(tmp_path: Path) -> None:
    """So many bytes a row were made room for in every answer."""
    with pytest.raises(CorruptIndexError, match="bytes of original a row"):
        pqstore.Index.open(made(tmp_path / "x.pqs", {}, {}, row_bytes=2**32 - 1))


def open_descriptors() -> int:
    """How many this process has; 0 where the system does not tell."""
    there = Path("/proc/self/fd")
    return len(list(there.iterdir())) if there.is_dir() else 0


def test_a_failed_open_leaves_no_handle(tmp_path: Path) -> None:
    path = made(tmp_path / "x.pqs", {}, {"labels": None})
    before = open_descriptors()
    for _ in range(5):
        with pytest.raises(CorruptIndexError):
            pqstore.Index.open(path)
    assert not [shared for shared in open_index._registry.open.values() if shared.path == path]
    assert open_descriptors() == before


def test_a_sound_one_opens(tmp_path: Path) -> None:
    with pqstore.Index.open(made(tmp_path / "x.pqs", {}, {})) as index:
        assert len(index.add(VECTORS)) == 600


@pytest.mark.parametrize("name", [3, None, ["a"], ("a", "b"), b"a", 1.5, {"a": 1}])
def test_a_field_is_named_by_one_text(tmp_path: Path, name: Any) -> None:
    with pqstore.Index.create(tmp_path / "x.pqs", dim=4) as index:
        index.add(np.eye(4), payloads=[{"a": 1}] * 4)
        for ask in (
            index.field_values,
            index.field_range,
            index.create_field_index,
            lambda given: index.search(np.ones(4), group_by=given) if given is not None else index.field_range(given),
        ):
            with pytest.raises(TypeError, match="named by a str"):
                ask(name)
    for fields in (3, [name], None):
        with pytest.raises(TypeError, match="str"):
            pqstore.Index.create(tmp_path / "y.pqs", dim=4, fields=fields)
    assert not (tmp_path / "y.pqs").exists()
