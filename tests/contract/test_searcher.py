"""Searchers equal the reference: tables to the bit, and the rows and distances of whole searches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from pqstore.kernels import CodeChunk, CodeLayout, Kernels
from pqstore.kernels.reference import scan_labels
from pqstore.kernels.reference.searching import ReferenceSearcher
from tests.contract.cases import chunks, codewords, unaligned

# Ks of every layout: full and partly filled tables, and wide codes.
SIZES = (1, 9, 16, 17, 100, 256, 300)


def labels_of(layout: CodeLayout, words: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8] | None:
    return scan_labels(words) if layout.kind == "block8" else None


def queries(rng: np.random.Generator, n: int, D: int) -> npt.NDArray[np.float32]:
    return rng.standard_normal((n, D)).astype(np.float32)


@pytest.mark.parametrize("Ks", SIZES)
@pytest.mark.parametrize("dot", [False, True])
def test_search(kernels: Kernels, rng: np.random.Generator, Ks: int, dot: bool) -> None:
    for M, Ds in ((1, 1), (3, 5), (8, 8), (6, 17)):
        layout, words = CodeLayout(M, Ks), codewords(rng, M, Ks, Ds)
        labels = labels_of(layout, words)
        expected = ReferenceSearcher(layout, words, labels, dot)
        searcher = kernels.searcher(layout, words, labels, dot=dot)
        pieces = chunks(rng, layout, (0, 40, 33, 700))
        for n in (0, 1, 3, 40):
            asked = queries(rng, n, M * Ds)
            np.testing.assert_array_equal(_bits(searcher.tables(asked)), _bits(expected.tables(asked)))
            for k in (1, 10, 800):
                wanted = expected.search(asked, expected.prepare(pieces), k)
                for threads in (1, 2):
                    found = searcher.search(asked, searcher.prepare(pieces), k, threads)
                    assert found is not None
                    assert wanted is not None
                    np.testing.assert_array_equal(_bits(found[0]), _bits(wanted[0]))
                    np.testing.assert_array_equal(found[1], wanted[1])


@pytest.mark.parametrize("Ks", [16, 256, 300])
@pytest.mark.parametrize("dot", [False, True])
def test_what_is_not_finite_is_said(kernels: Kernels, rng: np.random.Generator, Ks: int, dot: bool) -> None:
    layout, words = CodeLayout(4, Ks), codewords(rng, 4, Ks, 3)
    searcher = kernels.searcher(layout, words, labels_of(layout, words), dot=dot)
    prepared = searcher.prepare(())
    asked = queries(rng, 20, 12)
    assert searcher.search(asked, prepared, 3) is not None
    for value in (np.nan, np.inf, -np.inf):
        for place in (0, 7, 19):
            spoiled = asked.copy()
            spoiled[place, 11 * (place % 2)] = value
            assert searcher.search(spoiled, prepared, 3) is None
            assert searcher.tables(spoiled) is None
    large = kernels.searcher(layout, words * np.float32(1e20), labels_of(layout, words), dot=dot)
    assert large.tables(asked * np.float32(1e20)) is None  # finite, but its distances are not


def test_codewords_at_any_address(kernels: Kernels, rng: np.random.Generator) -> None:
    layout, words = CodeLayout(4, 256), codewords(rng, 4, 256, 3)
    asked = queries(rng, 2, 12)
    expected = kernels.searcher(layout, words, scan_labels(words), dot=False).tables(asked)
    for same in (unaligned(words), np.asfortranarray(words)):
        found = kernels.searcher(layout, same, scan_labels(words), dot=False).tables(unaligned(asked))
        np.testing.assert_array_equal(_bits(found), _bits(expected))


def test_prepared_chunks_keep_their_memory(kernels: Kernels, rng: np.random.Generator) -> None:
    layout, words = CodeLayout(4, 256), codewords(rng, 4, 256, 3)
    searcher = kernels.searcher(layout, words, scan_labels(words), dot=False)
    packed = layout.pack(rng.integers(0, 256, (320, 4)).astype(np.uint8))
    asked = queries(rng, 1, 12)
    prepared = searcher.prepare((CodeChunk(packed, 320, 0),))
    before = searcher.search(asked, prepared, 5)
    del packed
    garbage = [np.full(1280, 255, dtype=np.uint8) for _ in range(100)]
    after = searcher.search(asked, prepared, 5)
    assert before is not None
    assert after is not None
    assert len(garbage) == 100
    np.testing.assert_array_equal(before[1], after[1])


def _bits(values: npt.NDArray[np.float32] | None) -> npt.NDArray[np.uint32]:
    assert values is not None
    return values.view(np.uint32)
