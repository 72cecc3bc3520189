"""The laws of the rules ten thousand times, and honest federations that must not be accused."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from aegis.aggregation.anomaly import detect
from aegis.aggregation.rules import rule
from aegis.messages import Train
from tests.aggregation import laws
from tests.prove.softmax import CLASSES, INPUTS, SoftmaxHospitals, dealt

TIMES = 10_000
often = settings(
    max_examples=TIMES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


def counted(law, *strategies) -> int:
    seen = 0

    @often
    @given(st.tuples(*strategies))
    def run(drawn):
        nonlocal seen
        seen += 1
        law(*drawn)

    run()
    return seen


@pytest.mark.prove
def test_ten_thousand_federations_in_any_order(measured):
    how = lambda: counted(laws.order_does_not_matter, laws.federations())  # noqa: E731
    assert measured("order", how) >= 0.99 * TIMES


@pytest.mark.prove
def test_ten_thousand_federations_shifted(measured):
    how = lambda: counted(laws.shifts_go_along, laws.federations())  # noqa: E731
    assert measured("shift", how) >= 0.99 * TIMES


@pytest.mark.prove
def test_ten_thousand_federations_with_f_liars(measured):
    sizes = st.sampled_from([1e30, -1e30, 1e12, 1e3, 1.0])
    how = lambda: counted(laws.liars_are_withstood, laws.federations(), sizes)  # noqa: E731
    assert measured("liars", how) >= 0.99 * TIMES


@pytest.mark.prove
@pytest.mark.parametrize("alpha", [1.0, 0.3, 0.1])
@pytest.mark.parametrize("hospitals", [4, 5, 8, 11])
def test_a_hundred_honest_rounds_of_unlike_hospitals(measured, hospitals, alpha):
    """Digits, softmax regression, four deals of twenty-five rounds each; beside it how often one
    hospital is flagged whose update is ten times as long."""

    def how():
        false, found, rounds = Counter(), 0, 0
        for seed in range(4):
            rows, _ = dealt(hospitals, alpha, seed)
            road = SoftmaxHospitals(rows, seed)
            names = road.hospitals()
            weights = np.zeros((INPUTS + 1) * CLASSES)
            for number in range(1, 26):
                request = Train("digits", "", number, weights, 0.0, 0, hospitals)
                answers = road.ask(dict.fromkeys(names, request), None)
                updates = np.stack([answers[name].vector for name in names])
                examples = np.array([answers[name].examples for name in names], float)
                false.update(flag.detector for flag in detect(updates, names))
                longer = updates.copy()
                longer[0] *= 10
                found += names[0] in {flag.hospital for flag in detect(longer, names)}
                weights = weights + rule("fedavg")(updates, examples).vector
                rounds += 1
        every = hospitals * rounds
        return {
            "false_flags": sum(false.values()) / every,
            "by_detector": {name: count / every for name, count in sorted(false.items())},
            "ten_times_found": found / rounds,
        }

    figures = measured(f"flags {hospitals} hospitals alpha {alpha}", how)
    print(f"\n{hospitals} hospitals, alpha {alpha}: {figures}")
    assert figures["false_flags"] <= 0.05
