"""A backend of txtai: what it asks of its own; skipped where txtai is not installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("txtai", reason="the interface and the factory are txtai's")

from txtai.ann import ANNFactory

BACKEND = "pqstore.integrations.txtai.PQStoreANN"
D = 24


def unit(count: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, D)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def made(count: int = 100, **settings: Any) -> tuple[Any, np.ndarray]:
    rows = unit(count)
    ann = ANNFactory.create({"backend": BACKEND, "dimensions": D, "pqstore": settings})
    ann.index(rows)
    return ann, rows


def test_index_and_search() -> None:
    ann, rows = made()
    assert ann.count() == 100
    assert ann.config["offset"] == 100
    assert {"create", "settings", "txtai"} <= set(ann.config["build"])
    found = ann.search(rows[[7, 31]], 5)
    products = rows[[7, 31]] @ rows.T
    for hits, scores in zip(found, products, strict=True):
        assert [id for id, _ in hits] == np.argsort(-scores, kind="stable")[:5].tolist()
        np.testing.assert_allclose([score for _, score in hits], np.sort(scores)[::-1][:5], atol=1e-5)
        assert type(hits[0][0]) is int
        assert type(hits[0][1]) is float
    assert len(ann.search(rows[:1], 1000)[0]) == 100
    ann.close()


def test_append_goes_on_with_the_numbers() -> None:
    ann, _ = made()
    more = unit(20, 1)
    ann.append(more)
    assert ann.count() == ann.config["offset"] == 120
    assert ann.search(more[3:4], 1)[0][0][0] == 103
    ann.append(np.empty((0, D), dtype=np.float32))
    assert ann.count() == 120
    ann.close()


@pytest.mark.parametrize("kind", [list, np.array])
def test_delete(kind: Any) -> None:
    ann, rows = made()
    ann.delete(kind([0, 5, 5000]))
    ann.delete(kind([]))
    assert ann.count() == 98
    assert ann.config["offset"] == 100
    assert ann.search(rows[5:6], 1)[0][0][0] != 5
    ann.append(rows[5:6])
    assert ann.search(rows[5:6], 1)[0][0][0] == 100
    ann.close()


def test_saved_and_loaded(tmp_path: Path) -> None:
    ann, rows = made()
    config = ann.config
    ann.save(str(tmp_path / "embeddings"))
    ann.append(unit(5, 2))
    ann.close()
    again = ANNFactory.create({**config, "offset": 100})
    again.load(str(tmp_path / "embeddings"))
    assert again.count() == 100, "what was not saved is gone"
    assert again.search(rows[:1], 1)[0][0][0] == 0
    again.save(str(tmp_path / "embeddings"))
    again.append(unit(5, 2))
    again.delete([0])
    other = ANNFactory.create(dict(config))
    other.load(str(tmp_path / "embeddings"))
    assert other.count() == 100, "changes do not count before they are saved"
    other.close()
    again.save(str(tmp_path / "embeddings"))
    again.save(str(tmp_path / "elsewhere"))
    again.close()
    for name in ("embeddings", "elsewhere"):
        other.load(str(tmp_path / name))
        assert other.count() == 104
        assert other.search(unit(5, 2)[4:], 1)[0][0][0] == 104
    other.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "embeddings"]


@pytest.mark.parametrize("renames", [0, 1, 2])  # of the copy, the old one, the new one
def test_a_save_that_is_killed_leaves_what_was_saved_before_or_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    # Between the removal of the old and the renaming of the new index there was once nothing to load.
    ann, _ = made()
    config, place = ann.config, tmp_path / "embeddings"
    ann.save(str(place))
    ann.append(unit(5, 2))
    rename, done = Path.rename, []

    def killed(path: Path, target: Path) -> Path:
        if len(done) == renames:
            raise KeyboardInterrupt
        done.append(path)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        ann.save(str(place))
    monkeypatch.undo()
    other = ANNFactory.create(dict(config))
    other.load(str(place))
    assert other.count() == (105 if renames == 2 else 100)
    other.close()
    ann.save(str(place))
    ann.close()
    other.load(str(place))
    assert other.count() == 105
    other.close()
    assert [path.name for path in tmp_path.iterdir()] == ["embeddings"]


def test_indexed_again_begins_anew() -> None:
    ann, rows = made()
    ann.index(rows[:10])
    assert ann.count() == ann.config["offset"] == 10
    ann.close()
    ann.close()


def test_trains_itself_and_takes_settings() -> None:
    ann, rows = made(3000, train_at=2500, originals="float32", search={"rerank": 3000})
    assert ann.backend.phase == "codes"
    products = rows[:5] @ rows.T
    for hits, scores in zip(ann.search(rows[:5], 9), products, strict=True):
        assert [id for id, _ in hits] == np.argsort(-scores, kind="stable")[:9].tolist()
    ann.append(unit(7, 3))
    assert ann.count() == 3007
    ann.close()


def test_half_precision() -> None:
    ann = ANNFactory.create({"backend": BACKEND, "dimensions": D})
    ann.index(unit(10).astype(np.float16))
    assert ann.search(unit(10)[4:5].astype(np.float16), 1)[0][0][0] == 4
    ann.close()
