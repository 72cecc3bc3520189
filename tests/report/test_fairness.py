import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.report.fairness import fairness
from aegis.report.fairness_page import fairness_line, fairness_part, verdict_tag
from aegis.report.html import html_report
from aegis.report.suppression import large_enough
from tests.report.findings import final, study, with_findings
from tests.report.test_html import Page

SIZES = {"cleveland": 104, "hungarian": 89, "switzerland": 16, "va": 45}


def by(found, attribute):
    return next(one for one in found["attributes"] if one["attribute"] == attribute)


def test_the_document_has_its_fields_and_is_json():
    found = fairness(study(), final(SIZES))
    assert set(found) == {
        "fair", "reason", "violations", "sentence", "thresholds", "for_orientation",
        "minimum_cell", "hospital_accuracy", "attributes", "within_hospitals",
    }  # fmt: skip
    assert [one["attribute"] for one in found["attributes"]] == ["hospital", "sex", "age"]
    for one in found["attributes"]:
        assert set(one["measures"]) == {
            "accuracy_parity", "demographic_parity", "equalised_odds", "disparate_impact",
            "calibration",
        }  # fmt: skip
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_thresholds_flip_the_verdict_and_the_sentence_names_the_groups():
    ended = final(SIZES, worse=4.0)
    found = fairness(study(accuracy_parity=0.05), ended)
    assert found["fair"] is False
    assert any(one["attribute"] == "sex" for one in found["violations"])
    assert "female" in found["sentence"]
    lax = fairness(study(accuracy_parity=1.0), ended)
    assert lax["fair"] is True
    assert "No limit of the plan is exceeded" in lax["sentence"]


def test_verdicts_have_a_word_of_their_own():
    violation = {"may_be_chance": True}
    assert verdict_tag({"fair": True, "violations": []}) == ("ok", "Within the plan’s limits")
    assert verdict_tag({"fair": False, "violations": [violation]})[0] == "warn"
    clear = {"may_be_chance": False}
    assert verdict_tag({"fair": False, "violations": [violation, clear]})[0] == "bad"
    assert verdict_tag({"fair": None}) == ("off", "Not compared")


def test_a_small_group_and_what_would_give_it_back_are_withheld():
    shares = ((0.3, 0.7), (0.02, 0.1, 0.58, 0.3))
    found = fairness(study(), final({"only": 254}, shares=shares))
    ages = by(found, "age")["groups"]
    hidden = [group for group in ages if group["withheld"]]
    assert len(hidden) >= 2
    assert all(set(group) == {"group", "withheld"} for group in hidden)
    for gap in by(found, "age")["measures"].values():
        if gap is not None:
            assert not {gap["highest"], gap["lowest"]} & {group["group"] for group in hidden}


def test_an_attribute_that_nobody_records_is_said_to_be_so():
    nobody = ((0.0, 0.0, 1.0), (0.2, 0.3, 0.3, 0.2))
    found = fairness(study(), final(SIZES, shares=nobody))
    assert "do not record" in by(found, "sex")["reason"]
    assert by(found, "sex")["groups"] == []


def test_no_scores_are_no_verdict():
    ended = final({})
    found = fairness(study(), ended)
    assert found["fair"] is None
    assert found["reason"]
    assert "could not be compared" in found["sentence"]


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.text(min_size=1, max_size=3), st.integers(0, 40), max_size=8),
    st.integers(0, 30),
)
def test_whoever_is_hidden_is_hidden_among_enough(sizes, unnamed):
    kept = large_enough(sizes, 10, unnamed)
    assert all(sizes[name] >= 10 for name in kept)
    rest = [n for name, n in sizes.items() if name not in kept and n] + (
        [unnamed] if unnamed else []
    )
    if kept and rest:
        assert sum(rest) >= 10
        assert len(rest) > 1 or rest[0] >= 10


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=5),
    st.integers(0, 10**6),
)
def test_no_figure_is_about_fewer_than_ten_patients(sizes, seed):
    ended = final({f"h{i}": n for i, n in enumerate(sizes)}, seed=seed)
    found = fairness(study(), ended)
    for attribute in found["attributes"]:
        shown = 0
        for group in attribute["groups"]:
            if group["withheld"]:
                continue
            shown += group["examples"]
            assert group["examples"] >= 10
            for rate in ("accuracy", "called_ill", "found", "false_alarms", "observed"):
                assert group[rate] is None or group[rate]["of"] >= 10
            if group["positives"] is not None:
                assert group["positives"] >= 10
                assert group["examples"] - group["positives"] >= 10
        left = sum(sizes) - shown
        assert left == 0 or left >= 10 or shown == 0
    for table in found["within_hospitals"]:
        for hospital in table["hospitals"]:
            for cell in hospital["groups"]:
                assert cell["accuracy"] is None or cell["accuracy"]["of"] >= 10


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(10, 60), min_size=2, max_size=5), st.integers(0, 10**6))
def test_no_withheld_cell_follows_from_what_is_shown(sizes, seed):
    """Inside hospitals: each row of group sizes hides no cell or at least two."""
    ended = final({f"h{i}": n for i, n in enumerate(sizes)}, seed=seed)
    for table in fairness(study(), ended)["within_hospitals"]:
        shown = np.array(
            [[cell["accuracy"] is not None for cell in h["groups"]] for h in table["hospitals"]]
        )
        for row in shown:
            assert row.all() or (~row).sum() >= 2 or len(row) == 1


def test_the_page_shows_each_group_that_may_be_told_worst_first(a_result):
    result = with_findings(a_result())
    text = Page(html_report(result)).text()
    assert "Is the model equally good for everyone?" in text
    for attribute in result["fairness"]["attributes"]:
        for group in attribute["groups"]:
            if not group["withheld"]:
                value = 100 * group["accuracy"]["value"]
                assert f"{value:.1f} %" in text
    part = fairness_part(result)
    assert part is not None
    for attribute in part.parts:
        values = [float(row.cells[2].split("\u00a0")[0]) for row in attribute.rows if row.mark]
        assert values == sorted(values)
    assert result["fairness"]["sentence"].split(".")[0][:20].replace("\u00a0", " ") in text
    assert fairness_line(result)


def test_a_result_without_fairness_has_no_such_section(a_result):
    text = Page(html_report(a_result())).text()
    assert "equally good" not in text
    assert fairness_line(a_result()) == ""


@pytest.mark.parametrize("gone", ["attributes", "thresholds", "violations", "within_hospitals"])
def test_a_gap_in_the_document_does_not_break_the_page(gone, a_result):
    result = with_findings(a_result())
    del result["fairness"][gone]
    assert "equally good" in html_report(result)
