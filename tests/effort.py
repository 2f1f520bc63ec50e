"""How much is tried: enough to find what comes often in the ordinary run, all of it at night (`make nightly`)."""

from __future__ import annotations

import os

AT_NIGHT = bool(os.environ.get("PQSTORE_NIGHTLY"))


def tries(ordinary: int, night: int) -> int:
    """A number of kills, cuts, seeds or examples."""
    return night if AT_NIGHT else ordinary
