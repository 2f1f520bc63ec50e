"""What `recall` reports."""

from __future__ import annotations

import numpy as np

from tests.unit.index.contents import vectors


def test_recall_report(filled, capsys) -> None:
    report = filled.recall_report(vectors()[:20], rerank=[50, 1500])
    printed = capsys.readouterr().out
    assert "recall@10" in printed
    assert str(report) in printed
    by_rerank = {row.rerank: row for row in report.rows}
    assert by_rerank[1500].recall == {1: 1.0, 10: 1.0, 100: 1.0}
    assert by_rerank[None].recall[10] < by_rerank[50].recall[10] <= 1
    assert np.isnan(by_rerank[50].recall[100])
