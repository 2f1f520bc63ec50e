"""The index of an adapter: opened as it is, or begun as the adapter says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import pqstore
from pqstore.integrations.opening import OwnsIndex, opened_index


def refused() -> int:
    raise AssertionError("the dimension of an index that is there was asked for")


def opened(path: Path, **given: Any) -> pqstore.Index:
    wanted = {"dim": None, "metric": None, "fields": (), "readonly": False, "settings": {}, "dim_of_new": refused}
    return opened_index(path, **{**wanted, **given})


def test_a_new_one_has_what_is_said_and_the_rest_by_itself(tmp_path: Path) -> None:
    made = opened(
        tmp_path / "a", dim_of_new=lambda: 8, fields=("a", "b", "a"), prefix="meta.", of_new={"originals": "float32"}
    )
    with made as index:
        assert (index.dim, index.metric, index.id_type) == (8, "cosine", "str")
        assert set(index.fields) == {"meta.a", "meta.b"}
    with opened(tmp_path / "b", dim=4, metric="l2", fields="abc", settings={"originals": "float16"}) as index:
        assert (index.dim, index.metric, index.fields) == (4, "l2", ("abc",))
    # Before codes are trained an index has float32, and will have what was asked for.
    with pytest.raises(ValueError, match="originals"):
        opened(tmp_path / "a", settings={"originals": "float16"})
    opened(tmp_path / "b", settings={"originals": "float16"}).close()


@pytest.mark.parametrize("readonly", [False, True])
def test_one_that_is_there_stays_as_it_is(tmp_path: Path, readonly: bool) -> None:
    opened(tmp_path / "a", dim=4, metric="dot").close()
    with opened(tmp_path / "a", readonly=readonly, of_new={"originals": "float32"}) as index:
        assert (index.dim, index.metric) == (4, "dot")
    with pytest.raises(pqstore.DimensionError, match="of dimension 4, not 5"):
        opened(tmp_path / "a", dim=5, readonly=readonly)
    with pytest.raises(ValueError, match="metric='dot', not 'l2'"):
        opened(tmp_path / "a", metric="l2", readonly=readonly)


def test_for_reading_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(pqstore.IndexNotFoundError):
        opened(tmp_path / "a", dim=4, readonly=True)
    assert list(tmp_path.iterdir()) == []


def test_settings_that_cannot_be_meant_are_refused_whether_it_is_there_or_not(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(TypeError, match="colour"):
            opened(tmp_path / "a", dim=4, settings={"colour": 1})
        opened(tmp_path / "a", dim=4).close()


def test_a_block_closes_it(tmp_path: Path) -> None:
    class Adapter(OwnsIndex):
        def __init__(self, path: Path) -> None:
            self._index = opened(path, dim=4)

    with Adapter(tmp_path / "a") as adapter:
        assert len(adapter._index) == 0
    adapter.close()
    with pytest.raises(pqstore.IndexClosedError):
        len(adapter._index)
