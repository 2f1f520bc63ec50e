"""Which copy is asked: those that answer, in turns; and how long answers usually take."""

from __future__ import annotations

from pqstore.shards.replicas import Latencies, Replicas


def test_copies_take_turns_and_one_that_hangs_is_left_out() -> None:
    replicas = Replicas(3)
    asked = []
    for _ in range(6):
        copy = replicas.begin(5)
        asked.append(copy)
        replicas.end(5, copy)
    assert sorted(asked) == [0, 0, 1, 1, 2, 2]
    hangs = replicas.begin(5)
    for _ in range(10):
        copy = replicas.begin(5)
        assert copy != hangs
        replicas.end(5, copy)
    assert replicas.begin(6) == 0, "of another shard nothing follows"
    replicas.end(5, hangs)
    asked = []
    for _ in range(3):
        asked.append(replicas.begin(5))
    assert sorted(asked) == [0, 1, 2]


def test_a_copy_is_asked_once_for_a_question() -> None:
    replicas = Replicas(2)
    first = replicas.begin(0)
    second = replicas.begin(0, [first])
    assert {first, second} == {0, 1}
    assert replicas.begin(0, [first, second]) is None


def test_the_95th_of_100() -> None:
    latencies = Latencies()
    assert latencies.p95("nearest") == 1.0
    for n in range(100):
        latencies.add("nearest", n / 1000)
    assert 0.093 < latencies.p95("nearest") < 0.096
    assert latencies.p95("count") == 1.0
    for _ in range(1000):
        latencies.add("nearest", 0.0)
    assert latencies.p95("nearest") == 0.001
