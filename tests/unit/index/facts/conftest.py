"""An index of payloads of all kinds, some rows of it gone, with indexes on its fields and without."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

import pqstore
from pqstore.storage import store as storage

ROWS = 500
START = datetime(2021, 1, 1, tzinfo=timezone.utc)
CHOICES: list[Any] = [
    *(0, 1, 1.0, 2.5, -7, 2**53, float(2**53), 2**63, 2**64 - 1, -(2**63), 1e300, float("inf"), float("nan"), -0.0),
    *("", "a", "ab", "abc", "b", "ä", "𝄞", "\uffff", "zz"),
    *(True, False, None, b"", b"x", b"\xff"),
    *(START, START + timedelta(microseconds=1), START + timedelta(days=400)),
    *([], [1, 1.0, "a"], ["a", "a", "b"], [{}], [None, True], [2**63, float(2**63)], {"deep": 1}, {}),
]


def payload_of(rng: np.random.Generator) -> dict | None:
    if rng.random() < 0.1:
        return None
    made: dict = {"mixed": CHOICES[int(rng.integers(len(CHOICES)))], "n": int(rng.integers(0, 200))}
    if rng.random() < 0.7:
        made["word"] = f"w{int(rng.integers(0, 120)):03}"
    if rng.random() < 0.5:
        made["tags"] = [f"t{t}" for t in rng.integers(0, 5, int(rng.integers(0, 4)))]
    if rng.random() < 0.02:
        made["rare"] = {"deep": 1}
    return made


@pytest.fixture(scope="module", params=["indexed", "some indexed", "scanned"])
def facts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(index, its live payloads by id)."""
    rng = np.random.default_rng(5)
    payloads = {id: payload_of(rng) for id in range(ROWS)}
    fields = {"indexed": ["mixed", "n", "word", "tags", "rare"], "some indexed": ["mixed", "word"], "scanned": []}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "segment_rows_for", lambda packing: 128)
        patch.setattr(storage, "chunk_rows_for", lambda packing: 32)
        index = pqstore.Index.create(
            tmp_path_factory.mktemp("facts") / "index", dim=4, train="manual", fields=fields[request.param]
        )
    with index:
        index.add(np.zeros((ROWS, 4)), payloads=list(payloads.values()))
        gone = [id for id in payloads if id % 9 == 3]
        index.remove(gone)
        yield index, {id: payload for id, payload in payloads.items() if id not in set(gone)}
