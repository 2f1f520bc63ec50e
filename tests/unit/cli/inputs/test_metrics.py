"""What files say of their metric is taken, or contradicted aloud, by each verb."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.cli import main


@pytest.fixture
def angular(files: Path) -> Path:
    """As the files of ann-benchmarks: vectors whose lengths mean nothing."""
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(7)
    base = np.load("vectors.npy") * rng.uniform(0.1, 10, (1200, 1)).astype(np.float32)
    queries = np.load("queries.npy")
    unit = base / np.linalg.norm(base, axis=1, keepdims=True)
    with h5py.File("angular.hdf5", "w") as file:
        file.attrs["distance"] = "angular"
        file["train"], file["test"] = base, queries
        file["neighbors"] = np.argsort(-(queries @ unit.T), axis=1, kind="stable")[:, :100]
    shutil.copy("angular.hdf5", "hamming.hdf5")
    with h5py.File("hamming.hdf5", "a") as file:
        file.attrs["distance"] = "hamming"
    return files


BUILD = "--M 16 --Ks 64 --iter 4"


def test_build_takes_it(angular: Path, capsys) -> None:
    # The file was built with l2: recall@10 of .088 instead of .964.
    assert main(f"build angular.hdf5 index {BUILD}".split()) == 0
    assert "metric cosine: angular.hdf5 says distance = angular" in capsys.readouterr().err
    with pqstore.Index.open("index") as index:
        assert index.metric == "cosine"
    assert main("search index angular.hdf5 --truth angular.hdf5".split()) == 0
    lines = dict(line.split()[:2] for line in capsys.readouterr().out.splitlines() if line.startswith("recall"))
    assert float(lines["recall@10"]) > 0.5


def test_an_option_counts_and_the_contradiction_is_told(angular: Path, capsys) -> None:
    assert main(f"build angular.hdf5 index {BUILD} --metric l2".split()) == 0
    assert "angular.hdf5 says distance = angular, but l2 counts, as --metric says" in capsys.readouterr().err
    with pqstore.Index.open("index") as index:
        assert index.metric == "l2"
    assert main(f"build angular.hdf5 other {BUILD} --metric cosine".split()) == 0
    assert "counts" not in capsys.readouterr().err


def test_a_metric_that_there_is_not_has_to_be_chosen(angular: Path, capsys) -> None:
    for verb in ("build hamming.hdf5 index --M 8", "recall hamming.hdf5 --M 8"):
        assert main(verb.split()) == 2
        error = capsys.readouterr().err
        assert "distance = hamming" in error
        assert "--metric" in error
    assert main(f"build hamming.hdf5 index {BUILD} --metric dot".split()) == 0
    assert "says distance = hamming, but dot counts" in capsys.readouterr().err


def test_files_that_say_different_things(angular: Path, capsys) -> None:
    h5py = pytest.importorskip("h5py")
    Path("two").mkdir()
    for name, metric in (("1", "angular"), ("2", "euclidean")):
        shutil.copy("angular.hdf5", f"two/{name}.hdf5")
        with h5py.File(f"two/{name}.hdf5", "a") as file:
            file.attrs["distance"] = metric
    assert main("build two index --M 8".split()) == 2
    assert "two/1.hdf5 says distance = angular; two/2.hdf5 says distance = euclidean" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        "add my-index angular.hdf5:test",
        "search my-index angular.hdf5",
        "calibrate my-index angular.hdf5",
        "recall my-index angular.hdf5 --sample 500",
        "build vectors.npy other --M 8 --Ks 16 --iter 1 --train angular.hdf5",
    ],
)
def test_verbs_with_another_metric_tell_it(line: str, angular: Path, capsys) -> None:
    assert main(line.split()) == 0
    assert "angular.hdf5 says distance = angular, but l2 counts" in capsys.readouterr().err


def test_recall_takes_it(angular: Path, capsys) -> None:
    assert main("recall angular.hdf5 --M 8 --Ks 16 --kinds pq --iter 1 --sample 500".split()) == 0
    assert "cosine" in capsys.readouterr().err
