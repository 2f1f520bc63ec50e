"""A transform to fewer dimensions as a rotation: codes mean the same, distances grow by what is dropped."""

from __future__ import annotations

import numpy as np
import pytest

from pqstore.interop.faiss.reduction import departure_from_orthonormal, with_dropped_dimensions
from pqstore.quantizer import OPQ


@pytest.mark.parametrize(("D", "d", "M"), [(16, 8, 4), (12, 4, 4), (9, 6, 3), (8, 7, 1), (8, 2, 2)])
def test_distances_grow_by_what_is_dropped(D: int, d: int, M: int) -> None:
    rng = np.random.default_rng(D)
    A = np.linalg.qr(rng.standard_normal((D, D)))[0][:d].astype(np.float32)
    assert departure_from_orthonormal(A) < 1e-6
    assert departure_from_orthonormal(A * 1.01) > 1e-3
    codewords = rng.standard_normal((M, 16, d // M)).astype(np.float32)
    quantizer = OPQ(M, 16, verbose=False)
    quantizer.R, quantizer.codewords = with_dropped_dimensions(A.T, codewords)
    x = rng.standard_normal((50, D)).astype(np.float32)
    apart = (x @ A.T).reshape(50, M, 1, -1) - codewords
    expected = (apart**2).sum(axis=-1)  # (50, M, 16)
    np.testing.assert_array_equal(quantizer.encode(x), expected.argmin(axis=-1))
    dropped = (x**2).sum(axis=1) - ((x @ A.T) ** 2).sum(axis=1)
    codes = rng.integers(0, 16, (30, M)).astype(np.uint8)
    for query, tables, more in zip(x, expected, dropped, strict=True):
        wanted = tables[np.arange(M), codes].sum(axis=1) + more
        np.testing.assert_allclose(quantizer.dtable(query).adist(codes), wanted, rtol=1e-4, atol=1e-4)
