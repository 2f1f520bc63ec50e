"""What lies around the codes of a Faiss index: stored vectors, partitions, reductions of the dimension."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pqstore import Index
from pqstore.errors import CorpusFileError, TrainingError, UnsupportedIndexError
from pqstore.interop.faiss.bits import unpack_rows
from pqstore.storage import SnapshotLists

faiss = pytest.importorskip("faiss")

D, ROWS = 16, 900


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    rng = np.random.default_rng(4)
    return (rng.standard_normal((30, D)) * 3).astype(np.float32)[rng.integers(0, 30, ROWS)] + rng.standard_normal(
        (ROWS, D)
    ).astype(np.float32)


def made(factory: str, metric: int = faiss.METRIC_L2) -> Any:
    """An untrained index of theirs, which will not arrange its labels for polysemous search: that takes seconds."""
    index = faiss.index_factory(D, factory, metric)
    inner = index
    while not hasattr(inner, "do_polysemous_training"):
        inner = faiss.downcast_index(inner.base_index if hasattr(inner, "base_index") else inner.index)
    inner.do_polysemous_training = False
    return index


def built(factory: str, x: np.ndarray, metric: int = faiss.METRIC_L2, by_residual: bool | None = None) -> Any:
    index = made(factory, metric)
    if by_residual is not None:
        faiss.extract_index_ivf(index).by_residual = by_residual
    index.train(x)
    if factory.startswith("IDMap"):
        index.add_with_ids(x, np.arange(ROWS) * 3 + 7)
    else:
        index.add(x)
    return index


def sources(index: Any, tmp_path: Path) -> list[Any]:
    """The index as it lies in memory, and as a file."""
    faiss.write_index(index, str(tmp_path / "theirs.faiss"))
    return [index, tmp_path / "theirs.faiss"]


@pytest.mark.parametrize(
    "factory",
    ["PQ4x6,RFlat", "IDMap,PQ4x6,RFlat", "IDMap2,OPQ4,PQ4x6,RFlat", "IDMap,IVF5,PQ4x6,RFlat", "IVF5,PQ4x6,RFlat"],
)
def test_vectors_of_a_refine_index_come_along_as_originals(factory: str, x: np.ndarray, tmp_path: Path) -> None:
    theirs = built(factory, x, by_residual=False if "IVF" in factory else None)
    ids = np.arange(ROWS) * 3 + 7 if factory.startswith("IDMap") else np.arange(ROWS)
    for number, source in enumerate(sources(theirs, tmp_path)):
        with Index.from_faiss(tmp_path / f"ours{number}", source) as ours:
            assert ours.originals == "float32"
            records = ours.get(ids)
            np.testing.assert_array_equal(np.stack([record.vector for record in records]), x)
            assert all(record.is_original for record in records)
            # The nearest of all, re-ranked, are those of an exact search.
            exact = faiss.IndexFlatL2(D)
            exact.add(x)
            found = ours.search(x[:20] + 0.01, k=3, rerank=ROWS)
            np.testing.assert_array_equal(found.ids, ids[exact.search(x[:20] + 0.01, 3)[1]])
            assert ours.verify(deep=True) == []


def test_originals_as_asked_for_or_left_behind(x: np.ndarray, tmp_path: Path) -> None:
    for number, source in enumerate(sources(built("PQ4x6,RFlat", x), tmp_path)):
        with Index.from_faiss(tmp_path / f"half{number}", source, originals="float16") as ours:
            assert ours.originals == "float16"
            np.testing.assert_allclose(ours.get(5).vector, x[5], rtol=1e-3, atol=1e-2)
        with Index.from_faiss(tmp_path / f"none{number}", source, originals=None) as ours:
            assert ours.originals is None
            assert len(ours) == ROWS


@pytest.mark.parametrize("metric", [faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT])
@pytest.mark.parametrize("factory", ["IVF7,PQ4x8", "IVF7,PQ4x5", "OPQ4,IVF7,PQ4x6", "IDMap,IVF7,PQ4x6"])
def test_partitions_without_residuals_keep_codes_and_ids(
    factory: str, metric: int, x: np.ndarray, tmp_path: Path
) -> None:
    theirs = built(factory, x, metric, by_residual=False)
    ivf = faiss.downcast_index(faiss.extract_index_ivf(theirs))
    ivf.nprobe = 7  # all: what is left is the codes
    distances, _ = theirs.search(x[:20], 5)
    turned = theirs.chain.at(0).apply(x) if factory.startswith("OPQ") else x
    ids = np.arange(ROWS) * 3 + 7 if factory.startswith("IDMap") else np.arange(ROWS)
    for number, source in enumerate(sources(theirs, tmp_path)):
        with Index.from_faiss(tmp_path / f"ours{number}", source) as ours:
            assert len(ours) == ROWS
            found = ours.search(x[:20], k=5)
            np.testing.assert_allclose(found.distances, distances, rtol=1e-3, atol=1e-3)
            # Vectors at equal distances may change places; each id has its code.
            np.testing.assert_array_equal(ours.codes(ids), unpack_rows(ivf.pq.compute_codes(turned), 4, ivf.pq.nbits))
            assert ours.metric == ("l2" if metric == faiss.METRIC_L2 else "dot")
            lists = ours.stats().lists
            assert lists is not None
            assert lists.partitions == 7
            with ours._read() as reading:
                stored = SnapshotLists(reading.snapshot).read()
            centroids = faiss.rev_swig_ptr(faiss.downcast_index(ivf.quantizer).get_xb(), 7 * D).reshape(7, D)
            ours_too = np.ldexp(stored.table.stored.astype(np.float32), stored.table.exponent)
            np.testing.assert_allclose(ours_too, centroids, rtol=1e-2, atol=1e-2)
            assert ours.verify(deep=True) == []


def test_lists_only_where_they_can_be_and_are_wanted(x: np.ndarray, tmp_path: Path) -> None:
    theirs = built("IVF7,PQ4x6", x, by_residual=False)
    with Index.from_faiss(tmp_path / "auto", theirs, partitions="auto") as ours:
        assert ours.stats().lists is None  # too few vectors for lists to win
    few = made("IVF300,PQ4x6")
    faiss.extract_index_ivf(few).by_residual = False
    few.train(x)
    few.add(x[:200])
    with Index.from_faiss(tmp_path / "few", few) as ours:
        assert ours.stats().lists is None
        assert len(ours) == 200


def test_many_lists(x: np.ndarray, tmp_path: Path) -> None:
    """More than have one level: numbered anew, in groups."""
    theirs = made("IVF1100,PQ4x6")
    faiss.extract_index_ivf(theirs).by_residual = False
    theirs.cp.niter = 1
    many = np.concatenate((x, x + 0.5))
    theirs.train(many)
    theirs.add(many)
    with Index.from_faiss(tmp_path / "ours", theirs) as ours:
        assert ours.stats().lists.partitions == 1100
        assert ours.verify(deep=True) == []


def test_ids_given_with_partitions(x: np.ndarray, tmp_path: Path) -> None:
    theirs = made("IVF7,PQ4x6")
    faiss.extract_index_ivf(theirs).by_residual = False
    theirs.train(x)
    theirs.add_with_ids(x, np.arange(ROWS) - 50)
    for number, source in enumerate(sources(theirs, tmp_path)):
        with Index.from_faiss(tmp_path / f"ours{number}", source) as ours:
            assert sorted(ours) == list(range(-50, ROWS - 50))


@pytest.mark.parametrize("factory", ["IVF7,PQ4x6", "OPQ4,IVF7,PQ4x6", "IVF7,PQ4x6,RFlat"])
def test_residuals_are_refused_or_encoded_again(
    factory: str, x: np.ndarray, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = built(factory, x, by_residual=True)
    decoded = faiss.extract_index_ivf(theirs)
    decoded.make_direct_map()
    for number, source in enumerate(sources(theirs, tmp_path)):
        with pytest.raises(UnsupportedIndexError, match="reencode=True"):
            Index.from_faiss(tmp_path / f"refused{number}", source)
        assert not (tmp_path / f"refused{number}").exists()
        caplog.clear()
        with Index.from_faiss(tmp_path / f"ours{number}", source, reencode=True) as ours:
            assert f"{ROWS} vectors were decoded and encoded again" in caplog.text
            assert sorted(ours) == list(range(ROWS))
            assert (ours.quantizer.M, ours.quantizer.Ks) == (4, 64)
            # As near to the vectors as a codebook of this size can be.
            again = ours.reconstruct(np.arange(ROWS))
            fresh = type(ours.quantizer)(4, 64, verbose=False).fit(x)
            assert ((again - x) ** 2).sum() < 2 * ((fresh.decode(fresh.encode(x)) - x) ** 2).sum()
            if "RFlat" in factory:
                np.testing.assert_array_equal(ours.get(5).vector, x[5])


def test_too_few_residuals_to_train_on(x: np.ndarray, tmp_path: Path) -> None:
    theirs = made("IVF2,PQ4x8")
    theirs.train(x)
    theirs.add(x[:100])
    with pytest.raises(TrainingError, match="100 vectors, too few to train the 256 codewords"):
        Index.from_faiss(tmp_path / "ours", theirs, reencode=True)


@pytest.mark.parametrize(
    ("factory", "metric"),
    [
        ("PCA8,PQ4x6", faiss.METRIC_L2),
        ("OPQ4_8,PQ4x6", faiss.METRIC_L2),
        ("OPQ4_8,PQ4x6", faiss.METRIC_INNER_PRODUCT),
        ("RR8,PQ4x6", faiss.METRIC_INNER_PRODUCT),
        ("L2norm,OPQ4_8,PQ4x6", faiss.METRIC_INNER_PRODUCT),
        ("OPQ4_12,PCA8,PQ4x6", faiss.METRIC_L2),
        ("PCA8,IVF4,PQ4x6", faiss.METRIC_L2),
        ("OPQ4_8,PQ4x6,RFlat", faiss.METRIC_L2),
    ],
)
def test_a_reduction_of_dimensions_comes_in(factory: str, metric: int, x: np.ndarray, tmp_path: Path) -> None:
    theirs = built(factory, x, metric, by_residual=False if "IVF" in factory else None)
    base = faiss.downcast_index(theirs.base_index) if "RFlat" in factory else theirs
    if "IVF" in factory:
        faiss.extract_index_ivf(base).nprobe = 4
    asked = x[:40]
    expected, _ = base.search(asked, 5)
    if metric == faiss.METRIC_L2:  # what is dropped of a query is as far from every code
        turned = asked
        for number in range(base.chain.size()):
            turned = base.chain.at(number).apply(turned) - base.chain.at(number).apply(np.zeros_like(turned))
        expected = expected + ((asked**2).sum(1) - (turned**2).sum(1))[:, None]
    for number, source in enumerate(sources(theirs, tmp_path)):
        with Index.from_faiss(tmp_path / f"ours{number}", source) as ours:
            assert ours.quantizer.D == D
            distances = ours.search(asked, 5).distances
            np.testing.assert_allclose(distances, expected, rtol=1e-3)
            assert (ours.quantizer.encode(x) == ours.codes(np.arange(ROWS))).mean() > 0.999
            assert (ours.originals is not None) == ("RFlat" in factory)
            assert ours.verify(deep=True) == []


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("PCA6,PQ3x6", r"16 to 6 dimensions, and 16 are not divided by M = 3"),
        ("RR20,PQ4x6", "16 to 20 dimensions, and 20 are more of them"),
    ],
)
def test_other_changes_of_dimension_are_refused_with_the_way_out(
    factory: str, said: str, x: np.ndarray, tmp_path: Path
) -> None:
    theirs = built(factory, x)
    for number, source in enumerate(sources(theirs, tmp_path)):
        with pytest.raises(UnsupportedIndexError, match=said + r".*downcast_index\(index\.index\).*chain\.at\(0\)"):
            Index.from_faiss(tmp_path / f"ours{number}", source)
    # The way out.
    turn = theirs.chain.at(0).apply
    with Index.from_faiss(tmp_path / "ours", faiss.downcast_index(theirs.index)) as ours:
        distances, _ = theirs.search(x[:20], 3)
        np.testing.assert_allclose(ours.search(turn(x[:20]), 3).distances, distances, rtol=1e-3, atol=1e-3)


def test_partitions_that_lie_otherwise_are_refused_by_name(x: np.ndarray, tmp_path: Path) -> None:
    for number, source in enumerate(sources(built("IVF16_HNSW32,PQ4x6", x, by_residual=False), tmp_path)):
        with pytest.raises(UnsupportedIndexError, match="IndexHNSWFlat"):
            Index.from_faiss(tmp_path / f"ours{number}", source)


def test_a_file_cut_short_anywhere_is_named(x: np.ndarray, tmp_path: Path) -> None:
    _, whole = sources(built("IVF7,PQ4x6,RFlat", x, by_residual=False), tmp_path)
    content = whole.read_bytes()
    for length in np.random.default_rng(1).integers(0, len(content), 25).tolist():
        (tmp_path / "cut.faiss").write_bytes(content[:length])
        with pytest.raises((CorpusFileError, UnsupportedIndexError)):
            Index.from_faiss(tmp_path / "ours", tmp_path / "cut.faiss")
        assert not (tmp_path / "ours").exists()
