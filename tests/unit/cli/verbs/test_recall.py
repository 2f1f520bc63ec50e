"""recall: measured as brute force says, compared, recommended, drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pqstore.cli import main
from pqstore.quantizer import Quantizer
from tests.unit.cli.conftest import D
from tests.unit.cli.printed import printed_lines


def test_recall_of_an_index_is_what_brute_force_says(files: Path, capsys) -> None:
    assert main("recall my-index vectors.npy --queries queries.npy --sample 1200 -k 5 --format json".split()) == 0
    (trial,) = printed_lines(capsys)
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


def test_more_bytes_find_more_and_the_smallest_that_is_enough_is_recommended(files: Path, capsys) -> None:
    line = "recall vectors.npy --M 2,8,32 --Ks 16 --kinds pq --sample 900 --iter 3 --target 0.5 --format json"
    assert main(line.split()) == 0
    trials = printed_lines(capsys)
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


def test_recall_with_rerank(files: Path, capsys) -> None:
    line = "recall my-index vectors.npy --queries queries.npy --rerank 20,300 --sample 1000 --format json"
    assert main(line.split()) == 0
    plain, some, many = printed_lines(capsys)
    assert [trial["rerank"] for trial in (plain, some, many)] == [None, 20, 300]
    assert plain["recall"]["10"] < some["recall"]["10"] < many["recall"]["10"]
    assert many["recall"]["10"] > 0.97
    assert "100" not in some["recall"], "twenty candidates cannot hold the hundred nearest"
    assert some["bytes"] == plain["bytes"] + 2 * D


def test_an_index_without_codes_has_no_recall_yet(files: Path, capsys) -> None:
    assert main(f"create exact-index --dim {D}".split()) == 0
    assert main("recall exact-index vectors.npy".split()) == 2
    assert "exact-index has no codes before it is trained" in capsys.readouterr().err


def test_rows_of_lists_are_swept(files: Path, capsys) -> None:
    assert main("partition my-index --partitions 16".split()) == 0
    capsys.readouterr()
    line = "recall my-index queries.npy --scan 1,600 --rerank 100"
    assert main([*line.split(), "--format", "json"]) == 0
    rows = printed_lines(capsys)
    assert [(row["scan"], row["rerank"]) for row in rows] == [
        (1, None), (1, 100), (600, None), (600, 100), (None, None), (None, 100)
    ]  # fmt: skip
    assert all(row["milliseconds"] > 0 for row in rows)
    assert rows[-1]["recall"]["10"] >= rows[-2]["recall"]["10"]
    assert main([*line.split(), "--target", "0.01"]) == 0
    told = capsys.readouterr().out
    assert "rows read" in told
    assert "quickest with recall@10 of 0.01:" in told
    assert main("recall my-index queries.npy --scan 1 --target 1".split()) == 0
    assert "none reaches recall@10 of 1" in capsys.readouterr().out
    assert main("partition my-index --partitions none".split()) == 0
    for line, why in (
        ("recall my-index queries.npy --scan auto", "this index has none: call partition()"),
        ("recall vectors.npy --scan auto", "name it before the queries"),
        ("recall my-index queries.npy --scan auto --M 8", "leave out --M"),
        ("recall my-index queries.npy --scan 0", "numbers of at least 1"),
    ):
        assert main(line.split()) == 2
        assert why in capsys.readouterr().err


def test_a_picture_of_rows_of_lists(files: Path, capsys) -> None:
    pytest.importorskip("matplotlib")
    assert main("partition my-index --partitions 16".split()) == 0
    line = "recall my-index queries.npy --scan 1,600 --rerank 100 --target 0.9 --plot"
    assert main([*line.split(), "a.svg"]) == 0
    assert "<svg" in Path("a.svg").read_text()
    assert main([*line.split(), "a.doc"]) == 2
