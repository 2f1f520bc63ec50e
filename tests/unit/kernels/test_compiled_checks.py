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


class TestLists:
    """Runs, grids and searches of lists."""

    def run(self, **changes: Any) -> Any:
        made: dict[str, Any] = {
            "kind": "block8",
            "M": 4,
            "table_size": 256,
            "offsets": np.array([0, 40, 70], np.uint32),
            "first_row": 0,
            "chunk_rows": 64,
        }
        return native_module().PreparedRun(**{**made, **changes})

    def grid(self, **changes: Any) -> Any:
        made: dict[str, Any] = {
            "centroids": np.zeros((2, 16), np.int16),
            "halves": np.zeros(2, np.int32),
            "groups": np.zeros((1, 16), np.int16),
            "group_halves": np.zeros(1, np.int32),
            "first": np.array([0, 2]),
            "D": 8,
            "looked": 1,
            "scale": 1.0,
            "largest": 100.0,
        }
        return native_module().PreparedGrid(**{**made, **changes})

    def lists(self, **changes: Any) -> Any:
        flat = native_module().PreparedChunks([], "block8", 4, 256)
        made: dict[str, Any] = {
            "grid": self.grid(),
            "runs": [self.run()],
            "flat": flat,
            "segments": np.array([0, 3]),
            "dead": [None, np.zeros(8, np.uint8)],
            "segment_rows": 64,
            "selected": False,
        }
        return native_module().PreparedLists(**{**made, **changes})

    def search(self, lists: Any, **changes: Any) -> Any:
        searcher = native_module().Searcher(
            available()[0],
            "block8",
            np.zeros((4, 256, 2), np.float32),
            np.tile(np.arange(256, dtype=np.uint8), (4, 1)),
            256,
            False,
        )
        made: dict[str, Any] = {
            "queries": np.zeros((2, 8), np.float32),
            "lists": lists,
            "most": 2,
            "budget": 100,
            "least": 3,
            "threads": 1,
            "distances": np.empty((2, 3), np.float32),
            "rows": np.empty((2, 3), np.int64),
            "read": np.empty((2, 3), np.int64),
        }
        return searcher.search_lists(**{**made, **changes})

    @pytest.mark.parametrize(
        "changes",
        [
            {"offsets": np.array([0, 40, 30], np.uint32)},
            {"offsets": np.array([1, 40, 70], np.uint32)},
            {"offsets": np.array([0], np.uint32)},
            {"first_row": -1},
            {"first_row": 2**63 - 1},
            {"chunk_rows": 0},
            {"chunk_rows": 33},
            {"kind": "block9"},
            {"M": 0},
        ],
    )
    def test_runs(self, changes: Any) -> None:
        with pytest.raises(ValueError, match=r".+"):
            self.run(**changes)

    def test_chunks(self) -> None:
        run = self.run()
        codes, numbers = np.zeros(256, np.uint8), np.zeros(64, np.uint32)
        for ordinal, its_codes, its_numbers in (
            (-1, codes, numbers),
            (2, codes, numbers),
            (0, codes[:255], numbers),
            (0, codes, numbers[:63]),
            (0, codes, numbers.astype(np.uint64)),
            (0, codes.astype(np.uint16), numbers),
            (0, codes, np.zeros(257, np.uint8)[1:].view(np.uint32)),
            (1, codes[:127], numbers[:6]),
            (1, codes[:128], numbers[:5]),
        ):
            with pytest.raises(ValueError, match=r".+"):
                run.put(ordinal, its_codes, its_numbers)
        with pytest.raises((BufferError, ValueError)):
            run.put(0, np.zeros(512, np.uint8)[::2], numbers)
        run.put(1, codes[:128], numbers[:6])
        run.put(1, codes[:1], numbers[:1])  # it is there

    @pytest.mark.parametrize(
        "changes",
        [
            {"halves": np.zeros(3, np.int32)},
            {"halves": np.full(2, 2**30, np.int32)},
            {"group_halves": np.zeros(2, np.int32)},
            {"first": np.array([0, 1])},
            {"first": np.array([0, 3, 2])},
            {"first": np.array([-1, 2])},
            {"groups": np.zeros((3, 16), np.int16)},
            {"groups": np.zeros((1, 32), np.int16)},
            {"centroids": np.zeros((2, 8), np.int16)},
            {"centroids": np.full((2, 16), 101, np.int16)},
            {"centroids": np.full((2, 16), -32768, np.int16)},
            {"D": 17},
            {"D": 0},
            {"looked": 0},
            {"scale": float("nan")},
            {"largest": 1e9},
            {"largest": float("nan")},
        ],
    )
    def test_grids(self, changes: Any) -> None:
        with pytest.raises(ValueError, match=r".+"):
            self.grid(**changes)

    def test_what_belongs_together(self) -> None:
        module = native_module()
        for changes in (
            {"runs": [self.run(offsets=np.array([0, 70], np.uint32))]},
            {"runs": [self.run(kind="block4", table_size=16)]},
            {"runs": [self.run(M=5)]},
            {"flat": module.PreparedChunks([], "block8", 5, 256)},
            {"segments": np.array([3, 0])},
            {"dead": [None]},
            {"dead": [None, np.zeros(7, np.uint8)]},
            {"dead": [None, np.zeros(8, np.uint16)]},
            {"segment_rows": 0},
        ):
            with pytest.raises(ValueError, match=r".+"):
                self.lists(**changes)
        with pytest.raises(TypeError):
            self.lists(dead=7)
        with pytest.raises(TypeError):
            self.lists(runs=["run"])

    def test_searches(self) -> None:
        lists = self.lists()
        assert sorted(set(self.search(lists))) == [(0, 0), (0, 1)]  # chunks that are not there yet
        for changes in (
            {"queries": np.zeros((2, 9), np.float32)},
            {"most": 0},
            {"budget": 0},
            {"least": 4},
            {"least": -1},
            {"threads": 0},
            {"rows": np.empty((2, 4), np.int64)},
            {"distances": np.empty((3, 3), np.float32)},
            {"read": np.empty((2, 2), np.int64)},
            {"lists": self.lists(grid=self.grid(D=9))},
        ):
            with pytest.raises(ValueError, match=r".+"):
                self.search(**{"lists": lists, **changes})

    def test_rows_that_lie(self) -> None:
        """Numbers of rows in no segment are dead; whatever the codes, they name entries of the tables."""
        run = self.run(first_row=2**62)
        run.put(0, np.full(256, 255, np.uint8), np.full(64, 2**32 - 1, np.uint32))
        run.put(1, np.full(128, 255, np.uint8), np.full(6, 2**32 - 1, np.uint32))
        rows = np.empty((2, 3), np.int64)
        assert self.search(self.lists(runs=[run]), rows=rows) == []
        assert (rows == -1).all()
