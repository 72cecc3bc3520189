"""The matrix of rules and attacks, and the bars that the default preset has to keep.

A cell is one rule on one partition with one seed, under all nine attacks. The bars are on means
over five seeds, and on the attack that does most harm.
"""

from __future__ import annotations

import numpy as np
import pytest

from aegis.simulation.attacks import ATTACKS
from tests.prove import matrix
from tests.prove.cells import ROOT, kept_cells, source_of_the_cells  # noqa: F401
from tests.prove.matrix import NONE, PARTITIONS, RULES, SEEDS
from tests.prove.robustness_pages import heat_map, least, means, page

pytestmark = pytest.mark.prove
# The first needs no guess of how many are dishonest, the second lets fewer backdoors in.
PRESETS = ("centered_clipping", "nnm_trimmed_mean")
UNGUARDED = ("fedavg", "foolsgold")


def accuracy(found, partition, rule_name, adaptive=False):
    return means([seed[0] for seed in found("digits", partition, rule_name, adaptive)])


@pytest.mark.parametrize("partition", PARTITIONS)
@pytest.mark.parametrize("rule_name", RULES)
def test_digits_are_measured(found, rule_name, partition):
    mean = accuracy(found, partition, rule_name)
    print(f"\n{partition:14}{rule_name:18}", *(f"{100 * mean[a]:5.1f}" for a in (NONE, *ATTACKS)))
    assert mean[NONE] > 0.1
    assert set(mean) == {NONE, *ATTACKS}


@pytest.mark.parametrize("rule_name", RULES)
def test_the_adaptive_are_measured(found, rule_name):
    mean = accuracy(found, "Dirichlet 0.3", rule_name, True)
    print(f"\nadaptive {rule_name:18}", *(f"{name} {100 * a:5.1f}" for name, a in mean.items()))
    assert all(0 <= value <= 1 for value in mean.values())


@pytest.mark.parametrize("preset", PRESETS)
def test_the_presets_keep_their_bars_where_fedavg_falls(found, preset):
    fedavg, ours = (accuracy(found, "Dirichlet 0.3", name) for name in ("fedavg", preset))
    searched = accuracy(found, "Dirichlet 0.3", preset, True)
    print(
        f"\n{preset}: least {least(ours):.3f}, adaptive {min(searched.values()):.3f}, "
        f"cost {fedavg[NONE] - ours[NONE]:.3f}; fedavg least {least(fedavg):.3f}"
    )
    assert least(fedavg) <= 0.15
    assert least(ours) >= 0.84
    assert min(searched.values()) >= 0.80
    assert fedavg[NONE] - ours[NONE] <= 0.02


@pytest.mark.parametrize("rule_name", [name for name in RULES if name not in UNGUARDED])
def test_among_like_hospitals_no_attack_costs_five_points(found, rule_name):
    mean = accuracy(found, "IID", rule_name)
    assert least(mean) >= mean[NONE] - 0.05


def test_the_attacks_bite_where_nobody_guards(found):
    """An attack that harms nobody would make every rule look good."""
    fedavg = accuracy(found, "Dirichlet 0.3", "fedavg")
    searched = accuracy(found, "Dirichlet 0.3", "fedavg", True)
    triggered = means([seed[1] for seed in found("digits", "IID", "fedavg", False)])
    for name in ("label_flip", "sign_flip", "scaling", "sybil"):
        assert fedavg[name] < fedavg[NONE] - 0.05
    assert searched["inner_product"] < 0.2
    assert searched["alie"] < 0.5
    assert triggered[NONE] < 0.05
    assert triggered["backdoor"] > 0.5


@pytest.mark.parametrize("preset", PRESETS)
def test_momentum_at_the_coordinator_is_told(measured, preset):
    """The worst of a preset's attacks, with and without momentum 0.9."""

    def run(momentum: float, name: str, seed: int) -> float:
        rows, test = matrix.dealt(matrix.HOSPITALS, 0.3, seed)
        liars = matrix.drawn(tuple(rows), matrix.LIARS, seed)
        hospitals = matrix.SoftmaxHospitals(rows, seed)
        weights = matrix.learned(hospitals, preset, ATTACKS[name], liars, seed, momentum)
        return float((matrix.predicted(weights, test) == test.labels).mean())

    for name in ("sign_flip", "inner_product", "sybil"):
        both = [
            np.mean(
                [
                    measured(
                        f"{preset} momentum {m} {name} {s}", lambda m=m, n=name, s=s: run(m, n, s)
                    )
                    for s in range(SEEDS)
                ]
            )
            for m in (0.0, 0.9)
        ]
        print(f"\n{preset} under {name}: {both[0]:.3f} without, {both[1]:.3f} with momentum 0.9")
        assert abs(both[1] - both[0]) < 0.1


def test_the_table_and_the_heat_map_are_written(found):
    text = page(found, "digits")
    (ROOT / "benchmarks" / "results" / "robustness.md").write_text(text, encoding="utf-8")
    assert heat_map(found, "digits", ROOT / "docs" / "robustness.png").stat().st_size > 10_000
