"""`PQ`, and what `PQ` and `OPQ` share."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from pqstore.errors import (
    DimensionError,
    InvalidCodeError,
    InvalidQuantizerError,
    InvalidVectorError,
    NotTrainedError,
    TrainingError,
)
from pqstore.quantizer import OPQ, PQ, TrainingStep


@pytest.fixture
def small() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((600, 12)).astype(np.float32)


class TestSettings:
    @pytest.mark.parametrize("kind", [PQ, OPQ])
    def test_attributes_before_training(self, kind: type[PQ | OPQ]) -> None:
        quantizer = kind(4, verbose=False)
        assert (quantizer.M, quantizer.Ks, quantizer.metric, quantizer.verbose) == (4, 256, "l2", False)
        assert quantizer.code_dtype is np.uint8
        assert (quantizer.codewords, quantizer.Ds, quantizer.D, quantizer.is_trained) == (None, None, None, False)

    @pytest.mark.parametrize("kind", [PQ, OPQ])
    @pytest.mark.parametrize("settings", [{"M": 0}, {"M": -1}, {"Ks": 0}, {"Ks": 2**32 + 1}, {"metric": "cos"}])
    def test_settings_out_of_range(self, kind: type[PQ | OPQ], settings: dict) -> None:
        with pytest.raises(ValueError, match=next(iter(settings))):
            kind(**{"M": 4, "verbose": False, **settings})

    def test_settings_of_the_wrong_type(self) -> None:
        with pytest.raises(TypeError):
            PQ(2.5, verbose=False)

    def test_largest_Ks(self) -> None:
        assert PQ(1, 2**32, verbose=False).code_dtype is np.uint32

    @pytest.mark.parametrize("kind", [PQ, OPQ])
    def test_the_banner_names_each_setting_rightly(
        self, kind: type[PQ | OPQ], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The banner once showed the code type as the metric, and the metric as the code type."""
        kind(8, 1000, "dot")
        assert capsys.readouterr().out == "M: 8, Ks: 1000, metric: dot, code_dtype: uint16\n"


class TestFit:
    def test_returns_self_and_codewords(self, small: np.ndarray) -> None:
        pq = PQ(4, 16, verbose=False)
        assert pq.fit(small, iter=2) is pq
        assert pq.codewords.shape == (4, 16, 3)
        assert pq.codewords.dtype == np.float32
        assert (pq.Ds, pq.D) == (3, 12)

    @pytest.mark.parametrize("kind", [PQ, OPQ])
    @pytest.mark.parametrize("minit", ["points", "random", "++"])
    def test_same_seed_same_codewords(self, kind: type[PQ | OPQ], minit: str, small: np.ndarray) -> None:
        one, two, other = (kind(4, 16, verbose=False).fit(small, seed=seed, minit=minit) for seed in (5, 5, 6))
        assert one == two
        assert one != other

    @pytest.mark.parametrize("kind", [PQ, OPQ])
    def test_numpys_global_generator_is_left_alone(self, kind: type[PQ | OPQ], small: np.ndarray) -> None:
        """fit() once reseeded it, so that a program's later random numbers all came out the same."""
        before = np.random.get_state()
        one = kind(4, 16, verbose=False).fit(small)
        after = np.random.get_state()
        assert before[0] == after[0]
        np.testing.assert_array_equal(before[1], after[1])
        assert before[2:] == after[2:]
        np.random.default_rng()
        assert one == kind(4, 16, verbose=False).fit(small)

    def test_no_seed_means_another_one_each_time(self, small: np.ndarray) -> None:
        assert PQ(4, 16, verbose=False).fit(small, seed=None) != PQ(4, 16, verbose=False).fit(small, seed=None)

    @pytest.mark.parametrize("kind", [PQ, OPQ])
    def test_training_reaches_a_low_error(self, kind: type[PQ | OPQ], small: np.ndarray) -> None:
        variance = float(small.var(axis=0).sum())
        assert kind(4, 64, verbose=False).fit(small).quantization_error(small) < 0.2 * variance

    @pytest.mark.parametrize("kind", [PQ, OPQ])
    def test_matrix_goes_on_from_the_present_codewords(self, kind: type[PQ | OPQ], small: np.ndarray) -> None:
        argument = "iter" if kind is PQ else "pq_iter"
        quantizer = kind(4, 16, verbose=False).fit(small, **{argument: 2})
        before = quantizer.quantization_error(small)
        quantizer.fit(small, minit="matrix", seed=99)
        assert quantizer.quantization_error(small) < before

    def test_matrix_equals_more_iterations(self, small: np.ndarray) -> None:
        in_one = PQ(4, 16, verbose=False).fit(small, iter=7)
        in_two = PQ(4, 16, verbose=False).fit(small, iter=3).fit(small, iter=4, minit="matrix")
        assert in_one == in_two

    def test_matrix_from_codewords_that_were_set(self, small: np.ndarray) -> None:
        pq = PQ(4, 16, verbose=False)
        pq.codewords = small[:16].reshape(16, 4, 3).transpose(1, 0, 2)
        assert pq.fit(small, minit="matrix").is_trained

    @pytest.mark.parametrize("kind", [PQ, OPQ])
    def test_matrix_without_a_matrix(self, kind: type[PQ | OPQ], small: np.ndarray) -> None:
        with pytest.raises(NotTrainedError, match="codewords"):
            kind(4, 16, verbose=False).fit(small, minit="matrix")

    @pytest.mark.parametrize("kind", [PQ, OPQ])
    def test_matrix_of_another_dimension(self, kind: type[PQ | OPQ], small: np.ndarray) -> None:
        quantizer = kind(4, 16, verbose=False).fit(small)
        with pytest.raises(DimensionError, match="D"):
            quantizer.fit(small[:, :8], minit="matrix")

    @pytest.mark.parametrize("kind", [PQ, OPQ])
    def test_as_many_vectors_as_codewords_are_enough(self, kind: type[PQ | OPQ], small: np.ndarray) -> None:
        assert kind(4, 16, verbose=False).fit(small[:16]).quantization_error(small[:16]) < 1e-9

    @pytest.mark.parametrize("kind", [PQ, OPQ])
    def test_too_few_vectors(self, kind: type[PQ | OPQ], small: np.ndarray) -> None:
        with pytest.raises(TrainingError, match="Ks = 16, got 15 vectors"):
            kind(4, 16, verbose=False).fit(small[:15])

    @pytest.mark.parametrize("kind", [PQ, OPQ])
    def test_M_must_divide_D(self, kind: type[PQ | OPQ], small: np.ndarray) -> None:
        with pytest.raises(TrainingError, match=r"M = 5 .* D = 12"):
            kind(5, 16, verbose=False).fit(small)

    @pytest.mark.parametrize("bad", [{"iter": 0}, {"minit": "ponts"}, {"seed": -1}, {"threads": 0}])
    def test_arguments_out_of_range(self, bad: dict, small: np.ndarray) -> None:
        with pytest.raises(ValueError):  # noqa: PT011 # four messages
            PQ(4, 16, verbose=False).fit(small, **bad)

    @pytest.mark.parametrize("kind", [PQ, OPQ])
    def test_a_failed_fit_changes_nothing(self, kind: type[PQ | OPQ], small: np.ndarray) -> None:
        quantizer = kind(4, 16, verbose=False).fit(small)
        before = copy.deepcopy(quantizer)
        bad = small.copy()
        bad[77, 3] = np.nan
        with pytest.raises(InvalidVectorError, match="row 77, column 3"):
            quantizer.fit(bad)
        assert quantizer == before

    @pytest.mark.parametrize("kind", [PQ, OPQ])
    def test_a_larger_input_is_sampled_and_that_is_said(
        self, kind: type[PQ | OPQ], small: np.ndarray, capsys: pytest.CaptureFixture[str]
    ) -> None:
        quantizer = kind(4, 16)
        quantizer.fit(small, max_training_rows=100)
        assert "random sample of 100 of 600 vectors" in capsys.readouterr().out
        again = kind(4, 16).fit(small, max_training_rows=100)
        assert quantizer == again
        assert quantizer != kind(4, 16).fit(small)
        assert 0 < quantizer.quantization_error(small) < float(small.var(axis=0).sum())

    def test_the_sample_defaults_to_256_rows_a_codeword(self, capsys: pytest.CaptureFixture[str]) -> None:
        x = np.random.default_rng(0).random((513, 2), dtype=np.float32)
        PQ(1, 2).fit(x, iter=1)
        assert "random sample of 512 of 513" in capsys.readouterr().out
        PQ(1, 2).fit(x[:512], iter=1)
        assert "sample" not in capsys.readouterr().out

    def test_a_sample_smaller_than_Ks_is_refused(self, small: np.ndarray) -> None:
        with pytest.raises(TrainingError, match="max_training_rows"):
            PQ(4, 16, verbose=False).fit(small, max_training_rows=15)

    def test_a_bad_row_of_a_sample_is_named_by_its_own_number(self, small: np.ndarray) -> None:
        bad = small.copy()
        bad[500:, 1] = np.inf
        with pytest.raises(InvalidVectorError, match=r"row 5\d\d, column 1"):
            PQ(4, 16, verbose=False).fit(bad, max_training_rows=300)

    def test_progress_is_told_and_printed(self, small: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
        steps: list[TrainingStep] = []
        OPQ(4, 16).fit(small, pq_iter=3, rotation_iter=3, progress=steps.append)
        assert [(s.stage, s.done, s.total) for s in steps] == [
            ("rotation", 1, 2),
            ("rotation", 2, 2),
            ("k-means", 1, 3),
            ("k-means", 2, 3),
            ("k-means", 3, 3),
        ]
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 6
        assert lines[1].startswith("rotation iteration 1 of 2: mean squared error ")

    def test_silence_is_silence(self, small: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
        PQ(4, 16, verbose=False).fit(small).encode(small)
        OPQ(4, 16, verbose=False).fit(small, rotation_iter=2).encode(small)
        assert capsys.readouterr() == ("", "")

    @pytest.mark.parametrize("kind", [PQ, OPQ])
    @pytest.mark.parametrize("dtype", ["f8", "f2", ">f4"])
    def test_other_dtypes_train_alike(self, kind: type[PQ | OPQ], dtype: str, small: np.ndarray) -> None:
        x = small.astype("f2")
        assert kind(4, 16, verbose=False).fit(x.astype(dtype)) == kind(4, 16, verbose=False).fit(x.astype("f4"))

    def test_threads_change_nothing(self, small: np.ndarray) -> None:
        assert PQ(4, 16, verbose=False).fit(small, threads=1) == PQ(4, 16, verbose=False).fit(small, threads=3)

    def test_cosine_ignores_lengths(self, small: np.ndarray) -> None:
        lengths = np.exp2(np.random.default_rng(1).integers(-9, 9, (len(small), 1))).astype(np.float32)
        assert PQ(4, 16, "cosine", verbose=False).fit(small) == PQ(4, 16, "cosine", verbose=False).fit(small * lengths)

    def test_dot_trains_as_l2(self, small: np.ndarray) -> None:
        for kind in (PQ, OPQ):
            l2, dot = (kind(4, 16, metric, verbose=False).fit(small) for metric in ("l2", "dot"))
            np.testing.assert_array_equal(l2.codewords, dot.codewords)
            assert dot.metric == "dot"
            assert l2 != dot


class TestEveryQuantizer:
    """`quantizer`: PQ and OPQ, each metric, D = 128, M = 16, Ks = 32."""

    def test_codes_name_the_nearest_codewords(self, quantizer: PQ | OPQ, sift: np.ndarray) -> None:
        x = sift[:50]
        ready = x / np.linalg.norm(x, axis=1, keepdims=True) if quantizer.metric == "cosine" else x
        if isinstance(quantizer, OPQ):
            ready = ready @ quantizer.R
        codes = quantizer.encode(x)
        assert codes.dtype == quantizer.code_dtype
        for m in range(16):
            part = ready[:, m * 8 : m * 8 + 8].astype(np.float64)
            distances = ((part[:, None] - quantizer.codewords[m]) ** 2).sum(axis=2)
            chosen = distances[np.arange(50), codes[:, m]]
            np.testing.assert_allclose(chosen, distances.min(axis=1), rtol=1e-5)

    def test_a_vector_has_the_same_code_alone_and_in_a_batch(self, quantizer: PQ | OPQ, sift: np.ndarray) -> None:
        together = quantizer.encode(sift[:70])
        np.testing.assert_array_equal(together, np.concatenate([quantizer.encode(x[None]) for x in sift[:70]]))

    def test_a_query_has_the_same_table_alone_and_in_a_batch(self, quantizer: PQ | OPQ, sift: np.ndarray) -> None:
        tables = quantizer.dtables(sift[:70])
        assert tables.shape == (70, 16, 32)
        assert tables.dtype == np.float32
        for table, query in zip(tables, sift, strict=False):
            np.testing.assert_array_equal(quantizer.dtable(query).dtable, table)

    def test_small_blocks_change_nothing(
        self, quantizer: PQ | OPQ, sift: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        codes, tables = quantizer.encode(sift[:50]), quantizer.dtables(sift[:50])
        vectors, error = quantizer.decode(codes), quantizer.quantization_error(sift[:50])
        monkeypatch.setattr("pqstore.quantizer.vectors._BLOCK_VALUES", 128 * 7)
        monkeypatch.setattr("pqstore.quantizer.base._BLOCK_ENTRIES", 16 * 32 * 3)
        np.testing.assert_array_equal(quantizer.encode(sift[:50]), codes)
        np.testing.assert_array_equal(quantizer.dtables(sift[:50]), tables)
        np.testing.assert_array_equal(quantizer.decode(codes), vectors)
        assert quantizer.quantization_error(sift[:50]) == pytest.approx(error)

    def test_adist_is_the_distance_to_the_decoded_vector(self, quantizer: PQ | OPQ, sift: np.ndarray) -> None:
        codes = quantizer.encode(sift[:100])
        decoded, query = quantizer.decode(codes).astype(np.float64), sift[200].astype(np.float64)
        if quantizer.metric == "cosine":
            query /= np.linalg.norm(query)
        expected = ((decoded - query) ** 2).sum(axis=1) if quantizer.metric == "l2" else decoded @ query
        distances = quantizer.dtable(sift[200]).adist(codes)
        assert distances.shape == (100,)
        assert distances.dtype == np.float32
        np.testing.assert_allclose(distances, expected, rtol=2e-4, atol=1e-4)

    def test_the_error_is_that_of_a_round_trip(self, quantizer: PQ | OPQ, sift: np.ndarray) -> None:
        x = sift[:200].astype(np.float64)
        if quantizer.metric == "cosine":
            x /= np.linalg.norm(x, axis=1, keepdims=True)
        difference = x - quantizer.decode(quantizer.encode(sift[:200]))
        assert quantizer.quantization_error(sift[:200]) == pytest.approx((difference**2).sum(axis=1).mean(), rel=1e-5)

    def test_no_vectors(self, quantizer: PQ | OPQ) -> None:
        nothing = np.empty((0, 128), dtype=np.float32)
        assert quantizer.encode(nothing).shape == (0, 16)
        assert quantizer.encode(nothing).dtype == np.uint8
        assert quantizer.decode(np.empty((0, 16), dtype=np.uint8)).shape == (0, 128)
        assert quantizer.dtables(nothing).shape == (0, 16, 32)
        assert quantizer.quantization_error(nothing) == 0.0

    @pytest.mark.parametrize("shape", [(128,), (3, 127), (3, 129), (1, 1, 128), ()])
    def test_wrong_shapes(self, quantizer: PQ | OPQ, shape: tuple[int, ...]) -> None:
        x = np.ones(shape)
        for call in (quantizer.encode, quantizer.dtables, quantizer.quantization_error):
            with pytest.raises(DimensionError):
                call(x)

    @pytest.mark.parametrize("shape", [(127,), (1, 128), (), (0,), (0, 128)])
    def test_dtable_wants_one_vector(self, quantizer: PQ | OPQ, shape: tuple[int, ...]) -> None:
        with pytest.raises(DimensionError, match="query"):
            quantizer.dtable(np.ones(shape))

    def test_nan_is_refused_everywhere(self, quantizer: PQ | OPQ) -> None:
        x = np.ones((3, 128))
        x[2, 7] = np.nan
        for call in (quantizer.encode, quantizer.dtables, quantizer.quantization_error):
            with pytest.raises(InvalidVectorError, match="row 2, column 7"):
                call(x)
        with pytest.raises(InvalidVectorError, match="query"):
            quantizer.dtable(x[2])

    def test_zero_vectors(self, quantizer: PQ | OPQ) -> None:
        x = np.zeros((2, 128))
        if quantizer.metric == "cosine":
            for call in (quantizer.encode, quantizer.dtables, quantizer.quantization_error):
                with pytest.raises(InvalidVectorError, match="no direction"):
                    call(x)
        else:
            assert quantizer.encode(x).shape == (2, 16)

    def test_codes_out_of_range(self, quantizer: PQ | OPQ, sift: np.ndarray) -> None:
        codes = np.zeros((4, 16), dtype=np.uint8)
        codes[3, 5] = 32
        with pytest.raises(InvalidCodeError, match="code 32 in row 3, column 5"):
            quantizer.decode(codes)
        with pytest.raises(InvalidCodeError, match="code 32 in row 3, column 5"):
            quantizer.dtable(sift[0]).adist(codes)

    def test_integers_and_lists_are_vectors(self, quantizer: PQ | OPQ, sift: np.ndarray) -> None:
        expected = quantizer.encode(sift[:5])
        np.testing.assert_array_equal(quantizer.encode(sift[:5].astype(np.uint8)), expected)
        np.testing.assert_array_equal(quantizer.encode(sift[:5].tolist()), expected)

    def test_pickle_and_deepcopy_and_copy(self, quantizer: PQ | OPQ, sift: np.ndarray) -> None:
        for again in (pickle.loads(pickle.dumps(quantizer)), copy.deepcopy(quantizer), copy.copy(quantizer)):
            assert again == quantizer
            assert type(again) is type(quantizer)
            assert not np.shares_memory(again.codewords, quantizer.codewords)
            np.testing.assert_array_equal(again.encode(sift[:20]), quantizer.encode(sift[:20]))

    def test_repr_says_what_it_is(self, quantizer: PQ | OPQ) -> None:
        text = repr(quantizer)
        assert text.startswith(f"<{quantizer.kind} M=16 Ks=32 metric='{quantizer.metric}'")
        assert "D=128" in text


class TestUntrained:
    @pytest.mark.parametrize("kind", [PQ, OPQ])
    def test_every_use_says_that_fit_comes_first(self, kind: type[PQ | OPQ]) -> None:
        """An untrained encode once died with an error about NoneType."""
        quantizer = kind(4, verbose=False)
        x = np.ones((2, 8), dtype=np.float32)
        calls = [
            lambda: quantizer.encode(x),
            lambda: quantizer.decode(np.zeros((2, 4), dtype=np.uint8)),
            lambda: quantizer.dtable(x[0]),
            lambda: quantizer.dtables(x),
            lambda: quantizer.quantization_error(x),
        ]
        for call in calls:
            with pytest.raises(NotTrainedError, match="fit"):
                call()

    @pytest.mark.parametrize("kind", [PQ, OPQ])
    def test_copies_and_equality(self, kind: type[PQ | OPQ]) -> None:
        quantizer = kind(4, 16, "dot", verbose=False)
        assert copy.deepcopy(quantizer) == quantizer == pickle.loads(pickle.dumps(quantizer))
        assert "untrained" in repr(quantizer)


class TestCodewords:
    def test_any_real_array_of_the_shape_may_be_set(self) -> None:
        pq = PQ(2, 3, verbose=False)
        pq.codewords = np.arange(12).reshape(2, 3, 2)
        assert pq.codewords.dtype == np.float32
        assert pq.encode([[0, 1, 10, 11]]).tolist() == [[0, 2]]
        pq.codewords = None
        assert not pq.is_trained

    @pytest.mark.parametrize("shape", [(2, 3), (3, 2, 2), (2, 4, 2), (2, 3, 0)])
    def test_other_shapes_are_refused(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(DimensionError, match="M = 2 and Ks = 3"):
            PQ(2, 3, verbose=False).codewords = np.zeros(shape)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
    def test_codewords_must_be_finite(self, bad: float) -> None:
        with pytest.raises(InvalidVectorError, match="finite"):
            PQ(1, 1, verbose=False).codewords = np.array([[[bad]]])

    @pytest.mark.parametrize(("Ks", "dtype"), [(300, np.uint16), (70_000, np.uint32)])
    def test_wide_codes_round_trip(self, Ks: int, dtype: type) -> None:
        pq = PQ(2, Ks, verbose=False)
        pq.codewords = np.stack([np.arange(Ks), np.arange(Ks)[::-1]])[:, :, None]
        codes = np.random.default_rng(0).integers(0, Ks, (100, 2))
        codes[0] = Ks - 1
        encoded = pq.encode(pq.decode(codes))
        assert encoded.dtype == dtype
        np.testing.assert_array_equal(encoded, codes)
        table = pq.dtable(pq.decode(codes[:1])[0])
        assert table.adist(encoded)[0] == 0

    def test_the_first_of_equal_codewords_is_taken(self) -> None:
        pq = PQ(1, 4, verbose=False)
        pq.codewords = np.array([[[5], [1], [1], [5]]])
        assert pq.encode([[1], [5], [3]]).ravel().tolist() == [1, 0, 0]


class TestEquality:
    def test_what_counts(self, small: np.ndarray) -> None:
        pq = PQ(4, 16, verbose=False).fit(small)
        same = PQ(4, 16, verbose=False).fit(small)
        same.verbose = True
        assert pq == same  # verbose does not count
        same.codewords[0, 0, 0] += 1
        assert pq != same
        assert pq != PQ(4, 16, verbose=False)
        assert pq != "PQ"
        assert pq != OPQ(4, 16, verbose=False)

    def test_no_hash(self) -> None:
        with pytest.raises(TypeError):
            hash(PQ(4, verbose=False))


class TestState:
    def test_a_state_is_plain_settings_and_float32_arrays(self, quantizer: PQ | OPQ) -> None:
        settings, arrays = quantizer.state()
        assert settings == {"kind": quantizer.kind, "M": 16, "Ks": 32, "D": 128, "metric": quantizer.metric}
        assert set(arrays) == ({"codewords"} if quantizer.kind == "PQ" else {"codewords", "R"})
        assert type(quantizer).from_state(settings, arrays) == quantizer

    def test_arrays_are_copied_out_of_read_only_memory(self, quantizer: PQ | OPQ) -> None:
        settings, arrays = quantizer.state()
        frozen = {
            name: np.frombuffer(array.tobytes(), dtype="<f4").reshape(array.shape) for name, array in arrays.items()
        }
        again = type(quantizer).from_state(settings, frozen)
        assert again == quantizer
        assert not any(np.shares_memory(again.state()[1][name], frozen[name]) for name in frozen)

    @pytest.mark.parametrize(
        "damage",
        [
            {"M": 0},
            {"M": 15},
            {"M": "16"},
            {"M": True},
            {"Ks": 31},
            {"Ks": 0},
            {"Ks": 2**33},
            {"D": 120},
            {"D": -128},
            {"D": None},
            {"metric": "cos"},
            {"kind": "RQ"},
            {"kind": None},
            {"extra": 1},
        ],
    )
    def test_settings_that_contradict_the_arrays(self, quantizer: PQ | OPQ, damage: dict) -> None:
        settings, arrays = quantizer.state()
        with pytest.raises(InvalidQuantizerError):
            type(quantizer).from_state({**settings, **damage}, arrays)

    def test_damaged_arrays(self, quantizer: PQ | OPQ) -> None:
        settings, arrays = quantizer.state()
        for name, array in arrays.items():
            nan = array.copy()
            nan.flat[3] = np.nan
            for bad in (nan, array[:-1], array.astype(np.float64), array.astype(np.int32), None):
                with pytest.raises(InvalidQuantizerError):
                    type(quantizer).from_state(settings, {**arrays, name: bad})
            with pytest.raises(InvalidQuantizerError):
                type(quantizer).from_state(settings, {k: v for k, v in arrays.items() if k != name})

    def test_a_damaged_pickle_is_refused(self, quantizer: PQ | OPQ) -> None:
        state = quantizer.__getstate__()
        for bad in (
            None,
            {},
            {**state, "arrays": {}},
            {**state, "settings": {**state["settings"], "M": 1}},
            {**state, "settings": {**state["settings"], "kind": "PQ" if quantizer.kind == "OPQ" else "OPQ"}},
        ):
            with pytest.raises(InvalidQuantizerError):
                object.__new__(type(quantizer)).__setstate__(bad)


@pytest.mark.parametrize("fact", ["M", "Ks", "metric", "code_dtype", "Ds", "D"])
def test_what_codes_depend_on_cannot_be_set(fact: str) -> None:
    for quantizer in (PQ(M=2, Ks=4, verbose=False), OPQ(M=2, Ks=4, verbose=False)):
        with pytest.raises(AttributeError, match=fact):
            setattr(quantizer, fact, 7)
