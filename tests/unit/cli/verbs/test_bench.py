"""bench: times of an index."""

from __future__ import annotations

from pathlib import Path

import pytest

from pqstore.cli import main
from tests.unit.cli.printed import printed_lines


def test_bench_measures_what_it_says(files: Path, capsys) -> None:
    before = sorted(Path().rglob("*"))
    assert main("bench my-index --queries queries.npy --seconds 0.01 --format json".split()) == 0
    timings = printed_lines(capsys)
    assert {timing["what"].split(",")[0] for timing in timings} == {"search", "add"}
    assert {timing["threads"] for timing in timings} >= {1}
    assert all(timing["repetitions"] >= 3 and timing["milliseconds"] > 0 for timing in timings)
    for timing in timings:
        rows = 20 if "batch" in timing["what"] else 10_000 if "10,000" in timing["what"] else 1
        assert timing["per_second"] == pytest.approx(rows / timing["milliseconds"] * 1e3)
    assert sorted(Path().rglob("*")) == before
