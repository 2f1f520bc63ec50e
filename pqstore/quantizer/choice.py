"""Which quantizer an index gets that only knows the dimension of its vectors."""

from __future__ import annotations

from pqstore.quantizer.distance_table import Metric
from pqstore.quantizer.pq import PQ

__all__ = ["choose_quantizer", "rows_to_train"]

_DIMENSIONS_A_BYTE = 8
_ROWS_A_CODEWORD = 40
_FEWEST_ROWS = 2048


def choose_quantizer(D: int, metric: Metric) -> PQ:
    """A `PQ`, not trained, of 256 codewords and a byte for about eight dimensions.

    M is the divisor of D for which D / M is next to 8; of two as near, the larger M: 48 for D = 384, 192 for D = 1536.
    """
    divisors = [M for M in range(1, D + 1) if D % M == 0]
    M = min(divisors, key=lambda M: (abs(D / M - _DIMENSIONS_A_BYTE), -M))
    return PQ(M, metric=metric, verbose=False)


def rows_to_train(Ks: int) -> int:
    """How many vectors an index waits for before it trains itself: 40 a codeword, 2,048 at least."""
    return max(_FEWEST_ROWS, _ROWS_A_CODEWORD * Ks)
