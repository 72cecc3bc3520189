"""The matrix of rules and attacks on heart disease, through the house's own federation.

Hospitals' shares of the 740 patients differ more than digits do: with two diagnoses, Dirichlet 0.3
leaves some of the eleven with a handful of patients, and the mean then hardly hears them. So there
is a bar only where hospitals are alike; the rest is told.
"""

from __future__ import annotations

import pytest

from aegis.simulation.attacks import ATTACKS
from tests.prove.cells import ROOT, kept_cells, source_of_the_cells  # noqa: F401
from tests.prove.matrix import NONE, PARTITIONS, RULES
from tests.prove.robustness_pages import heat_map, least, means, page
from tests.prove.test_robustness import PRESETS

pytestmark = [pytest.mark.prove, pytest.mark.data]


def accuracy(found, partition, rule_name, adaptive=False):
    return means([seed[0] for seed in found("heart", partition, rule_name, adaptive)])


@pytest.mark.parametrize("partition", PARTITIONS)
@pytest.mark.parametrize("rule_name", RULES)
def test_heart_is_measured(found, rule_name, partition):
    mean = accuracy(found, partition, rule_name)
    print(f"\n{partition:14}{rule_name:18}", *(f"{100 * mean[a]:5.1f}" for a in (NONE, *ATTACKS)))
    assert 0.3 < mean[NONE] < 0.95


@pytest.mark.parametrize("rule_name", RULES)
def test_the_adaptive_are_measured_on_heart(found, rule_name):
    mean = accuracy(found, "Dirichlet 0.3", rule_name, True)
    print(f"\nadaptive {rule_name:18}", *(f"{name} {100 * a:5.1f}" for name, a in mean.items()))
    assert all(0 <= value <= 1 for value in mean.values())


@pytest.mark.parametrize("preset", PRESETS)
def test_among_like_hospitals_no_attack_costs_a_preset_five_points(found, preset):
    ours, fedavg = accuracy(found, "IID", preset), accuracy(found, "IID", "fedavg")
    print(
        f"\nheart, IID: {preset} {ours[NONE]:.3f}, least {least(ours):.3f}; "
        f"fedavg {fedavg[NONE]:.3f}, least {least(fedavg):.3f}"
    )
    assert least(ours) >= ours[NONE] - 0.05
    assert fedavg[NONE] - ours[NONE] <= 0.02
    assert least(fedavg) < fedavg[NONE] - 0.2


def test_the_table_and_the_heat_map_are_written(found):
    text = page(found, "heart")
    (ROOT / "benchmarks" / "results" / "robustness_heart.md").write_text(text, encoding="utf-8")
    assert heat_map(found, "heart", ROOT / "docs" / "robustness_heart.png").stat().st_size > 10_000
