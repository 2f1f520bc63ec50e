"""What callers can catch."""

from __future__ import annotations

import pqstore


def test_every_public_error_is_at_the_top() -> None:
    assert set(pqstore.errors.__all__) <= set(pqstore.__all__)
    assert all(hasattr(pqstore, name) for name in pqstore.__all__)
