"""The contract's subjects: every set of compiled kernels that runs here is held to the NumPy reference."""

from __future__ import annotations

import os
import zlib

import numpy as np
import pytest

from pqstore.kernels import Kernels, available, get


def compiled_names() -> list[str]:
    names = [name for name in available() if name != "numpy"]
    if not names and os.environ.get("PQSTORE_REQUIRE_NATIVE"):
        raise RuntimeError("PQSTORE_REQUIRE_NATIVE is set, and there are no compiled kernels")
    return names


@pytest.fixture(params=compiled_names() or [pytest.param("none", marks=pytest.mark.skip("no compiled kernels here"))])
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return get(request.param)


@pytest.fixture
def sets() -> list[Kernels]:
    """All of them, for tests in which the reference takes most of the time."""
    if not compiled_names():
        pytest.skip("no compiled kernels here")
    return [get(name) for name in compiled_names()]


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Seeded by the test's own name, so that a failure repeats; the seed is shown with a failure."""
    seed = zlib.crc32(request.node.name.encode())
    print(f"seed {seed}")
    return np.random.default_rng(seed)
