"""What the audit catches, what it lets pass, and how sure its numbers are, measured at length.

Everything is on the Wisconsin table in five hospitals that differ in the size of the nuclei.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

from aegis.assurance.attacks import LossBased, Rmia
from aegis.assurance.canaries import audit_canaries
from aegis.assurance.control import overfit_twin
from aegis.assurance.membership import audit
from tests.assurance.recipes import (
    held_out,
    network,
    noised_gradient,
    noisy_labels,
    ridge,
    scaled,
    unmoved,
    wisconsin,
)

pytestmark = pytest.mark.prove


def _line(name, found):
    rmia, loss = found["rmia"], found["loss_based"]
    assert rmia.recipe is not None
    assert loss.recipe is not None
    one = rmia.recipe_rates[0].found
    shown = "n/a" if one is None else f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"
    print(
        f"{name:28s} rmia model {rmia.auc.value:.3f} [{rmia.auc.low:.3f}, {rmia.auc.high:.3f}]"
        f" recipe {rmia.recipe.value:.3f} [{rmia.recipe.low:.3f}, {rmia.recipe.high:.3f}]"
        f" TPR@1% {shown} loss {loss.recipe.value:.3f} {rmia.grade} {found.verdict.outcome}"
    )


def test_the_positive_control_is_caught_in_every_split():
    print()
    found = []
    for seed in range(20):
        one = audit(
            ridge, *held_out(wisconsin(), seed), attacks=(LossBased(), Rmia()), seed=1000 * seed
        )
        assert one.control is not None
        found.append(one.control.auc)
    values = [one.value for one in found]
    print(f"twin, RMIA AUC over 20 splits: mean {np.mean(values):.3f}, lowest {min(values):.3f}")
    assert min(values) >= 0.65
    assert min(one.low for one in found) > 0.5


def test_an_overfit_network_is_caught_where_its_loss_hardly_shows_it():
    print()
    for seed in range(3):
        patients = noisy_labels(wisconsin(), seed=seed)
        found = audit(network, *held_out(patients, seed), seed=100 * seed)
        _line(f"30-64-1, noisy labels, {seed}", found)
        assert found["rmia"].recipe.value >= 0.65
        assert found["rmia"].auc.low > 0.5
        assert found.verdict.outcome == "vulnerable"


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 3.0])
def test_noise_keeps_the_attack_at_chance(epsilon):
    print()
    fit = noised_gradient(epsilon)
    models, recipes, outcomes = [], [], []
    for seed in range(20):
        found = audit(fit, *held_out(scaled(wisconsin()), seed), seed=1000 * seed)
        rmia = found["rmia"]
        assert rmia.recipe is not None
        models.append(rmia.auc)
        recipes.append(rmia.recipe)
        outcomes.append(found.verdict.outcome)
    _line(f"epsilon {epsilon:g}, last split", found)
    inside = np.mean([one.low <= 0.5 <= one.high for one in models])
    print(
        f"epsilon {epsilon:g}: mean RMIA AUC of 20 models "
        f"{np.mean([m.value for m in models]):.3f}, of their recipes "
        f"{np.mean([r.value for r in recipes]):.3f} (highest {max(r.value for r in recipes):.3f}); "
        f"interval holds .5 in {inside:.0%}; {outcomes.count('safe')} of 20 safe"
    )
    assert np.mean([m.value for m in models]) <= 0.55
    assert max(r.value for r in recipes) <= 0.55
    assert inside >= 0.8
    assert outcomes.count("vulnerable") == 0


def test_the_whole_audit_of_the_demonstration_takes_less_than_ten_seconds():
    print()
    took = []
    for seed, (fit, patients) in enumerate(
        ((ridge, wisconsin()), (noised_gradient(1.0), scaled(wisconsin())))
    ):
        members, nonmembers = held_out(patients, seed)
        began = time.perf_counter()
        audit(fit, members, nonmembers)
        took.append(time.perf_counter() - began)
    print(f"regression {took[0]:.1f} s, noised gradient {took[1]:.1f} s")
    assert max(took) < 10


def test_intervals_of_an_audit_that_has_nothing_to_find():
    print()
    covers: dict[str, list[tuple[bool, bool]]] = {}
    odd, means = [], []
    for seed in range(60):
        found = audit(unmoved, *held_out(wisconsin(), seed), control=None, seed=1000 * seed)
        odd.append(found.odd <= 0.05)
        for finding in found.findings:
            assert finding.recipe is not None
            covers.setdefault(finding.attack, []).append(
                tuple(e.low <= 0.5 <= e.high for e in (finding.auc, finding.recipe))
            )
            means.append(finding.recipe.value)
    for attack, both in covers.items():
        model, recipe = np.mean(both, axis=0)
        print(f"{attack:11s} interval holds .5: model {model:.0%}, recipe {recipe:.0%}")
        assert model >= 0.85
        assert recipe >= 0.85
    print(f"mean AUC {np.mean(means):.4f}; odd in {np.mean(odd):.0%}")
    assert abs(np.mean(means) - 0.5) < 0.003
    assert np.mean(odd) <= 0.12


@pytest.mark.parametrize("epsilon", [1.0, 2.0, 4.0, 8.0])
def test_the_canaries_never_show_more_than_the_declared_epsilon(epsilon):
    members, _ = held_out(scaled(wisconsin()))
    honest = [
        audit_canaries(noised_gradient(epsilon), members, declared=epsilon, delta=1e-5, seed=seed)
        for seed in range(20)
    ]
    bounds = [one.lower_bound for one in honest]
    print(f"\nepsilon {epsilon:g}: lower bound mean {np.mean(bounds):.2f}, most {max(bounds):.2f}")
    assert not any(one.refuted for one in honest)


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.25])
def test_a_mutant_with_too_little_noise_is_caught_every_time(noise):
    members, _ = held_out(scaled(wisconsin()))
    fit = noised_gradient(2.0, noise=noise)
    mutants = [
        audit_canaries(fit, members, declared=2.0, delta=1e-5, seed=seed) for seed in range(20)
    ]
    bounds = [one.lower_bound for one in mutants]
    print(
        f"\n{noise:.0%} of the noise: lower bound mean {np.mean(bounds):.2f}, "
        f"least {min(bounds):.2f}"
    )
    assert all(one.refuted for one in mutants)


def test_a_released_model_without_its_recipes_noise_is_odd():
    """The recipe is noised; the released model remembers its rows."""
    caught = 0
    for seed in range(5):
        members, nonmembers = held_out(noisy_labels(scaled(wisconsin()), seed=seed), seed)
        found = audit(
            noised_gradient(1.0),
            members,
            nonmembers,
            target=overfit_twin(members, seed),
            attacks=(LossBased(), Rmia()),
            seed=1000 * seed,
        )
        caught += found.odd <= 0.05 and found.verdict.outcome == "vulnerable"
    assert caught == 5
