"""A hospital that is left out must not follow from the sum and the others."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from aegis.report.hospital_tables import comparison_table, hospital_table, partition_table
from aegis.report.withheld import KEPT, TOO_FEW, counts, kept_back, without_figures


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 60), max_size=8))
@example([40, 12, 42, 12, 8])
def test_no_small_hospital_is_the_sum_less_the_others(sizes):
    told = counts({str(at): float(n) for at, n in enumerate(sizes)})
    unsaid = [sizes[int(name)] for name, text in told.items() if text != str(sizes[int(name)])]
    for name, text in told.items():
        assert (text == "fewer than 10") == (sizes[int(name)] < 10)
    small = [n for n in unsaid if 0 < n < 10]
    # what is left of the sum is ten at least, and more than one hospital's
    assert not small or len(unsaid) == len(sizes) or (sum(unsaid) >= 10 and len(unsaid) > 1)


def test_the_smallest_that_will_do_goes_along():
    sizes = {"a": 40, "b": 12, "c": 42, "d": 13, "e": 8}
    assert kept_back(sizes) == {"e": TOO_FEW, "b": KEPT}
    assert counts(sizes) == {"a": "40", "b": "withheld", "c": "42", "d": "13", "e": "fewer than 10"}
    assert kept_back({"a": 40, "b": None}) == {}


def test_who_gave_no_scores_hides_nobody_in_their_sum(a_result):
    centres = {"small": (25, 6, 0.5), "x": (48, 12, 0.5), "y": (90, 40, 0.5), "z": (90, 41, 0.5)}
    result = a_result(centres=centres)
    assert without_figures(result) == {"small": TOO_FEW, "x": KEPT}
    x = next(one for one in result["hospitals"] if one["name"] == "x")
    x["global"] = None
    assert without_figures(result) == {"small": TOO_FEW, "y": KEPT}
    rows = {row[0]: row[2] for row in hospital_table(result).rows}
    assert rows == {"small": "fewer than 10", "x": "12", "y": "withheld", "z": "41"}


def test_what_would_give_the_whole_of_a_hospital_is_not_said_beside_its_training_rows(a_result):
    result = a_result(centres={"small": (25, 6, 0.5), "x": (48, 12, 0.5), "y": (90, 40, 0.5)})
    rows = {row[0]: row for row in partition_table(result).rows}
    for name in ("small", "x"):
        assert not any(" of " in cell for cell in rows[name]), rows[name]
    assert any(" of " in cell for cell in rows["y"])


def test_every_table_of_hospitals_leaves_the_same_ones_out(a_result):
    result = a_result(centres={"small": (9, 8, 0.5), "x": (90, 30, 0.5), "y": (95, 40, 0.5)})
    for table in (comparison_table(result), hospital_table(result), partition_table(result)):
        rows = {row[0]: row[1:] for row in table.rows}
        assert "fewer than 10" in rows["small"]
        assert "withheld" in rows["x"], table.caption
        assert not {"30", "90"} & set(rows["x"])
        assert {"40", "95"} & set(rows["y"])
