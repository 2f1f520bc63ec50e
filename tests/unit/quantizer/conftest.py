"""Real vectors for the tests of the quantizers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pqstore.quantizer import OPQ, PQ

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "data"


@pytest.fixture(scope="session")
def sift() -> np.ndarray:
    """3,000 SIFT descriptors, float32 (3000, 128)."""
    return np.load(EXAMPLES / "train.npy")[:3000].astype(np.float32)


@pytest.fixture(scope="session")
def trained(sift: np.ndarray) -> dict[tuple[str, str], PQ | OPQ]:
    """A trained quantizer of each kind and metric; tests must not change them."""
    made: dict[tuple[str, str], PQ | OPQ] = {}
    for metric in ("l2", "dot", "cosine"):
        made["PQ", metric] = PQ(16, 32, metric, verbose=False).fit(sift, iter=3)
        made["OPQ", metric] = OPQ(16, 32, metric, verbose=False).fit(sift, pq_iter=2, rotation_iter=3)
    return made


@pytest.fixture(
    params=[("PQ", "l2"), ("PQ", "dot"), ("PQ", "cosine"), ("OPQ", "l2"), ("OPQ", "dot"), ("OPQ", "cosine")]
)
def quantizer(request: pytest.FixtureRequest, trained: dict[tuple[str, str], PQ | OPQ]) -> PQ | OPQ:
    return trained[request.param]
