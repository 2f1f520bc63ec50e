"""What `recall` reports."""

from __future__ import annotations

import numpy as np
import pytest

import pqstore
from tests.unit.index.contents import vectors
from tests.unit.index.listed import small_segments


def test_recall_report(filled, capsys) -> None:
    report = filled.recall_report(vectors()[:20], rerank=[50, 1500])
    printed = capsys.readouterr().out
    assert "recall@10" in printed
    assert str(report) in printed
    by_rerank = {row.rerank: row for row in report.rows}
    assert by_rerank[1500].recall == {1: 1.0, 10: 1.0, 100: 1.0}
    assert by_rerank[None].recall[10] < by_rerank[50].recall[10] <= 1
    assert np.isnan(by_rerank[50].recall[100])


def test_over_rows_of_lists(tmp_path) -> None:
    made = np.random.default_rng(0).standard_normal((4000, 32)).astype(np.float32)
    pq = pqstore.PQ(M=32, Ks=16, verbose=False).fit(made[:300], iter=2)
    for originals in (None, "float32"):
        with small_segments(512), pqstore.Index.create(tmp_path / str(originals), pq, originals=originals) as index:
            index.add(made)
            asked = made[::100] + 0.1
            with pytest.raises(ValueError, match=r"call partition\(\)"):
                index.recall_report(asked, scan=100, quiet=True)
            index.partition(40)
            report = index.recall_report(asked, rerank=[50], scan=[3000, 300], quiet=True)
            scans = [row.scan for row in report.rows if row.rerank is None]
            assert scans == [300, 3000, None]
            alone = [row for row in report.rows if row.rerank is None]
            assert [row.bytes_read for row in alone] == sorted(row.bytes_read for row in alone)
            assert alone[0].recall[10] < alone[2].recall[10]
            for scan in (300, None):
                how = {"nprobe": "all"} if scan is None else {"scan": scan}
                ids = index.search(asked, 10, **how).ids
                truth = index.search(asked, 10, nprobe="all", rerank=4000 if originals else None).ids
                share = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(ids, truth, strict=True)])
                row = next(row for row in alone if row.scan == scan)
                assert row.recall[10] == pytest.approx(share)
            assert (alone[2].recall[10] == 1) == (originals is None)
            assert "rows read" in str(report)
            with index.snapshot() as view:
                assert len(view.recall_report(asked, (), scan="auto").rows) > 3
            with pytest.raises(ValueError, match="'auto'"):
                index.recall_report(asked, scan="some", quiet=True)
            with pytest.raises(TypeError, match="got a bool"):
                index.recall_report(asked, scan=True, quiet=True)
            assert index.recall_report(asked, (), scan=10**30, quiet=True).rows[0].scan == 4000
