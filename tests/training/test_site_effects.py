import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.training.site_effects import GRID, evidence, likeliest, site_effects


def hospital(n: int, d: int = 5, intercept: float = 0.0, slopes: float = 0.0, seed: int = 0):
    """(design, labels, shared logits) of patients who differ from the shared model so."""
    rng = np.random.default_rng(seed)
    design = rng.normal(0, 1, (n, d))
    shared = design @ np.linspace(-1, 1, d) + 0.2
    truth = shared + intercept + design @ (slopes * rng.normal(0, 1, d))
    return design, (rng.random(n) < 1 / (1 + np.exp(-truth))).astype(np.int64), shared


def test_the_evidence_is_the_marginal_likelihood():
    """Against brute force: one slope, one intercept, integrated on a grid."""
    design, labels, shared = hospital(40, d=1, intercept=0.5, slopes=0.3)
    scale = np.sqrt((design**2).mean())
    at = np.linspace(-5, 5, 201)
    step = at[1] - at[0]
    prior = np.exp(-at * at / 2) / np.sqrt(2 * np.pi) * step
    found = evidence(design, labels, shared)
    for strength in ((0.0, 0.0), (0.4, 0.0), (0.8, 0.4)):
        a = strength[0] * at[:, None, None]
        slope = strength[1] / scale * at[None, :, None]
        z = shared + a + slope * design[:, 0]
        likelihood = np.exp(-np.logaddexp(0, np.where(labels == 1, -z, z)).sum(axis=2))
        exact = np.log((likelihood * prior[:, None] * prior[None, :]).sum())
        assert found[GRID.index(strength)] == pytest.approx(exact, abs=0.05)


def test_a_hospital_like_the_others_keeps_the_shared_model():
    moved = []
    for seed in range(12):
        rows = hospital(400, seed=seed)
        effects = site_effects(*rows, likeliest(evidence(*rows)))
        moved.append(np.abs(effects.on(rows[0])).mean())
    assert np.median(moved) < 0.05
    assert max(moved) < 0.3
    design, labels, shared = hospital(400)
    effects = site_effects(design, labels, shared, (0.0, 0.0))
    assert not effects.on(design).any()


def test_an_odd_hospital_leaves_it_as_far_as_its_rows_bear_out():
    design, labels, shared = hospital(400, intercept=2.0)
    strength = likeliest(evidence(design, labels, shared))
    assert strength[0] >= 0.8
    effects = site_effects(design, labels, shared, strength)
    assert 1.0 < effects.intercept < 2.6
    few = site_effects(design[:8], labels[:8], shared[:8], strength)
    assert abs(few.intercept) < abs(effects.intercept), "few rows are held closer"


def test_effects_are_the_ridge_fit_with_that_prior():
    from sklearn.linear_model import LogisticRegression

    design, labels, shared = hospital(150, slopes=0.8)
    strength = (0.0, 0.2)
    effects = site_effects(design, labels, shared, strength)
    scale = np.sqrt((design**2).mean())
    # Without a shared part: sklearn's C is the prior variance.
    plain = site_effects(design, labels, np.zeros(150), strength)
    exact = LogisticRegression(C=(0.2 / scale) ** 2, fit_intercept=False, tol=1e-10)
    exact.fit(design, labels)
    assert plain.slopes == pytest.approx(exact.coef_[0], abs=1e-5)
    assert effects.intercept == 0.0


def test_no_rows_have_no_effects():
    nobody = np.zeros((0, 3)), np.zeros(0, dtype=np.int64), np.zeros(0)
    assert likeliest(evidence(*nobody)) == (0.0, 0.0)
    assert site_effects(*nobody, (0.4, 0.2)).intercept == 0.0


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 60),
    st.floats(1e-3, 1e3),
    st.sampled_from([0, 1, None]),
)
def test_whatever_the_rows_effects_and_evidence_are_finite(seed, n, scale, only):
    design, labels, shared = hospital(n, seed=seed, intercept=5.0)
    labels = labels if only is None else np.full(n, only)
    found = evidence(scale * design, labels, 10 * shared)
    assert np.isfinite(found).all()
    effects = site_effects(scale * design, labels, 10 * shared, likeliest(found))
    assert np.isfinite(effects.on(scale * design)).all()
