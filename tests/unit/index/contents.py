"""What the indexes of these tests hold."""

from __future__ import annotations

import numpy as np

N = 1500


def vectors() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((N, 8)).astype(np.float32)


def payload(n: int) -> dict | None:
    return None if n % 7 == 0 else {"n": n % 40, "word": "even" if n % 2 == 0 else "odd", "list": [n % 3, "x"]}


GOOD = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
