"""Codes at the public door."""

from __future__ import annotations

import numpy as np
import pytest

from pqstore.errors import DimensionError, InvalidCodeError
from pqstore.quantizer import as_codes
from pqstore.quantizer.codes import code_type


@pytest.mark.parametrize(
    ("Ks", "dtype"),
    [(1, np.uint8), (256, np.uint8), (257, np.uint16), (65_536, np.uint16), (65_537, np.uint32), (1 << 32, np.uint32)],
)
def test_the_narrowest_type_is_taken(Ks: int, dtype: type) -> None:
    assert code_type(Ks) is dtype
    last = np.array([[Ks - 1]], dtype=np.int64)
    assert as_codes(last, 1, Ks).dtype == dtype
    assert as_codes(last, 1, Ks)[0, 0] == Ks - 1
    with pytest.raises(InvalidCodeError, match=f"code {Ks} in row 0"):
        as_codes(last + 1, 1, Ks)


@pytest.mark.parametrize("dtype", ["u1", "i1", ">u2", "i8", "u8"])
def test_any_integer_dtype_and_stride(dtype: str) -> None:
    codes = np.array([[0, 99, 1, 99], [2, 99, 3, 99]], dtype=dtype)[:, ::2]
    checked = as_codes(codes, 2, 4)
    assert checked.flags.c_contiguous
    np.testing.assert_array_equal(checked, [[0, 1], [2, 3]])


def test_the_first_bad_code_is_named_wherever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pqstore.quantizer.codes._BLOCK_CODES", 8)
    codes = np.zeros((50, 3), dtype=np.int16)
    codes[33, 1] = -1
    with pytest.raises(InvalidCodeError, match=r"code -1 in row 33, column 1 is not in 0\.\.255"):
        as_codes(codes, 3, 256)


def test_fitting_codes_are_not_copied() -> None:
    codes = np.zeros((5, 2), dtype=np.uint8)
    assert as_codes(codes, 2, 256) is codes


def test_floats_and_wrong_shapes_are_refused() -> None:
    with pytest.raises(InvalidCodeError, match="integers"):
        as_codes([[0.0]], 1, 4)
    for shape in [(), (2,), (3, 1), (1, 2, 1)]:
        with pytest.raises(DimensionError, match="M = 2"):
            as_codes(np.zeros(shape, dtype=int), 2, 4)


def test_no_codes_are_codes_too() -> None:
    assert as_codes(np.empty((0, 2)), 2, 4).shape == (0, 2)
