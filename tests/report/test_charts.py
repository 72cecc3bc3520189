from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.report.charts import MOST_POINTS, axis, curve, thinned

shares = st.floats(0, 1)


@settings(max_examples=200)
@given(st.lists(shares, min_size=1, max_size=30))
def test_an_axis_holds_its_values_and_has_round_ticks(values):
    scale = axis(values, floor=0.0, ceiling=1.0)
    assert scale.low <= min(values) + 1e-9
    assert scale.high >= max(values) - 1e-9
    assert 2 <= len(scale.ticks) <= 9
    assert all(0 <= scale.at(v) <= 100 for v in values)
    step = scale.ticks[1] - scale.ticks[0]
    assert re.fullmatch(r"[125]\.?0*e[+-]\d+", f"{step:.6e}")


@settings(max_examples=200)
@given(st.lists(shares, min_size=1, max_size=2000))
def test_thinning_keeps_the_ends_and_the_extremes(values):
    points = list(enumerate(values, 1))
    kept = thinned(points)
    assert len(kept) <= MOST_POINTS + 2
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert min(v for _, v in kept) == min(values)
    assert max(v for _, v in kept) == max(values)
    assert [r for r, _ in kept] == sorted({r for r, _ in kept})


@settings(max_examples=100)
@given(st.lists(shares, min_size=1, max_size=400), shares)
def test_every_position_of_a_curve_lies_on_the_chart(values, reference):
    points = [(float(r), v) for r, v in enumerate(values, 1)]
    band = [(r, max(v - 0.1, 0), min(v + 0.1, 1)) for r, v in points]
    chart = curve("k", "t", "f", points, [("own", "Own", reference)], str, band)
    numbers = [float(n) for line in chart.lines for n in re.findall(r"-?[\d.]+", line.path)]
    numbers += [float(n) for n in re.findall(r"-?[\d.]+", chart.band)]
    numbers += [at for at, _ in (*chart.x_ticks, *chart.y_ticks)]
    assert all(0 <= n <= 100 for n in numbers)
    assert chart.measured == len(values)


def test_rounds_are_whole_and_the_first_and_last_are_labelled():
    for rounds in (2, 3, 7, 10, 50, 137, 1000):
        points = [(float(r), r / rounds) for r in range(1, rounds + 1)]
        labels = [label for _, label in curve("k", "t", "f", points, [], str).x_ticks]
        assert (labels[0], labels[-1]) == ("1", str(rounds))
        assert all(label.isdigit() for label in labels)


def test_one_round_is_a_dot_in_the_middle():
    chart = curve("k", "t", "f", [(1.0, 0.8)], [], str)
    assert chart.lines[-1].dots[0][0] == 50.0
