"""Recall: the share of the truth that was found."""

from __future__ import annotations

import numpy as np

from pqstore.index.recall.share import recall_at


def test_order_does_not_count_and_padding_finds_nothing() -> None:
    truth = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    nearest = np.array([[2, 1, 9, 4], [5, -1, -1, -1]])
    assert recall_at(1, nearest, truth) == 0.5
    assert recall_at(2, nearest, truth) == (2 + 1) / 4
    assert recall_at(4, nearest, truth) == (3 + 1) / 8
    assert recall_at(1, nearest, truth, among=2) == 1.0


def test_ids_that_are_text() -> None:
    truth = np.array([["a", "b"]], dtype=object)
    assert recall_at(2, np.array([["b", None]], dtype=object), truth) == 0.5
