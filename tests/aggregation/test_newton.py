import numpy as np
import pytest

from aegis.aggregation.newton import newton_step, unpack
from aegis.errors import BadInput, NothingLearned


def _packed(gradient, hessian):
    return np.concatenate([gradient, hessian[np.triu_indices(len(gradient))]])


def _curved(columns, seed=0):
    rng = np.random.default_rng(seed)
    return columns.T @ columns, rng.standard_normal(columns.shape[1])


def test_unpacking_gives_back_gradient_and_curvature():
    hessian, gradient = _curved(np.random.default_rng(1).standard_normal((20, 4)))
    found = unpack(_packed(gradient, hessian), 4)
    assert (found[0] == gradient).all()
    assert (found[1] == hessian).all()


def test_the_step_solves_the_newton_equation():
    hessian, gradient = _curved(np.random.default_rng(1).standard_normal((20, 4)))
    step = newton_step(_packed(gradient, hessian), 4)
    assert np.abs(hessian @ step + gradient).max() < 1e-12


def test_columns_of_very_different_units_are_solved_alike():
    columns = np.random.default_rng(1).standard_normal((50, 4)) * [1e-6, 1.0, 1e3, 1e6]
    hessian, _ = _curved(columns)
    wanted = np.array([2e6, -1.0, 3e-3, 1e-6])
    step = newton_step(_packed(-hessian @ wanted, hessian), 4)
    assert step == pytest.approx(wanted, rel=1e-8)


def test_twin_and_constant_columns_get_a_finite_step():
    columns = np.random.default_rng(1).standard_normal((50, 4))
    columns[:, 2] = columns[:, 1]
    columns[:, 3] = 0
    hessian, _ = _curved(columns)
    gradient = columns.T @ np.random.default_rng(2).standard_normal(50)
    step = newton_step(_packed(gradient, hessian), 4)
    assert np.abs(hessian @ step + gradient).max() < 1e-9
    assert step[1] == pytest.approx(step[2])
    assert step[3] == 0


def test_no_curvature_at_all_gives_no_step():
    assert (newton_step(np.zeros(2 + 3), 2) == 0).all()


def test_a_vector_of_another_length_is_refused():
    with pytest.raises(BadInput, match="needs 14 numbers"):
        newton_step(np.zeros(13), 4)


def test_infinite_curvature_ends_the_run():
    with pytest.raises(NothingLearned, match="not finite"):
        newton_step(np.array([1.0, 2.0, np.inf, 0.0, 1.0]), 2)
