"""Inputs for the contract: chunks of packed codes, tables, arrays at awkward addresses; and what is held equal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.kernels import CodeChunk, CodeLayout, Kernels, reference


def codewords(rng: np.random.Generator, M: int, Ks: int, Ds: int) -> npt.NDArray[np.float32]:
    return rng.standard_normal((M, Ks, Ds)).astype(np.float32)


def tables(rng: np.random.Generator, layout: CodeLayout, n: int) -> npt.NDArray[np.float32]:
    """Tables like those of a real query: entries near each other for labels with a common low nibble and prefix."""
    shape = (n, layout.M, layout.table_size)
    label = np.arange(layout.table_size)
    group = rng.random((n, layout.M, 16))[:, :, label & 15] + rng.random((n, layout.M, 16))[:, :, label >> 4 & 15] / 4
    return (group**2 + rng.random(shape) / 50).astype(np.float32)


def codes(rng: np.random.Generator, layout: CodeLayout, rows: int) -> npt.NDArray[Any]:
    return rng.integers(0, layout.Ks, (rows, layout.M)).astype(layout.code_dtype)


def chunks(
    rng: np.random.Generator, layout: CodeLayout, lengths: Sequence[int], dead: float = 0.1
) -> tuple[CodeChunk, ...]:
    """One chunk a length, every other one with a share of dead rows, with gaps between the row numbers."""
    made, first_row = [], int(rng.integers(0, 1000))
    for i, rows in enumerate(lengths):
        packed = exact(layout.pack(codes(rng, layout, rows)))
        bitmap = exact(np.packbits(rng.random(rows) < dead, bitorder="little")) if i % 2 else None
        made.append(CodeChunk(packed, rows, first_row, bitmap))
        first_row += rows + int(rng.integers(0, 50))
    return tuple(made)


def exact(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A read-only copy that ends where its memory ends: a sanitizer sees any read beyond."""
    copy = np.frombuffer(array.tobytes(), dtype=array.dtype).reshape(array.shape)
    assert not copy.flags.writeable
    return copy


def unaligned(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A read-only view of the same values at an odd address."""
    memory = b"\0" * 17 + array.tobytes()
    view = np.frombuffer(memory, dtype=np.uint8)
    offset = 17 if (view.ctypes.data + 17) % 2 else 16
    memory = b"\0" * offset + array.tobytes()
    return np.frombuffer(memory, dtype=np.uint8)[offset:].view(array.dtype).reshape(array.shape)


def strided(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same values with gaps along the last axis."""
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), dtype=array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


def assert_same_scan(
    sets: Sequence[Kernels],
    pieces: Sequence[CodeChunk],
    layout: CodeLayout,
    scanned: npt.NDArray[np.float32],
    k: int,
    threads: Sequence[int] = (1,),
) -> None:
    """Every set finds what the reference finds, which takes far longer: it is asked once for all of them."""
    expected = reference.scan(pieces, layout, scanned, k)
    for kernels, count in product(sets, threads):
        found = kernels.scan(pieces, layout, scanned, k, count)
        case = f"{kernels.name}: M {layout.M}, {layout.kind}, {len(scanned)} queries, k {k}, threads {count}"
        np.testing.assert_array_equal(found[0].view(np.uint32), expected[0].view(np.uint32), err_msg=case)
        np.testing.assert_array_equal(found[1], expected[1], err_msg=case)
