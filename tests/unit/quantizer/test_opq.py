"""`OPQ`: the rotation and its training."""

from __future__ import annotations

import numpy as np
import pytest

from pqstore.errors import DimensionError, InvalidQuantizerError, NotTrainedError, TrainingError
from pqstore.quantizer import OPQ, PQ


def correlated(n: int = 2000, D: int = 16, rank: int = 16, seed: int = 0) -> np.ndarray:
    """Normally distributed vectors with a few strong directions across all dimensions."""
    random = np.random.default_rng(seed)
    return (
        (random.standard_normal((n, rank)) * np.exp(-np.arange(rank) / 3)) @ random.standard_normal((rank, D))
    ).astype(np.float32)


@pytest.fixture(scope="module")
def opq() -> OPQ:
    return OPQ(4, 16, verbose=False).fit(correlated(), pq_iter=5, rotation_iter=5)


def test_R_is_orthogonal_to_float32_accuracy(opq: OPQ) -> None:
    assert opq.R.shape == (16, 16)
    assert opq.R.dtype == np.float32
    np.testing.assert_allclose(opq.R.astype(np.float64) @ opq.R.T, np.eye(16), atol=5e-7)


@pytest.mark.parametrize("parametric", [False, True])
def test_a_rotation_lowers_the_error(parametric: bool) -> None:
    x = correlated()
    plain = PQ(4, 16, verbose=False).fit(x).quantization_error(x)
    assert OPQ(4, 16, verbose=False).fit(x, parametric).quantization_error(x) < 0.8 * plain


def test_the_parametric_start_is_better_on_normally_distributed_data() -> None:
    x = correlated(D=32, rank=32)
    parametric, plain = (OPQ(4, 32, verbose=False).fit(x, start, rotation_iter=3) for start in (True, False))
    assert parametric.quantization_error(x) < plain.quantization_error(x)


def test_more_rotations_help() -> None:
    x = correlated()
    errors = [OPQ(4, 16, verbose=False).fit(x, rotation_iter=n).quantization_error(x) for n in (1, 5, 20)]
    assert errors == sorted(errors, reverse=True)


def test_errors_fall_from_round_to_round() -> None:
    errors: list[float] = []
    OPQ(4, 16, verbose=False).fit(correlated(), rotation_iter=15, progress=lambda step: errors.append(step.error))
    assert (np.diff(errors) <= 1e-6 * errors[0]).all()


def test_one_round_is_a_plain_pq() -> None:
    x = correlated()
    opq = OPQ(4, 16, verbose=False).fit(x, rotation_iter=1, pq_iter=7)
    np.testing.assert_array_equal(opq.R, np.eye(16))
    assert opq.pq == PQ(4, 16, verbose=False).fit(x, iter=7)


@pytest.mark.parametrize("rank", [1, 2, 7])
def test_low_rank_data_keep_R_orthogonal(rank: int) -> None:
    """With numpy.linalg.eig the parametric R was far from orthogonal on such data."""
    x = correlated(rank=rank)
    opq = OPQ(4, 16, verbose=False)
    R = opq.eigenvalue_allocation(x)
    assert R.dtype == np.float32
    np.testing.assert_allclose(R.astype(np.float64).T @ R, np.eye(16), atol=1e-6)
    opq.fit(x, parametric_init=True)
    np.testing.assert_allclose(opq.R.astype(np.float64).T @ opq.R, np.eye(16), atol=1e-6)
    decoded = opq.decode(opq.encode(x))
    assert ((x - decoded) ** 2).sum(axis=1).mean() == pytest.approx(opq.quantization_error(x), rel=1e-3, abs=1e-6)


def test_eigenvalue_allocation_ignores_a_large_mean() -> None:
    x = correlated()
    near, far = (OPQ(4, 16, verbose=False).eigenvalue_allocation(x.astype(np.float64) + shift) for shift in (0, 50))
    np.testing.assert_allclose(np.abs((near * far).sum(axis=0)), 1, atol=1e-2)


def test_eigenvalue_allocation_of_one_vector_and_of_none() -> None:
    opq = OPQ(4, 16, verbose=False)
    R = opq.eigenvalue_allocation(correlated()[:1])
    np.testing.assert_allclose(R.T @ R, np.eye(16), atol=1e-6)
    for x in (np.empty((0, 16)), correlated()[:, :15]):
        with pytest.raises(TrainingError, match="M = 4"):
            opq.eigenvalue_allocation(x)


def test_dot_stays_dot() -> None:
    """fit() once turned metric 'dot' into 'l2' without a word."""
    x = correlated()
    opq = OPQ(4, 16, "dot", verbose=False).fit(x, rotation_iter=2)
    assert (opq.metric, opq.pq.metric, opq.dtable(x[0]).metric) == ("dot", "dot", "dot")
    np.testing.assert_allclose(
        opq.dtable(x[0]).adist(opq.encode(x)), opq.decode(opq.encode(x)) @ x[0], rtol=1e-3, atol=1e-3
    )


def test_pq_quantizes_the_rotated_vectors(opq: OPQ) -> None:
    x = correlated(seed=1)
    np.testing.assert_array_equal(opq.pq.encode(opq.rotate(x)), opq.encode(x))
    np.testing.assert_array_equal(opq.pq.dtable(opq.rotate(x[0])).dtable, opq.dtable(x[0]).dtable)
    np.testing.assert_array_equal(opq.pq.codewords, opq.codewords)


def test_rotate_keeps_shape_and_length(opq: OPQ) -> None:
    x = correlated(seed=2)
    rotated = opq.rotate(x)
    assert rotated.shape == x.shape
    assert rotated.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rotated, axis=1), np.linalg.norm(x, axis=1), rtol=1e-5)
    np.testing.assert_allclose(rotated, x @ opq.R, atol=1e-4)
    np.testing.assert_array_equal(opq.rotate(x[5]), rotated[5])
    np.testing.assert_array_equal(opq.rotate(x[5].tolist()), rotated[5])
    for shape in [(15,), (2, 15), (), (1, 2, 16)]:
        with pytest.raises(DimensionError):
            opq.rotate(np.zeros(shape))


def test_rotate_before_training() -> None:
    with pytest.raises(NotTrainedError, match="fit"):
        OPQ(4, 16, verbose=False).rotate(np.zeros(16))


def test_parts_set_by_hand_make_it_trained(opq: OPQ) -> None:
    made = OPQ(4, 16, verbose=False)
    made.pq.codewords = opq.codewords
    assert not made.is_trained
    with pytest.raises(NotTrainedError):
        made.encode(np.zeros((1, 16)))
    with pytest.raises(NotTrainedError, match="no R"):
        made.rotate(np.zeros(16))
    made.R = opq.R
    assert made == opq
    made.verbose = True
    assert made.pq.verbose


def test_R_is_checked(opq: OPQ) -> None:
    made = OPQ(4, 16, verbose=False)
    for shape in [(16,), (16, 15), (0, 0)]:
        with pytest.raises(DimensionError, match="R must"):
            made.R = np.zeros(shape)
    for bad in (np.zeros((16, 16)), np.eye(16) * 1.01, np.full((16, 16), np.nan)):
        with pytest.raises(InvalidQuantizerError, match="orthogonal"):
            made.R = bad
    made.codewords = opq.codewords
    made.R = np.eye(12)
    with pytest.raises(InvalidQuantizerError, match="D = 16"):
        made.encode(np.zeros((1, 16)))
    made.R = None
    assert not made.is_trained


def test_R_cannot_be_changed_in_place(opq: OPQ) -> None:
    with pytest.raises(ValueError, match="read-only"):
        opq.R[0, 0] = 2


@pytest.mark.parametrize("bad", [{"pq_iter": 0}, {"rotation_iter": 0}, {"rotation_iter": -3}])
def test_iterations_out_of_range(bad: dict) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        OPQ(4, 16, verbose=False).fit(correlated(), **bad)


def test_huge_and_tiny_vectors_train_alike() -> None:
    x = correlated()
    plain = OPQ(4, 16, verbose=False).fit(x, rotation_iter=3)
    for scale in (2.0**-40, 2.0**40):
        scaled = OPQ(4, 16, verbose=False).fit(x * np.float32(scale), rotation_iter=3)
        assert scaled.quantization_error(x * np.float32(scale)) == pytest.approx(
            plain.quantization_error(x) * scale**2, rel=0.05
        )


@pytest.mark.parametrize("scale", [1e19, 1e37, 1e-37])
@pytest.mark.parametrize("options", [{"parametric_init": True, "rotation_iter": 2}, {"rotation_iter": 3}])
def test_values_near_the_limits_of_float32(scale: float, options: dict[str, object]) -> None:
    """Axes and rotations overflowed on their way."""
    vectors = (np.random.default_rng(2).standard_normal((500, 16)) * scale).astype(np.float32)
    opq = OPQ(M=4, Ks=16, verbose=False).fit(vectors, **options)
    described = opq.decode(opq.encode(vectors)).astype(np.float64) / scale
    left = ((described - vectors.astype(np.float64) / scale) ** 2).sum(axis=1).mean()
    assert 0 < left < 0.7 * 16
