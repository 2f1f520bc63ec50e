"""A collection answers as one index over the same vectors, ids and payloads: to the bit, whatever the split."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore import shards
from pqstore.shards.answering import Restriction
from pqstore.shards.asking import Asker
from pqstore.shards.group import GroupView
from pqstore.shards.open_shards import OpenShards, nature_of
from pqstore.shards.place import Place
from tests.effort import tries

SEEDS = range(tries(4, 60))
D = 8


def rows_of(rng: np.random.Generator, n: int) -> np.ndarray:
    """Vectors on a coarse grid: many distances are equal, also those of different shards."""
    return rng.integers(1, 4, (n, D)).astype(np.float32)


class Pair:
    """A collection made of a random split, and one index over the same."""

    def __init__(self, rng: np.random.Generator, directory: Path) -> None:
        self.rng = rng
        self.n = int(rng.integers(60, 400))
        self.vectors = rows_of(rng, self.n)
        self.metric = str(rng.choice(["l2", "dot", "cosine"]))
        self.originals = rng.choice(["float32", "float16", "int8"]).item()
        self.names = rng.random() < 0.4
        self.ids = [f"n{number}" for number in rng.permutation(self.n)] if self.names else self._numbers()
        self.payloads = [{"group": int(rng.integers(5)), "n": n} if rng.random() < 0.9 else {} for n in range(self.n)]
        source = self._file(directory)
        quantizer = pqstore.PQ(M=4, Ks=16, metric=self.metric, verbose=False).fit(self.vectors, iter=2)
        plan = shards.plan(source, int(rng.integers(self.n // 9 + 1, self.n + 1)), payload_columns=["group", "n"])
        shards.train(plan, quantizer, directory / "many", originals=self.originals, fields=["group"])
        shards.build(plan, directory / "many", rng.permutation(len(plan.shards)).tolist())
        shards.commit(plan, directory / "many")
        self.many = shards.Collection.open(directory / "many")
        self.one = pqstore.Index.create(
            directory / "one", quantizer, "str" if self.names else "int64", originals=self.originals, fields=["group"]
        )
        self.one.add(self.vectors, self.ids, payloads=self.payloads)

    def _numbers(self) -> np.ndarray:
        return self.rng.permutation(np.arange(-self.n // 2, self.n))[: self.n]

    def _file(self, directory: Path) -> Path:
        """Parquet, with row groups of any size."""
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        table = arrow.table(
            {
                "id": arrow.array(self.ids),
                "vector": arrow.array(list(self.vectors), type=arrow.list_(arrow.float32(), D)),
                "group": arrow.array([payload.get("group") for payload in self.payloads], type=arrow.int64()),
                "n": arrow.array([payload.get("n") for payload in self.payloads], type=arrow.int64()),
            }
        )
        parquet.write_table(table, directory / "corpus.parquet", row_group_size=int(self.rng.integers(5, 60)))
        # A null of a column is no key.
        self.payloads = [payload or None for payload in self.payloads]
        return directory / "corpus.parquet"

    def some_ids(self) -> list:
        chosen = self.rng.choice(self.n, int(self.rng.integers(1, self.n)), replace=False)
        return [self.ids[at] if self.names else int(self.ids[at]) for at in chosen]

    def restriction(self) -> dict:
        filters: dict = {}
        if self.rng.random() < 0.4:
            filters["where"] = {"group": {"$in": [int(g) for g in self.rng.integers(0, 6, 2)]}}
        if self.rng.random() < 0.3:
            filters["allow"] = self.some_ids()
        if self.rng.random() < 0.3:
            filters["deny"] = self.some_ids()
        return filters

    def change(self) -> None:
        """Removals, the same in both; in the collection each goes to the shard that holds it."""
        gone = self.some_ids()[: self.n // 4]
        assert self.one.remove(gone, missing="ignore") == self.many.remove(gone, missing="ignore")
        mine = self.some_ids()
        vectors = rows_of(self.rng, len(mine))
        payloads = [{"group": int(self.rng.integers(5)), "n": n} for n in range(len(mine))]
        policy = str(self.rng.choice(["skip", "replace"]))
        self.one.add(vectors, mine, policy, payloads=payloads)
        self.many.add(vectors, mine, policy, payloads=payloads)
        if self.rng.random() < 0.3:
            self.many.add_shard()
        if self.rng.random() < 0.3:
            self.many.rebalance()
            assert self.many.manifest.placement == "by hash"
            assert self.many.verify(deep=True) == {}


def searched_in_groups(pair: Pair, queries: np.ndarray, k: int, rerank: int | None, filters: dict):
    """As by processes that share the shards: each answers for its own, of which the first asks no more than that."""
    numbers = sorted(pair.many.stats())
    cut = int(pair.rng.integers(1, len(numbers))) if len(numbers) > 1 else 1
    groups = [part for part in (numbers[:cut], numbers[cut:]) if part]
    with ExitStack() as opened:
        views = {}
        for at, part in enumerate(groups):
            some = OpenShards(Place(pair.many.path), readonly=True, numbers=part)
            opened.callback(some.close)
            views[at] = GroupView(opened.enter_context(some.asking()))

        def fan_out(method: str, arguments: dict) -> dict:
            return {at: views[at].ask(method, asked) for at, asked in arguments.items()}

        asker = Asker(nature_of(pair.many.manifest), range(len(groups)), fan_out)
        found = asker.search(queries, k, rerank, (), Restriction(**filters))
        assert asker.count(Restriction(**filters)) == pair.one.count(**filters)
        assert len(asker.get(pair.some_ids(), (), False)) > 0
        return found


def assert_same(many, one) -> None:
    for its, ours in zip(many, one, strict=True):
        if isinstance(its, list):
            assert len(its) == len(ours)
            for left, right in zip(its, ours, strict=True):
                assert_same((left,), (right,))
        elif its.dtype == np.float32:
            assert np.array_equal(its.view(np.uint32), ours.view(np.uint32))
        else:
            assert its.dtype == ours.dtype
            assert np.array_equal(its, ours)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_answer_is_that_of_one_index(seed: int, tmp_path: Path) -> None:
    print("seed", seed)
    rng = np.random.default_rng(seed)
    pair = Pair(rng, tmp_path)
    with pair.many, pair.one, warnings.catch_warnings():
        for step in range(12):
            queries = rows_of(rng, int(rng.integers(1, 5)))
            if rng.random() < 0.3:
                queries = queries[0]
            k = int(rng.choice([1, 3, 10, 500]))
            if rng.random() < 0.5:  # no distance is equal to another
                queries = queries + rng.random(queries.shape, dtype=np.float32)
            rerank = None if rng.random() < 0.4 else k + int(rng.integers(0, 40))
            filters = pair.restriction()
            asked = {"k": k, "rerank": rerank, **filters}
            assert_same(pair.many.search(queries, **asked), pair.one.search(queries, **asked))
            if step % 3 == 0:
                assert_same(searched_in_groups(pair, queries, k, rerank, filters), pair.one.search(queries, **asked))
            hits = pair.many.search(queries, include=("payload", "vector"), **asked)
            same = pair.one.search(queries, include=("payload", "vector"), **asked)
            assert hits.payloads == same.payloads
            assert np.array_equal(hits.vectors, same.vectors, equal_nan=True)
            radius = float(rng.choice([-20, 0, 0.9, 3, 12, 40, np.inf]))
            limit = None if rng.random() < 0.5 else int(rng.integers(1, 30))
            within = {"limit": limit, "rerank": rerank, **filters}
            assert_same(
                pair.many.range_search(queries, radius, **within), pair.one.range_search(queries, radius, **within)
            )
            assert pair.many.count(**filters) == pair.one.count(**filters)
            assert len(pair.many) == len(pair.one)
            assert_same_records(pair, filters.get("where"))
            if step % 4 == 3:
                pair.change()


def assert_same_records(pair: Pair, where: dict | None) -> None:
    ids = pair.some_ids()
    many, one = pair.many.get(ids, missing="ignore"), pair.one.get(ids, missing="ignore")
    assert [None if record is None else (record.id, record.payload) for record in many] == [
        None if record is None else (record.id, record.payload) for record in one
    ]
    limit = int(pair.rng.integers(1, 50))
    pages = {name: all_pages(asked, where, limit) for name, asked in {"many": pair.many, "one": pair.one}.items()}
    if pair.names:  # one index has an order of its own for them
        assert sorted(pages["many"]) == sorted(pages["one"])
    else:
        assert pages["many"] == pages["one"]


def all_pages(asked, where: dict | None, limit: int) -> list:
    found, after = [], None
    while True:
        page = asked.scroll(where, limit=limit, after=after)
        assert len(page.records) <= limit
        found += [record.id for record in page.records]
        after = page.after
        if after is None:
            return found
