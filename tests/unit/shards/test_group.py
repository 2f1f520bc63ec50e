"""Groups of shards: pages of str ids, whose places say group and shard; that their answers are those of one index,
tests/property holds."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore import shards
from pqstore.shards.asking import Asker
from pqstore.shards.group import GroupView
from pqstore.shards.open_shards import OpenShards, nature_of
from pqstore.shards.place import Place


@pytest.mark.parametrize("limit", [1, 7, 60, 500])
def test_pages_of_strings(limit: int, tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    vectors = np.random.default_rng(2).random((120, 8), dtype=np.float32)
    table = arrow.table({"id": [f"name/{n}" for n in range(120)], "vector": list(vectors)})
    parquet.write_table(table, tmp_path / "x.parquet", row_group_size=30)
    plan = shards.plan(tmp_path / "x.parquet", 30)
    shards.train(plan, pqstore.PQ(M=4, Ks=16, verbose=False), tmp_path / "x.pqc")
    shards.build(plan, tmp_path / "x.pqc")
    manifest = shards.commit(plan, tmp_path / "x.pqc")
    with ExitStack() as opened:
        views = []
        for numbers in [(0, 1, 2), (3,)]:
            some = OpenShards(Place(tmp_path / "x.pqc"), readonly=True, numbers=numbers)
            opened.callback(some.close)
            views.append(GroupView(opened.enter_context(some.asking())))
        asker = Asker(
            nature_of(manifest), range(2), lambda method, asked: {n: views[n].ask(method, a) for n, a in asked.items()}
        )
        found, after = [], None
        while True:
            page = asker.scroll(None, limit, after, ())
            found += [record.id for record in page.records]
            after = page.after
            if after is None:
                break
        assert sorted(found) == sorted(f"name/{n}" for n in range(120))
