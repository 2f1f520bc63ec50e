"""The compiled module checks every size itself: no argument makes it read or write outside an array."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pqstore.kernels import CodeChunk, available
from pqstore.native import native_module

pytestmark = pytest.mark.skipif(native_module() is None, reason="no compiled kernels here")


@pytest.fixture(params=[name for name in available() if name != "numpy"])
def native(request: pytest.FixtureRequest) -> Any:
    module = native_module()
    assert module is not None
    return module.NativeKernels(request.param)


def scan(native: Any, chunk: Any, kind: str = "block8", entries: int = 256, threads: int = 1) -> None:
    tables = np.zeros((1, 4, entries), dtype=np.float32)
    distances, rows = np.empty((1, 3), dtype=np.float32), np.empty((1, 3), dtype=np.int64)
    native.scan([chunk], kind, tables, threads, distances, rows)


def test_unknown_kernels_are_refused() -> None:
    module = native_module()
    assert module is not None
    with pytest.raises(ValueError, match="avx9"):
        module.NativeKernels("avx9")


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (CodeChunk(np.zeros(127, np.uint8), 32, 0), "shorter than its rows"),
        (CodeChunk(np.zeros(128, np.uint8), 33, 0), "shorter than its rows"),
        (CodeChunk(np.zeros(128, np.uint8), -1, 0), "out of range"),
        (CodeChunk(np.zeros(128, np.uint8), 2**62, 0), "out of range"),
        (CodeChunk(np.zeros(128, np.uint8), 32, -1), "out of range"),
        (CodeChunk(np.zeros(128, np.uint8), 32, 2**63 - 1), "out of range"),
        (CodeChunk(np.zeros(128, np.uint8), 32, 0, np.zeros(3, np.uint8)), "bitmap"),
        (CodeChunk(np.zeros(128, np.uint16), 32, 0), "uint8"),
        ((np.zeros(128, np.uint8), 32, 0), "tuple"),
        ("chunk", "tuple"),
    ],
)
def test_chunks_are_checked(native: Any, chunk: Any, message: str) -> None:
    scan(native, CodeChunk(np.zeros(128, np.uint8), 32, 0, np.zeros(4, np.uint8)))
    with pytest.raises(ValueError, match=message):
        scan(native, chunk)


def test_chunks_of_the_wrong_types(native: Any) -> None:
    with pytest.raises(TypeError):
        scan(native, (np.zeros(128, np.uint8), 32.5, 0, None))
    with pytest.raises(TypeError):
        scan(native, ("codes", 32, 0, None))
    with pytest.raises((BufferError, ValueError)):
        scan(native, (np.zeros(256, np.uint8)[::2], 32, 0, None))
    with pytest.raises(TypeError, match="sequence"):
        native.scan(
            7, "block8", np.zeros((1, 4, 256), np.float32), 1, np.empty((1, 1), np.float32), np.empty((1, 1), np.int64)
        )


@pytest.mark.parametrize(("kind", "entries"), [("block8", 255), ("block4", 17), ("rows8", 256), ("", 256)])
def test_layouts_are_checked(native: Any, kind: str, entries: int) -> None:
    with pytest.raises(ValueError, match=r"block|layout"):
        scan(native, CodeChunk(np.zeros(4096, np.uint8), 32, 0), kind, entries)


def test_threads_are_checked(native: Any) -> None:
    with pytest.raises(ValueError, match="threads"):
        scan(native, CodeChunk(np.zeros(128, np.uint8), 32, 0), threads=0)


def test_result_arrays_are_checked(native: Any) -> None:
    words, vectors = np.zeros((2, 300, 3), np.float32), np.zeros((5, 6), np.float32)
    with pytest.raises(ValueError, match="cannot hold"):
        native.encode(vectors, words, 1, np.empty((5, 2), np.uint8))
    with pytest.raises(ValueError, match=r"\(n, M\)"):
        native.encode(vectors, words, 1, np.empty((4, 2), np.uint16))
    with pytest.raises(ValueError, match="vectors"):
        native.encode(vectors[:, :5].copy(), words, 1, np.empty((5, 2), np.uint16))
    with pytest.raises(ValueError, match="uint8, uint16 or uint32"):
        native.encode(vectors, words, 1, np.empty((5, 2), np.int16))
    with pytest.raises(ValueError, match="Ks >= 1"):
        native.encode(vectors, np.zeros((2, 0, 3), np.float32), 1, np.empty((5, 2), np.uint16))
    with pytest.raises(ValueError, match="tables"):
        native.dtables(vectors, words, False, np.empty((5, 2, 299), np.float32))
    with pytest.raises(ValueError, match="distances"):
        native.adist(np.zeros((2, 9), np.float32), np.zeros((5, 2), np.uint8), 1, np.empty(4, np.float32))
    with pytest.raises(ValueError, match="table"):
        native.adist(np.zeros((3, 9), np.float32), np.zeros((5, 2), np.uint8), 1, np.empty(5, np.float32))
    with pytest.raises(ValueError, match="at most 256"):
        native.scan_labels(words, np.empty((2, 300), np.uint8))
    with pytest.raises(ValueError, match=r"\(M, Ks\)"):
        native.scan_labels(words[:, :256].copy(), np.empty((2, 255), np.uint8))
    with pytest.raises(ValueError, match="packed"):
        native.pack("block8", np.zeros((33, 2), np.uint8), np.empty(64, np.uint8))
    with pytest.raises(ValueError, match="packed"):
        native.unpack("block8", np.zeros(127, np.uint8), np.empty((33, 2), np.uint8))
    groups = np.zeros((2, 5, 3), np.float32)
    sums, counts = np.empty((2, 300, 3)), np.empty((2, 300), np.int64)
    with pytest.raises(ValueError, match="labels"):
        native.lloyd_step(groups, words, 1, np.empty((2, 4), np.uint16), sums, counts)
    with pytest.raises(ValueError, match="sums"):
        native.lloyd_step(groups, words, 1, np.empty((2, 5), np.uint16), sums[:, 1:].copy(), counts)


def test_results_are_never_written_to_copies(native: Any) -> None:
    # A result array that would have to be converted is refused: what is written would be lost.
    with pytest.raises(TypeError):
        native.adist(np.zeros((2, 9), np.float32), np.zeros((5, 2), np.uint8), 1, np.empty(10, np.float32)[::2])
    with pytest.raises(TypeError):
        native.adist(np.zeros((2, 9), np.float32), np.zeros((5, 2), np.uint8), 1, np.empty(5, np.float64))
