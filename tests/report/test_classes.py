"""What a result and its page say of more than two classes, and of one that is too common."""

import json

import numpy as np
import pytest

from aegis.evaluation.classes import from_judged, judged
from aegis.evaluation.histogram import score
from aegis.evaluation.metrics import metrics
from aegis.report.classes import by_class, classes_of, imbalance
from aegis.report.classes_page import FOLDED, classes_part
from aegis.report.html import html_report
from aegis.report.summary import summary_lines
from aegis.report.tripod_methods import imbalance as imbalance_said
from aegis.report.tripod_methods import outcome
from tests.evaluation.test_classes import patients
from tests.report.conftest import build
from tests.report.test_html import Page

NAMES = ("cold", "flu", "measles", "mumps", "scabies")


def result_of(rows=600, classes=5, seed=0, signal=1.5):
    tableau, loss = score(*patients(classes, rows, seed, signal))
    names = NAMES if classes == 5 else tuple(f"class {n}" for n in range(classes))
    found = build()
    found["global"] = {**metrics(tableau, loss), "ci95": {"accuracy": [0.1, 0.9]}}
    found |= classes_of([tableau], names)
    found |= imbalance([tableau], names, found["global"])
    found["data"] = {**found.get("data", {}), "classes": list(names), "positive": ""}
    return found


def test_the_result_is_plain_json_and_of_two_classes_says_so():
    found = result_of()
    assert json.loads(json.dumps(found["classes"], allow_nan=False)) == found["classes"]
    assert classes_of([], ()) == {"classes": None, "classes_reason": "two classes are told apart"}
    assert "no hospital released" in classes_of([], NAMES)["classes_reason"]


def test_the_page_has_a_line_for_each_class_and_a_picture_of_what_is_mixed_up():
    found = result_of()
    part = classes_part(found)
    assert [row[0] for row in part.table.rows] == [f"{n}. {x}" for n, x in enumerate(NAMES, 1)]
    diagonal = [cell for cell in part.confusion.cells if cell.right]
    assert [(c.column, c.row) for c in diagonal] == [(n, n) for n in range(5)]
    shares = [row["recall"]["value"] for row in found["classes"]["classes"]]
    assert [cell.said for cell in diagonal] == [f"{100 * share:.0f}" for share in shares]
    assert len(part.mixed_up) == 5
    page = Page(html_report(found))
    assert "Which classes does it tell apart" in page.text()
    assert "Confusion matrix" in page.text()
    assert "Among the three likeliest" in page.text()
    assert "Balanced accuracy" in page.text()


def test_names_that_mean_something_to_a_browser_are_shown_as_they_are():
    tableau, _ = score(*patients(3, 300))
    found = result_of() | classes_of([tableau], ("<b>flu</b>", 'a" onload="x', "cold"))
    html = html_report(found)
    assert "<b>flu</b>" not in html
    assert 'a" onload="x' not in html


def test_many_classes_are_shown_on_demand_and_a_result_of_two_shows_none():
    part = classes_part(result_of(3000, classes=30))
    assert len(part.table.rows) == 30 > FOLDED
    assert part.folded
    assert all(cell.said == "" for cell in part.confusion.cells)
    assert classes_part(build()) is None
    assert "Which classes" not in html_report(build())


def test_counts_with_noise_have_a_table_and_no_picture():
    tableau, _ = score(*patients(5, 600))
    coarse = from_judged(judged(tableau))
    found = result_of() | classes_of([coarse], NAMES)
    part = classes_part(found)
    assert part.confusion is None
    assert part.table.rows[0][4] == "n/a: nothing was called so"
    assert "hospitals released counts of right and wrong only" in Page(html_report(found)).text()


def skewed(share, rows=400, right=0.9):
    rng = np.random.default_rng(1)
    labels = (rng.random(rows) < share).astype(np.int64)
    told = np.where(rng.random(rows) < right, labels, 1 - labels)
    return score(np.where(told == 1, 2.0, -2.0) + rng.normal(0, 0.3, rows), labels)


def test_a_common_class_brings_the_warning_that_accuracy_misleads():
    tableau, loss = skewed(0.1)
    found = imbalance([tableau], ("without it", "with it"), metrics(tableau, loss))["imbalance"]
    assert found["commonest"] == "without it"
    assert found["share"] == pytest.approx(0.9, abs=0.05)
    assert "accuracy alone misleads" in found["sentence"]
    assert "Read balanced accuracy" in found["sentence"]
    assert "average precision" in found["sentence"]
    ill = 1 - found["share"]
    assert found["balancing_weights"] == pytest.approx([0.5 / (1 - ill), 0.5 / ill], rel=1e-3)
    shown = build() | {"imbalance": found}
    assert any("accuracy alone misleads" in text for _, text in summary_lines(shown))
    assert "accuracy alone misleads" in Page(html_report(shown)).text()


def test_a_model_no_better_than_calling_everybody_well_is_told_so():
    tableau, loss = skewed(0.1, right=0.7)
    found = imbalance([tableau], ("without it", "with it"), metrics(tableau, loss))["imbalance"]
    assert found["sentence"].endswith("This model is right no more often than that.")


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_classes_of_like_size_bring_no_warning(share):
    tableau, loss = skewed(share)
    assert imbalance([tableau], ("a", "b"), metrics(tableau, loss)) == {"imbalance": None}
    assert imbalance([], ("a", "b"), {}) == {"imbalance": None}


def test_among_many_classes_a_large_share_is_what_counts():
    labels = np.concatenate([np.repeat(np.arange(41), 3), np.full(8, 5)])
    logits = np.zeros((len(labels), 41))
    few, loss = score(logits, labels)
    names = tuple(map(str, range(41)))
    assert imbalance([few], names, metrics(few, loss))["imbalance"] is None
    labels = np.concatenate([labels, np.full(200, 5)])
    many, loss = score(np.zeros((len(labels), 41)), labels)
    assert imbalance([many], names, metrics(many, loss))["imbalance"]["commonest"] == "5"


def test_the_checklist_names_classes_and_weights():
    found = result_of()
    assert outcome(found) == "One of 5 classes: cold, flu, measles, mumps, scabies."
    assert "No rows were weighted" in imbalance_said(found)
    weighted = imbalance_said(found | {"class_weights": [1.0, 2.5, 1.0, 1.0, 1.0]})
    assert "counted 1, 2.5, 1, 1, 1 times" in weighted


def test_rare_classes_have_no_line_of_their_own():
    logits, labels = patients(6, 400)
    kept = (labels < 4) | (np.cumsum(labels >= 4) <= 12)
    logits, labels = logits[kept], labels[kept]
    tableau, _ = score(logits, labels)
    found = by_class(tableau, list("abcdef"), minimum=10)
    assert [row["name"] for row in found["classes"]] == list("abcd")
    assert found["rarer"]["classes"] == 2
    assert found["rarer"]["examples"] == 12
    lines = np.array(found["confusion"])
    assert lines.shape == (4, 5)
    assert lines.sum(axis=1) == pytest.approx(1)
    assert np.diagonal(lines) == pytest.approx([r["recall"]["value"] for r in found["classes"]])
    few = by_class(score(logits[:8], labels[:8])[0], list("abcdef"), minimum=10)
    assert few["rarer"]["examples"] is None
    assert few["confusion"] is None
