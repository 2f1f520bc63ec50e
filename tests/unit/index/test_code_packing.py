"""Packed codes that grow, against packing all of them at once."""

from __future__ import annotations

import numpy as np
import pytest

from pqstore.index.code_packing import CodePacking
from pqstore.kernels import CodeLayout


@pytest.mark.parametrize(("M", "Ks"), [(16, 256), (5, 256), (8, 16), (3, 16), (4, 1000), (2, 70_000)])
@pytest.mark.parametrize(("before", "added"), [(1, 1), (31, 1), (31, 40), (32, 1), (64, 32), (70, 100)])
def test_packed_codes_grow_as_if_packed_at_once(M: int, Ks: int, before: int, added: int) -> None:
    packing = CodePacking(CodeLayout(M, Ks))
    seed = 1000 * before + added
    print("seed", seed)
    dtype = packing.layout.code_dtype
    codes = np.random.default_rng(seed).integers(0, Ks, (before + added, M)).astype(dtype)
    packed = packing.pack(codes[:before])
    kept = packed.copy()
    grown = packing.extend(packed, before, codes[before:])
    assert grown.tolist() == packing.pack(codes).tolist()
    assert packed.tolist() == kept.tolist()
    assert packing.unpack(grown, len(codes)).tolist() == codes.tolist()
