"""The ROC curve and the counts at a threshold, from what the result holds."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.evaluation.decision_curve import decisions, operating_points
from aegis.evaluation.histogram import BINS
from aegis.report.roc import matrix, points, roc
from tests.report.findings import with_findings


@pytest.fixture
def result(a_result):
    return with_findings(a_result())


counts = st.lists(
    st.tuples(st.integers(0, BINS - 1), st.integers(0, 30), st.integers(0, 30)), max_size=40
)


@settings(max_examples=100)
@given(counts, st.integers(1, 20))
def test_at_least_so_many_patients_lie_between_any_two_points(found, least):
    histogram = np.zeros((2, BINS), dtype=np.int64)
    for place, well, ill in found:
        histogram[:, place] += (well, ill)
    chosen = operating_points(histogram, least)
    above = [0, *(one.found + one.false_alarms for one in chosen), int(histogram.sum())]
    steps = np.diff(above)
    assert all(step >= least for step in steps) or not chosen
    assert len(chosen) <= 100
    assert all(one.examples == histogram.sum() for one in chosen)
    thresholds = [one.threshold for one in chosen]
    assert thresholds == sorted(thresholds, reverse=True)


def test_the_curve_never_falls_and_runs_from_corner_to_corner(result):
    curve = roc(result)
    (line,) = [line for line in curve.lines if line.kind == "shared"]
    places = [tuple(map(float, one.split())) for one in line.path[1:].split("L")]
    assert places[0] == (0.0, 100.0)
    assert places[-1] == (100.0, 0.0)
    assert places == sorted(places, key=lambda place: (place[0], -place[1]))
    assert f"AUC {result['global']['auc']:.3f}" in curve.finding  # of the result, not of the path


def test_the_matrix_is_that_of_the_nearest_threshold_and_its_counts_add_up(result):
    found = matrix(result, 0.3)
    at = found.at
    assert at in points(result)
    assert all(abs(at.threshold - 0.3) <= abs(one.threshold - 0.3) for one in points(result))
    assert at.examples == result["usefulness"]["examples"]
    assert at.found + at.missed == result["usefulness"]["positives"]
    told = next(
        one for one in result["usefulness"]["thresholds"] if one["threshold"] == at.threshold
    )
    shares = {label: share for label, share, _ in found.shares.rows}
    assert shares["Of those with the condition, found"].startswith(
        f"{100 * told['sensitivity']['value']:.1f}"
    )


def test_a_result_of_an_earlier_version_is_drawn_through_its_table_of_thresholds(result):
    older = copy.deepcopy(dict(result))
    del older["usefulness"]["operating_points"]
    assert 2 <= len(points(older)) < len(points(result))
    assert f"through {len(points(older))} thresholds" in roc(older).finding
    for one in points(older):
        assert one in points(result)


def test_a_result_without_scores_has_neither(result):
    nothing = dict(result) | {"usefulness": None, "usefulness_reason": "scores were withheld"}
    assert points(nothing) == ()
    assert roc(nothing) is None
    assert matrix(nothing, 0.5) is None


def test_a_point_has_the_counts_of_its_threshold():
    rng = np.random.default_rng(3)
    histogram = rng.integers(0, 3, size=(2, BINS))
    found = operating_points(histogram, 10)
    inner = [one for one in found if 1e-6 < one.threshold < 1 - 1e-6]
    assert len(inner) > 20
    for one in inner:
        again = decisions(histogram, one.threshold)
        assert (again.found, again.false_alarms) == (one.found, one.false_alarms)
