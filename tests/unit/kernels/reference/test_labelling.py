"""Labels for the fast scan are a renaming, the same each time, that brings similar codewords together."""

from __future__ import annotations

import numpy as np
import pytest

from pqstore.kernels.reference import scan_labels


@pytest.mark.parametrize("Ks", [17, 100, 255, 256])
def test_labels_are_a_renaming(Ks: int) -> None:
    words = np.random.default_rng(Ks).standard_normal((5, Ks, 6)).astype(np.float32)
    labels = scan_labels(words)
    assert labels.shape == (5, Ks)
    assert labels.dtype == np.uint8
    assert all(len(set(row.tolist())) == Ks for row in labels)


def test_the_same_codewords_get_the_same_labels() -> None:
    words = np.random.default_rng(1).standard_normal((3, 256, 4)).astype(np.float32)
    np.testing.assert_array_equal(scan_labels(words), scan_labels(words.copy(order="F")))
    np.testing.assert_array_equal(scan_labels(words[1:2]), scan_labels(words)[1:2])


@pytest.mark.parametrize("words", [np.zeros((2, 256, 3)), np.repeat(np.eye(4)[None], 64, axis=1).reshape(1, 256, 4)])
def test_equal_codewords(words: np.ndarray) -> None:
    labels = scan_labels(words.astype(np.float32))
    assert all(len(set(row.tolist())) == 256 for row in labels)


@pytest.mark.parametrize("bits", [6, 7])
def test_a_prefix_names_similar_codewords(bits: int) -> None:
    # Codewords in tight clusters of 2 ** (8 - bits): each cluster must get one prefix.
    rng = np.random.default_rng(bits)
    size = 2 ** (8 - bits)
    centres = rng.uniform(-100, 100, (256 // size, 5))
    words = (np.repeat(centres, size, axis=0) + rng.uniform(-0.01, 0.01, (256, 5))).astype(np.float32)
    order = rng.permutation(256)
    labels = scan_labels(words[order][None])[0]
    prefix = (labels & 15).astype(int) * 16 + (labels >> 4 >> (8 - bits))
    clusters = order // size
    together = {(int(p), int(c)) for p, c in zip(prefix, clusters, strict=True)}
    assert len(together) <= 1.15 * 256 / size
