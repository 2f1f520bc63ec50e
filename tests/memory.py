"""How much memory a process has, for tests that limit what it may have beyond that."""

from __future__ import annotations

import resource
from pathlib import Path


def private_bytes() -> int:
    """What counts for RLIMIT_DATA on Linux. After thousands of tests, whose libraries stay loaded, it is much."""
    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
