"""Recall: measured as brute force says, compared, recommended, drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pqstore.cli import main
from pqstore.cli.measuring.trials import Trial, default_sizes, nearest, recommend
from pqstore.quantizer import Quantizer


def lines_of(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_recall_of_an_index_is_what_brute_force_says(files: Path, capsys) -> None:
    assert main("recall my-index vectors.npy --queries queries.npy --sample 1200 -k 5 --format json".split()) == 0
    (trial,) = lines_of(capsys)
    vectors, queries = np.load("vectors.npy").astype(float), np.load("queries.npy").astype(float)
    quantizer = Quantizer.load("exported-codes/quantizer.npz")
    decoded = quantizer.decode(np.load("codes.npy")).astype(float)
    hits = []
    for query in queries:
        true = np.argsort(((vectors - query) ** 2).sum(axis=1))[:5]
        found = np.argsort(((decoded - query) ** 2).sum(axis=1))[:5]
        hits.append(len(set(true) & set(found)) / 5)
    assert trial["recall"]["5"] == pytest.approx(np.mean(hits), abs=0.011)  # one tie at the border may fall otherwise
    assert trial["bytes"] == 8
    assert trial["training_seconds"] is None


@pytest.mark.parametrize("metric", ["l2", "dot", "cosine"])
def test_exact_search(metric: str) -> None:
    rng = np.random.default_rng(3)
    base, queries = rng.standard_normal((500, 6)), rng.standard_normal((9, 6))
    if metric == "l2":
        far = ((base[None] - queries[:, None]) ** 2).sum(axis=2)
    else:
        lengths = np.linalg.norm(base, axis=1) if metric == "cosine" else 1
        far = -(queries @ base.T) / lengths
    np.testing.assert_array_equal(nearest(base, queries, 20, metric), np.argsort(far, axis=1)[:, :20])


def test_more_bytes_find_more_and_the_smallest_that_is_enough_is_recommended(files: Path, capsys) -> None:
    line = "recall vectors.npy --M 2,8,32 --Ks 16 --kinds pq --sample 900 --iter 3 --target 0.5 --format json"
    assert main(line.split()) == 0
    trials = lines_of(capsys)
    assert [trial["M"] for trial in trials] == [2, 8, 32]
    assert [trial["bytes"] for trial in trials] == [1, 4, 16]
    recall = [trial["recall"]["10"] for trial in trials]
    assert recall == sorted(recall)
    assert recall[0] < 0.5 <= recall[2]
    (chosen,) = [trial for trial in trials if trial["recommended"]]
    assert chosen["recall"]["10"] >= 0.5
    assert all(trial["recall"]["10"] < 0.5 for trial in trials if trial["bytes"] < chosen["bytes"])


def test_a_target_out_of_reach_is_told(files: Path, capsys) -> None:
    assert main("recall vectors.npy --M 2,4 --Ks 16 --kinds pq --sample 900 --iter 2 --target 1".split()) == 0
    assert "none reaches" in capsys.readouterr().out


def test_recommendation() -> None:
    def trial(name: str, size: int, recall: float) -> Trial:
        return Trial(name, "PQ", size, 256, size, {10: recall}, 1.0)

    trials = [trial("a", 16, 0.9), trial("b", 8, 0.8), trial("c", 8, 0.85), trial("d", 4, 0.5)]
    assert recommend(trials, 10, 0.8).name == "c"
    assert recommend(trials, 10, 0.86).name == "a"
    assert recommend(trials, 10, 0.95) is None


@pytest.mark.parametrize("D", [1, 2, 7, 96, 100, 128, 384, 768, 960])
def test_default_sizes_divide(D: int) -> None:
    sizes = default_sizes(D)
    assert 1 <= len(sizes) <= 5
    assert all(D % M == 0 for M in sizes)
    assert sizes == sorted(set(sizes))


def test_the_plot_is_a_picture(files: Path, capsys) -> None:
    pytest.importorskip("matplotlib")
    line = "recall my-index vectors.npy --M 8 --Ks 16 --kinds pq,opq --sample 500 --iter 1 --target 0.9 --plot"
    assert main([*line.split(), "a.png"]) == 0
    assert Path("a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert main([*line.split(), "a.svg"]) == 0
    picture = Path("a.svg").read_text()
    assert "<svg" in picture
    capsys.readouterr()
    assert main([*line.split(), "a.doc"]) == 2
    assert "a.doc" in capsys.readouterr().err


def test_bench_measures_what_it_says(files: Path, capsys) -> None:
    before = sorted(Path().rglob("*"))
    assert main("bench my-index --queries queries.npy --seconds 0.01 --format json".split()) == 0
    timings = lines_of(capsys)
    assert {timing["what"].split(",")[0] for timing in timings} == {"search", "add"}
    assert {timing["threads"] for timing in timings} >= {1}
    assert all(timing["repetitions"] >= 3 and timing["milliseconds"] > 0 for timing in timings)
    for timing in timings:
        rows = 20 if "batch" in timing["what"] else 10_000 if "10,000" in timing["what"] else 1
        assert timing["per_second"] == pytest.approx(rows / timing["milliseconds"] * 1e3)
    assert sorted(Path().rglob("*")) == before
