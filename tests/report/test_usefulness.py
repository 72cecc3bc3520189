import json
from dataclasses import replace

import numpy as np
import pytest

from aegis.evaluation.decision_curve import decisions
from aegis.evaluation.histogram import BINS, HALF
from aegis.report.benefit_page import benefit_sentence, outside_sentence, personal_table
from aegis.report.html import html_report
from aegis.report.summary import summary_lines
from aegis.report.usefulness import usefulness
from aegis.report.usefulness_page import usefulness_line, usefulness_part
from aegis.states import SealedScores
from tests.report.findings import final, with_findings
from tests.report.test_html import Page

SIZES = {"cleveland": 104, "hungarian": 89, "switzerland": 16, "va": 45}


def test_every_number_is_that_of_the_summed_counts():
    ended = final(SIZES)
    found = usefulness(ended)["usefulness"]
    together = np.add.reduce(list(ended.histograms.values()))
    half = decisions(together, 0.5)
    assert found["examples"] == 254
    per_100 = found["at"]["per_100"]
    assert tuple(per_100.values()) == half.per_100
    assert found["at"]["sensitivity"]["value"] == half.found / together[1].sum()
    assert [row["threshold"] for row in found["thresholds"]] == pytest.approx(
        [0.1, 0.2, 0.3, 0.5, 0.7, 0.9], abs=0.005
    )
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_sum_in_secret_is_as_useful_as_its_parts():
    ended = final(SIZES)
    together = np.add.reduce(list(ended.histograms.values()))
    sealed = replace(
        ended, histograms={}, losses={}, sealed=SealedScores(tuple(SIZES), together, 1.0)
    )
    shown, hidden = usefulness(ended)["usefulness"], usefulness(sealed)["usefulness"]
    assert hidden["decision_curve"] == shown["decision_curve"]
    assert hidden["calibration"]["classes"] == shown["calibration"]["classes"]
    assert hidden["calibration"]["hospitals"] == []


def test_a_hospital_with_few_ill_or_well_has_no_recalibration_but_a_reason():
    found = usefulness(final(SIZES))["usefulness"]["calibration"]["hospitals"]
    swiss = next(one for one in found if one["name"] == "switzerland")
    assert swiss["recalibration"] is None
    assert "fewer than 10" in swiss["reason"]


def test_noisy_counts_and_no_counts_say_why_there_is_nothing():
    noisy = np.zeros((2, BINS), dtype=np.int64)
    noisy[:, HALF - 1 : HALF + 1] = 30
    ended = replace(final({}), histograms={"a": noisy})
    assert "noisy" in usefulness(ended)["usefulness_reason"]
    assert "released" in usefulness(final({}))["usefulness_reason"]
    few = usefulness(final({"a": 12}))
    assert "fewer than 10" in few["usefulness_reason"]


def test_the_page_draws_a_hundred_people_and_both_curves(a_result):
    result = with_findings(a_result())
    part = usefulness_part(result)
    assert part is not None
    assert len(part.per_hundred.icons) == 100
    counts = [sum(icon.kind == kind for icon in part.per_hundred.icons)
              for kind in ("found", "missed", "alarm", "left")]  # fmt: skip
    assert counts == list(result["usefulness"]["at"]["per_100"].values())
    page = Page(html_report(result))
    text = page.text()
    assert "Would it help a clinician?" in text
    assert f"finds {counts[0]} with the condition and misses {counts[1]}" in text
    titles = [title for _, title in page.all("title")]
    assert {"Predicted chance and what happened", "Net benefit by threshold"} <= set(titles)
    identifiers = [attrs["id"] for _, attrs, _ in page.elements if "id" in attrs]
    assert len(identifiers) == len(set(identifiers))
    assert len(page.all("caption")) == len(page.all("table"))


def test_what_is_not_known_is_said_with_its_reason(a_result):
    result = a_result() | {"usefulness": None, "usefulness_reason": "scores were withheld"}
    assert "This is not known: scores were withheld." in Page(html_report(result)).text()
    assert usefulness_line(result) == ""
    assert usefulness_part(a_result()) is None


def test_benefit_and_left_out_hospitals_are_on_the_page_and_in_the_terminal(a_result):
    result = with_findings(a_result())
    text = Page(html_report(result)).text()
    assert "Does it work where it was not trained?" in text
    assert "intercept sd 0.4" in text
    assert benefit_sentence(result).replace("\u00a0", " ") in text
    labels = [label for label, _ in summary_lines(result)]
    assert {"Benefit", "Left out of training", "Fairness", "Per 100 patients"} <= set(labels)
    table = personal_table(result)
    assert table is not None
    assert len(table.rows) == 4


def test_a_leave_one_out_that_could_not_be_made_says_why(a_result):
    result = a_result() | {"leave_one_out": None, "leave_one_out_reason": "too few hospitals"}
    assert outside_sentence(result) == "No hospital was left out: too few hospitals."
    assert outside_sentence(a_result()) == ""
