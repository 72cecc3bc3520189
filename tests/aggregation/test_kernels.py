"""Networks, blocks, inner products: against numpy, at odd sizes and at both widths of numbers."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.aggregation import kernels
from aegis.aggregation.geometry import geometry, gram
from aegis.aggregation.networks import comparisons, middle_of
from aegis.aggregation.rules import rule


def sorted_by(program, values):
    buffers = [*values, *[0] * program.scratch]
    for least, left, right, out in program.operations:
        buffers[out] = (min if least else max)(buffers[left], buffers[right])
    return [buffers[place] for place in program.result]


@pytest.mark.parametrize("rows", range(1, 13))
def test_a_network_sorts_every_pattern_of_zeros_and_ones(rows):
    """By the 0-1 principle it then sorts everything."""
    program = middle_of(rows, 0, rows, ordered=True)
    for pattern in range(2**rows):
        values = [pattern >> bit & 1 for bit in range(rows)]
        assert sorted_by(program, values) == sorted(values)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.data())
@settings(max_examples=200)
def test_a_cut_down_network_keeps_the_middle(values, data):
    low = data.draw(st.integers(0, (len(values) - 1) // 2))
    high = data.draw(st.integers(low + 1, len(values)))
    program = middle_of(len(values), low, high)
    assert sorted(sorted_by(program, values)) == sorted(values)[low:high]
    assert all(operation.out >= len(values) for operation in program.operations)


def test_cutting_down_saves_comparisons():
    whole = len(middle_of(32, 0, 32, ordered=True).operations)
    assert whole == 2 * len(comparisons(32))
    assert len(middle_of(32, 15, 17).operations) < 0.8 * whole


SHAPES = [(1, 1), (2, 3), (3, 1000), (10, 4097), (28, 65), (29, 65), (64, 700), (100, 333)]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "length"), SHAPES)
@pytest.mark.parametrize("small", [kernels.SMALL, 0])
def test_the_kernels_agree_with_numpy(rows, length, kind, small, monkeypatch):
    monkeypatch.setattr(kernels, "SMALL", small)
    monkeypatch.setattr(kernels, "CACHE", 1 << 15)
    matrix = np.random.default_rng(rows).standard_normal((rows, length)).astype(kind)
    before, exact = matrix.copy(), matrix.astype(np.float64)
    close = 1e-12 if kind == np.float64 or small else 1e-5
    trim = (rows - 1) // 2
    ordered = np.sort(exact, axis=0)
    shares = np.random.default_rng(1).random(rows)
    kept = max(1, rows - 2)
    nearest = np.sort(np.abs(exact - np.median(exact, axis=0)), axis=0)[:kept].sum(axis=0)
    around = kernels.mean_around_median(matrix, kept)
    cut = kernels.trimmed_mean(matrix, trim)
    assert np.abs(kernels.median(matrix) - np.median(exact, axis=0)).max() <= close
    assert np.abs(cut - ordered[trim : rows - trim].mean(axis=0)).max() <= close
    assert np.abs(kernels.weighted_sum(matrix, shares) - shares @ exact).max() <= close * rows
    assert np.abs(kernels.lengths(matrix) - np.linalg.norm(exact, axis=1)).max() <= 1e-9
    assert np.abs(kernels.along(matrix, exact[0]) - exact @ exact[0]).max() <= 1e-9 * length
    assert (around >= ordered[0] - close).all()
    assert (around <= ordered[-1] + close).all()
    assert kept < 3 or (np.abs(around - np.median(exact, axis=0)) <= nearest + close).all()
    assert (matrix == before).all()


def test_mixing_happens_before_trimming():
    matrix = np.random.default_rng(0).standard_normal((6, 500))
    mixed = np.random.default_rng(1).random((4, 6))
    wanted = np.sort(mixed @ matrix, axis=0)[1:3].mean(axis=0)
    assert np.abs(kernels.trimmed_mean(matrix, 1, mixed) - wanted).max() <= 1e-12


@pytest.mark.parametrize("rows", [5, 40])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_cannot_be_ordered_is_refused(rows, bad):
    matrix = np.ones((rows, 5000), dtype=np.float32)
    matrix[3, 4321] = bad
    for kernel in (kernels.median, lambda m: kernels.trimmed_mean(m, 1)):
        with pytest.raises(kernels.NotFinite):
            kernel(matrix)


def test_numbers_whose_sum_overflows_are_still_numbers():
    matrix = np.full((5, 64), 3e38, dtype=np.float32)
    assert (kernels.median(matrix) == np.float32(3e38)).all()


def exact_square(one, other):
    return sum(
        (Fraction(float(a)) - Fraction(float(b))) ** 2 for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("case", ["far away", "twins", "outlier first", "two clusters", "huge"])
def test_distances_are_exact_where_digits_are_easily_lost(kind, case):
    rng = np.random.default_rng(7)
    rows = rng.standard_normal((6, 20))
    match case:
        case "far away":
            rows = 1.0 + 1e-4 * rows
        case "twins":
            rows[3] = rows[1] + 1e-6 * rng.standard_normal(20)
            rows[4] = rows[1]
        case "outlier first":
            rows[0] = 1e9
        case "two clusters":
            rows[:3] = 1e6 + 1e-2 * rows[:3]
        case "huge":
            rows[5] = 1e30
    rows = rows.astype(kind)
    found = geometry(rows).distances
    for i in range(6):
        for j in range(6):
            wanted = float(exact_square(rows[i], rows[j]))
            assert abs(found[i, j] - wanted) <= 1e-9 * wanted, (i, j)


def test_large_float32_matrices_are_measured_in_both_ways(monkeypatch):
    rows = np.random.default_rng(0).standard_normal((20, 3000)).astype(np.float32)
    rows[7] = 1e30
    whole = geometry(rows)
    monkeypatch.setattr("aegis.aggregation.geometry.SMALL", 0)
    quick = geometry(rows)
    assert (whole.exact, quick.exact) == (True, True)  # 1e60 is no float32
    rows[7] = 1
    quick, whole = geometry(rows), geometry(rows, exact=True)
    assert (whole.exact, quick.exact) == (True, False)
    honest = ~np.eye(20, dtype=bool)
    assert np.abs(quick.distances / whole.distances.clip(1e-300) - 1)[honest].max() <= quick.error


def test_inner_products_are_those_of_centred_rows():
    rows = np.random.default_rng(0).standard_normal((4, 5000))
    centred = rows - rows[2]
    assert np.abs(gram(rows, rows[2]) - centred @ centred.T).max() <= 1e-9


@pytest.mark.parametrize("size", [1.0, 0.1, 0.01, 1e-3, 1e-4])
@pytest.mark.parametrize("large", [False, True])
def test_krum_chooses_as_exact_arithmetic_does_for_updates_much_smaller_than_weights(
    size, large, monkeypatch
):
    """Handed weights instead of updates, one of them moved away: exact arithmetic ranks it last."""
    if large:
        monkeypatch.setattr("aegis.aggregation.geometry.SMALL", 0)
    rng = np.random.default_rng(5)
    weights = rng.standard_normal(300)
    rows = (weights + size * rng.standard_normal((10, 300))).astype(np.float32)
    rows[0] += np.float32(size)
    squares = [[exact_square(one, other) for other in rows] for one in rows]
    scores = [sum(sorted(line)[1:8]) for line in squares]
    found = rule("krum", f=1)(rows, np.ones(10))
    assert int(np.argmax(found.shares)) == scores.index(min(scores))
    kept = rule("multi_krum", f=1, multi_krum_k=5)(rows, np.ones(10)).shares
    assert set(np.flatnonzero(kept)) == set(np.argsort([float(s) for s in scores])[:5])


def test_a_choice_that_hangs_on_float32_is_made_in_float64(monkeypatch):
    """Two rows whose scores differ by a part in 10^8: the less is chosen."""
    rows = np.array([[-1.0], [1.0 + 2**-23], [0.0], [40.0], [-40.0]], dtype=np.float32)
    names = np.array([sum(sorted(float(exact_square(a, b)) for b in rows)[1:3]) for a in rows])
    monkeypatch.setattr("aegis.aggregation.geometry.SMALL", 0)
    assert int(np.argmax(rule("krum", f=1)(rows, np.ones(5)).shares)) == int(np.argmin(names))
