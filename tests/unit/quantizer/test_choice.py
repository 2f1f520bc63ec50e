"""What an index is quantized to when nobody says it."""

from __future__ import annotations

import pytest

from pqstore.quantizer.choice import choose_quantizer, rows_to_train

SIZES = {1: 1, 3: 1, 8: 1, 12: 2, 30: 5, 100: 10, 101: 101, 128: 16, 384: 48, 768: 96, 1536: 192}


@pytest.mark.parametrize(("D", "M"), SIZES.items())
def test_the_divisor_next_to_eight_dimensions_a_byte(D: int, M: int) -> None:
    chosen = choose_quantizer(D, "cosine")
    assert (chosen.kind, chosen.M, chosen.Ks, chosen.metric, chosen.is_trained) == ("PQ", M, 256, "cosine", False)
    assert D % M == 0


def test_rows_to_train() -> None:
    assert [rows_to_train(Ks) for Ks in (2, 16, 256, 1024)] == [2048, 2048, 10_240, 40_960]
