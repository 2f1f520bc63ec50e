"""Faiss side by side: every type x metric x nbits x ids, live and in files, there and back."""

from __future__ import annotations

import json
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pqstore import OPQ, PQ, Index
from pqstore.errors import (
    CorpusFileError,
    DimensionError,
    DuplicateIdError,
    IndexExistsError,
    InvalidIdError,
    MissingDependencyError,
    NotTrainedError,
    PQStoreError,
    UnsupportedIndexError,
)
from pqstore.index.faiss_transfer import export_index, import_index
from pqstore.interop.faiss import faiss_to_nanopq, nanopq_to_faiss, open_index

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # SWIG's
    faiss = pytest.importorskip("faiss")

D, M, ROWS = 24, 6, 333


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((ROWS, D)).astype(np.float32)


def rotation(seed: int = 1) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((D, D)))[0].astype(np.float32)


def linear(kind: type, A: np.ndarray, b: np.ndarray | None = None) -> Any:
    made = kind(D, M) if kind is faiss.OPQMatrix else kind(D, D, b is not None)
    faiss.copy_array_to_vector(np.ascontiguousarray(A, dtype=np.float32).reshape(-1), made.A)
    if b is not None:
        made.have_bias = True
        faiss.copy_array_to_vector(b.astype(np.float32), made.b)
    made.is_trained = True
    made.set_is_orthonormal()
    return made


def trained_pq(kind: type, nbits: int, metric: int) -> Any:
    """An IndexPQ or IndexPQFastScan with random codewords: training would not change what is tested."""
    index = kind(D, M, nbits, metric)
    centroids = np.random.default_rng(nbits).standard_normal(M * (1 << nbits) * (D // M)).astype(np.float32)
    faiss.copy_array_to_vector(centroids, index.pq.centroids)
    index.is_trained = True
    return index


def built(wrapping: str, nbits: int, metric: int, x: np.ndarray) -> tuple[Any, np.ndarray]:
    """A filled index, and the ids its rows have. Read `wrapping` from the outside in."""
    index = trained_pq(faiss.IndexPQFastScan if "fs" in wrapping else faiss.IndexPQ, nbits, metric)
    ids = np.arange(ROWS)
    for layer in reversed(wrapping.split(",")[:-1]):
        if layer == "OPQ":
            matrix = linear(faiss.OPQMatrix, rotation())
            index = faiss.IndexPreTransform(matrix, index)
        elif layer == "RR":
            matrix = faiss.RandomRotationMatrix(D, D)
            matrix.init(5)
            index = faiss.IndexPreTransform(matrix, index)
        elif layer == "norm":
            matrix = faiss.NormalizationTransform(D, 2.0)
            index = faiss.IndexPreTransform(matrix, index)
        elif layer in ("IDMap", "IDMap2"):
            index = (faiss.IndexIDMap2 if layer == "IDMap2" else faiss.IndexIDMap)(index)
            ids = np.random.default_rng(3).permutation(10 * ROWS)[:ROWS] - 500
        elif layer == "Refine":
            index = faiss.IndexRefineFlat(index)
        elif layer == "RefineSQ":
            refine = faiss.IndexScalarQuantizer(D, faiss.ScalarQuantizer.QT_8bit, metric)
            refine.train(x)
            index = faiss.IndexRefine(index, refine)
        index.is_trained = True
    if "IDMap" in wrapping.split(",", maxsplit=1)[0]:
        index.add_with_ids(x, ids)
    elif "IDMap" in wrapping:
        inner = faiss.downcast_index(index.index)
        turned = index.apply_chain(ROWS, faiss.swig_ptr(x))
        inner.add_with_ids(faiss.rev_swig_ptr(turned, ROWS * D).reshape(ROWS, D).copy(), ids)
        index.ntotal = inner.ntotal
    else:
        index.add(x)
    return index, ids


def codes_of(index: Any) -> np.ndarray:
    """Codes of the innermost IndexPQ, by Faiss's own means: decoded vectors name their codewords."""
    return np.concatenate(list(open_index(index).code_blocks()))


L2, IP = faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT
CASES = [
    *(
        (wrapping, nbits, metric)
        for wrapping in ("PQ", "IDMap2,OPQ,PQ")
        for nbits in range(4, 13)
        for metric in (L2, IP)
    ),
    ("IDMap,PQ", 16, L2),
    ("OPQ,PQ", 16, IP),
    *((wrapping, 8, metric) for wrapping in ("OPQ,PQ", "RR,PQ", "IDMap,PQ", "IDMap2,PQ") for metric in (L2, IP)),
    ("IDMap,OPQ,PQ", 5, L2),
    ("OPQ,IDMap,PQ", 8, L2),
    ("OPQ,IDMap2,PQ", 6, IP),
    ("Refine,PQ", 8, L2),
    ("Refine,OPQ,PQ", 8, L2),
    ("IDMap,Refine,PQ", 4, L2),
    ("IDMap2,RefineSQ,PQ", 8, L2),
    ("norm,PQ", 8, IP),
    ("norm,OPQ,PQ", 8, IP),
    ("PQfs", 4, L2),
    ("PQfs", 4, IP),
    ("OPQ,PQfs", 4, L2),
    ("IDMap2,OPQ,PQfs", 4, IP),
    ("IDMap,Refine,PQfs", 4, L2),
]


def assert_same_answers(index: Index, theirs: Any, x: np.ndarray) -> None:
    """Our search and Faiss's give the same distances, and the same ids but for ties."""
    k = 20
    wanted_distances, wanted_ids = theirs.search(x[:10], k)
    hits = index.search(x[:10], k)
    scale = np.abs(wanted_distances).max()
    np.testing.assert_allclose(hits.distances, wanted_distances, rtol=1e-5, atol=1e-5 * scale)
    assert (hits.ids == wanted_ids).mean() > 0.95
    assert [len(set(a) & set(b)) >= k - 1 for a, b in zip(hits.ids, wanted_ids, strict=True)]


@pytest.mark.parametrize(("wrapping", "nbits", "metric"), CASES)
def test_round_trip(wrapping: str, nbits: int, metric: int, x: np.ndarray, tmp_path: Path) -> None:
    source, ids = built(wrapping, nbits, metric, x)
    live = open_index(source)
    quantizer = live.quantizer()
    codes = codes_of(source)
    assert quantizer.metric == ("l2" if metric == L2 else "cosine" if "norm" in wrapping else "dot")
    assert type(quantizer) is (OPQ if "OPQ" in wrapping or "RR" in wrapping else PQ)
    assert quantizer.Ks == 1 << nbits
    # The codes are what Faiss decodes, and what we encode.
    if "Refine" not in wrapping:
        wanted = source.reconstruct_n(0, ROWS) if "IDMap" not in wrapping else None
        if wanted is not None:
            np.testing.assert_allclose(quantizer.decode(codes), wanted, atol=1e-5)
    assert (quantizer.encode(x) == codes).mean() > 0.999

    # The file says the same as the live index, without Faiss.
    faiss.write_index(source, str(tmp_path / "theirs"))
    stored = open_index(tmp_path / "theirs")
    assert stored.quantizer() == quantizer
    np.testing.assert_array_equal(np.concatenate(list(stored.code_blocks())), codes)
    np.testing.assert_array_equal(np.concatenate(list(stored.id_blocks())), ids)
    np.testing.assert_array_equal(np.concatenate(list(live.id_blocks())), ids)

    # Faiss -> ours, from both; ours -> Faiss, to both; and back again.
    with import_index(tmp_path / "a", source) as ours, import_index(tmp_path / "b", str(tmp_path / "theirs")) as again:
        for index in (ours, again):
            assert index.quantizer == quantizer
            np.testing.assert_array_equal(index.codes(ids), codes)
        exported = export_index(ours)
        assert export_index(ours, tmp_path / "exported") is None
        read = faiss.read_index(str(tmp_path / "exported"))
        for theirs in (exported, read):
            np.testing.assert_array_equal(codes_of(theirs), codes)
            np.testing.assert_array_equal(faiss.vector_to_array(theirs.id_map), ids)
            assert open_index(theirs).quantizer() == quantizer
            assert_same_answers(ours, theirs, x)
        if "Refine" not in wrapping and "fs" not in wrapping and not wrapping.startswith("OPQ,IDMap"):
            assert_same_answers(ours, source, x)
        back = open_index(tmp_path / "exported")
        assert back.quantizer() == quantizer
        np.testing.assert_array_equal(np.concatenate(list(back.code_blocks())), codes)
        # Faiss can go on with it.
        read.add_with_ids(x[:5], np.arange(5) + 100_000)
        assert read.search(x[:1], 1)[1].shape == (1, 1)


@pytest.mark.parametrize("Ks", [3, 16, 17, 200, 256, 300, 1000])
@pytest.mark.parametrize("kind", [PQ, OPQ])
@pytest.mark.parametrize("metric", ["l2", "dot", "cosine"])
def test_quantizers_with_any_Ks(kind: type[PQ | OPQ], Ks: int, metric: str, x: np.ndarray) -> None:
    """With Ks below a power of two, the conversion once read past the codebook."""
    ours = kind(M, Ks, metric, verbose=False)
    ours.codewords = np.random.default_rng(Ks).standard_normal((M, Ks, D // M))
    if isinstance(ours, OPQ):
        ours.R = rotation()
    theirs = nanopq_to_faiss(ours)
    assert theirs.is_trained
    assert theirs.ntotal == 0
    theirs.add(x)
    back, codes = faiss_to_nanopq(theirs)
    assert back == ours
    assert codes.dtype == ours.code_dtype
    assert codes.max() < Ks
    assert (codes == ours.encode(x)).mean() > 0.999
    distances, rows = theirs.search(x[:5], 10)
    for query, row, wanted in zip(x, rows, distances, strict=False):
        np.testing.assert_allclose(ours.dtable(query).adist(codes[row]), wanted, rtol=1e-4, atol=1e-4)


def test_a_bias_moves_the_codewords(x: np.ndarray, tmp_path: Path) -> None:
    bias = np.random.default_rng(9).standard_normal(D)
    inner = trained_pq(faiss.IndexPQ, 8, L2)
    matrix = linear(faiss.LinearTransform, rotation(), bias)
    source = faiss.IndexPreTransform(matrix, inner)
    source.add(x)
    quantizer = open_index(source).quantizer()
    assert (quantizer.encode(x) == codes_of(source)).mean() > 0.999
    with import_index(tmp_path / "i", source) as ours:
        np.testing.assert_allclose(ours.search(x[:5], 10).distances, source.search(x[:5], 10)[0], rtol=1e-3)


def test_two_rotations_become_one(x: np.ndarray) -> None:
    inner = trained_pq(faiss.IndexPQ, 8, L2)
    first, second = linear(faiss.LinearTransform, rotation(1)), linear(faiss.LinearTransform, rotation(2))
    source = faiss.IndexPreTransform(second, inner)
    source.prepend_transform(first)
    source.add(x)
    assert (open_index(source).quantizer().encode(x) == codes_of(source)).mean() > 0.999


def test_the_index_keeps_its_own_metric(x: np.ndarray, tmp_path: Path) -> None:
    pq = PQ(M, 16, verbose=False).fit(x)
    with Index.create(tmp_path / "i", pq, metric="dot") as index:
        index.add(x)
        exported = export_index(index)
        assert exported.metric_type == IP
        assert_same_answers(index, exported, x)


def test_an_empty_index(tmp_path: Path, x: np.ndarray) -> None:
    pq = PQ(M, 16, verbose=False).fit(x)
    with Index.create(tmp_path / "i", pq) as index:
        export_index(index, tmp_path / "f")
        assert export_index(index).ntotal == 0
    assert faiss.read_index(str(tmp_path / "f")).ntotal == 0
    with import_index(tmp_path / "j", tmp_path / "f") as again:
        assert len(again) == 0
        assert again.quantizer == pq


def test_string_ids_are_numbered(x: np.ndarray, tmp_path: Path) -> None:
    names = [f"näme\n{i}" for i in range(ROWS)]
    pq = PQ(M, 16, verbose=False).fit(x)
    with Index.create(tmp_path / "i", pq, id_type="str") as index:
        index.add(x, ids=names)
        with pytest.raises(InvalidIdError, match="mapping"):
            export_index(index)
        mapping: list[str] = []
        theirs = export_index(index, mapping=mapping)
        assert mapping == names
        np.testing.assert_array_equal(faiss.vector_to_array(theirs.id_map), np.arange(ROWS))
        export_index(index, tmp_path / "f")
    lines = (tmp_path / "f.ids.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == names
    with import_index(tmp_path / "j", tmp_path / "f", ids=names) as again:
        assert again.id_type == "str"
        np.testing.assert_array_equal(again.codes(names), pq.encode(x))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f", "f.ids.jsonl", "i", "j"]


class TestRefusals:
    def test_ids_of_the_wrong_length_or_twice(self, x: np.ndarray, tmp_path: Path) -> None:
        source, _ = built("PQ", 4, L2, x)
        with pytest.raises(DimensionError, match="333 ids"):
            import_index(tmp_path / "i", source, ids=np.arange(332))
        with pytest.raises(InvalidIdError):
            import_index(tmp_path / "i", source, ids=np.linspace(0, 1, ROWS))
        twice = np.arange(ROWS)
        twice[200] = 100
        with pytest.raises(DuplicateIdError):
            import_index(tmp_path / "i", source, ids=twice)
        assert list(tmp_path.iterdir()) == []

    def test_duplicate_ids_of_theirs(self, x: np.ndarray, tmp_path: Path) -> None:
        source = faiss.IndexIDMap2(trained_pq(faiss.IndexPQ, 4, L2))
        source.add_with_ids(x[:4], np.array([1, 2, 1, 3]))
        with pytest.raises(DuplicateIdError):
            import_index(tmp_path / "i", source)
        assert list(tmp_path.iterdir()) == []

    def test_something_is_there_already(self, x: np.ndarray, tmp_path: Path) -> None:
        source, _ = built("PQ", 4, L2, x)
        (tmp_path / "i").write_text("mine")
        with pytest.raises(IndexExistsError):
            import_index(tmp_path / "i", source)
        assert (tmp_path / "i").read_text() == "mine"

    @pytest.mark.parametrize(
        ("description", "said"),
        [
            ("Flat", "IndexFlat"),
            ("IVF4,PQ6x4np", "IndexIVFPQ"),
            ("SQ8", "IndexScalarQuantizer"),
            ("HNSW8", "IndexHNSWFlat"),
            ("PCA10,PQ5x4np", "24 to 10 dimensions"),
            ("RR30,PQ6x4np", "24 to 30 dimensions"),
            ("L2norm,PQ6x4np", "METRIC_L2"),
            ("Pad36,PQ6x4np", "RemapDimensionsTransform|'RmDT'"),
        ],
    )
    def test_types_without_a_counterpart(self, description: str, said: str, x: np.ndarray, tmp_path: Path) -> None:
        index = faiss.index_factory(D, description)
        index.train(x)
        index.add(x)
        faiss.write_index(index, str(tmp_path / "f"))
        for source in (index, tmp_path / "f"):
            with pytest.raises(UnsupportedIndexError, match=said):
                import_index(tmp_path / "i", source)
        assert [p.name for p in tmp_path.iterdir()] == ["f"]

    def test_other_metrics_and_transforms(self, x: np.ndarray) -> None:
        with pytest.raises(UnsupportedIndexError, match="metric 2"):
            open_index(trained_pq(faiss.IndexPQ, 4, faiss.METRIC_L1)).quantizer()
        shear = np.eye(D)
        shear[0, 1] = 0.5
        for A, b, metric, said in [(shear, None, L2, "no rotation"), (np.eye(D), np.ones(D), IP, "bias")]:
            inner, matrix = trained_pq(faiss.IndexPQ, 4, metric), linear(faiss.LinearTransform, A, b)
            index = faiss.IndexPreTransform(matrix, inner)
            with pytest.raises(UnsupportedIndexError, match=said):
                open_index(index).quantizer()
        twice = faiss.IndexIDMap(faiss.IndexIDMap(trained_pq(faiss.IndexPQ, 4, L2)))
        with pytest.raises(UnsupportedIndexError, match="IDMap inside"):
            open_index(twice)
        with pytest.raises(UnsupportedIndexError, match="expected a Faiss index"):
            open_index(PQ(4, verbose=False))

    def test_untrained(self) -> None:
        with pytest.raises(NotTrainedError):
            faiss_to_nanopq(faiss.IndexPQ(D, M, 8))
        with pytest.raises(NotTrainedError, match="fit"):
            nanopq_to_faiss(PQ(M, verbose=False))
        with pytest.raises(NotTrainedError, match="fit"):
            nanopq_to_faiss(OPQ(M, verbose=False))

    def test_too_many_codewords(self) -> None:
        pq = PQ(1, 65_537, verbose=False)
        pq.codewords = np.zeros((1, 65_537, 1))
        with pytest.raises(UnsupportedIndexError, match="16 bits"):
            nanopq_to_faiss(pq)

    def test_codewords_that_are_not_finite(self) -> None:
        index = trained_pq(faiss.IndexPQ, 4, L2)
        centroids = np.zeros(16 * D, dtype=np.float32)
        centroids[7] = np.nan
        faiss.copy_array_to_vector(centroids, index.pq.centroids)
        with pytest.raises(PQStoreError, match="finite"):
            open_index(index).quantizer()

    def test_without_faiss_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pq = PQ(1, 2, verbose=False)
        pq.codewords = np.zeros((1, 2, 1))
        monkeypatch.setitem(__import__("sys").modules, "faiss", None)
        with pytest.raises(MissingDependencyError, match=r"pqstore\[faiss\]"):
            nanopq_to_faiss(pq)
        with pytest.raises(MissingDependencyError, match=r"pqstore\[faiss\]"):
            faiss_to_nanopq(object())


class TestDamagedFiles:
    @pytest.fixture
    def path(self, x: np.ndarray, tmp_path: Path) -> Path:
        inner = trained_pq(faiss.IndexPQ, 4, L2)
        matrix = linear(faiss.OPQMatrix, rotation())
        chain = faiss.IndexPreTransform(matrix, inner)
        index = faiss.IndexIDMap2(chain)
        index.add_with_ids(x[:20], np.arange(20) * 7)
        faiss.write_index(index, str(tmp_path / "f"))
        return tmp_path / "f"

    def test_every_truncation(self, path: Path) -> None:
        sound = path.read_bytes()
        for length in range(0, len(sound), 13):
            path.write_bytes(sound[:length])
            with pytest.raises(CorpusFileError, match="at byte"):
                open_index(path)
        path.write_bytes(sound + b"x")
        with pytest.raises(CorpusFileError, match="1 more bytes"):
            open_index(path)

    def test_every_byte_of_the_structure(self, path: Path) -> None:
        """Any change is refused or changes values only; nothing crashes, and no size is believed."""
        sound = bytearray(path.read_bytes())
        refused = 0
        # All of the headers, which lie at both ends and before each array; some of the arrays.
        size = len(sound)
        positions = {*range(150), *range(2300, 2450, 2), *range(size - 260, size), *range(0, size, 61)}
        for position in sorted(positions):
            for flip in (0x01, 0x80):
                damaged = sound.copy()
                damaged[position] ^= flip
                path.write_bytes(damaged)
                try:
                    contents = open_index(path)
                    contents.quantizer()
                    assert sum(map(len, contents.code_blocks())) == 20
                except PQStoreError as error:
                    refused += 1
                    assert str(path) in str(error)  # noqa: PT017 # most changes are values, and pass
        assert refused > 50

    @pytest.mark.parametrize("text", [b"", b"Ix", b"\xff\xff\xff\xff", b"hello world, this is no index"])
    def test_other_files(self, text: bytes, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(text)
        with pytest.raises(PQStoreError, match="f"):
            open_index(tmp_path / "f")
        with pytest.raises(FileNotFoundError):
            open_index(tmp_path / "missing")

    def test_indexes_without_end_inside_each_other(self, tmp_path: Path) -> None:
        header = b"IxPT" + struct.pack("<iqqqBii", 8, 0, 0, 0, 1, 1, 0)
        (tmp_path / "f").write_bytes(header * 5000)
        with pytest.raises(CorpusFileError, match="inside each other"):
            open_index(tmp_path / "f")
