"""What must hold between shards: said on the page on the format, and found where it does not hold."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

import pqstore
from pqstore import shards
from pqstore.shards.verifying import INVARIANTS

PAGE = Path(__file__).parents[3] / "docs" / "format.md"


def test_the_page_says_them() -> None:
    section = PAGE.read_text(encoding="utf-8").split("## Collections", 1)[1]
    assert {int(number): text for number, text in re.findall(r"^(\d+)\. (.*)$", section, re.MULTILINE)} == INVARIANTS


def test_ids_twice_and_misplaced_are_found(collection) -> None:
    with shards.Collection.open(collection.place) as many:
        many.rebalance()
        assert many.verify(deep=True) == {}
    with pqstore.Index.open(collection.place / f"shard-00002-{collection.plan.hash}") as index:
        elsewhere = next(number for number in range(2000) if number not in index)
        index.add(collection.vectors[elsewhere], ids=elsewhere)
    with shards.Collection.open(collection.place) as many:
        assert many.verify() == {}, "a quick look is at each shard alone"
        problems = [problem for of_shard in many.verify(deep=True).values() for problem in of_shard]
        assert {problem.invariant for problem in problems} == {101, 102}
        assert f"id {elsewhere}" in problems[0].record
        assert many.upsert(np.zeros((1, 16)), [elsewhere]).tolist() == [elsewhere]
