"""The report's text, letter by letter, and that it never says more than was found.

`AEGIS_WRITE_GOLDEN=1 pytest tests/assurance/test_report.py` writes the files anew.
"""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from aegis.assurance.canaries import CanaryAudit
from aegis.assurance.intervals import Estimate, Rate
from aegis.assurance.membership import Audit, Declared
from aegis.assurance.report import RULE, TITLE, as_json, interpretation, report
from aegis.assurance.verdict import Control, Finding

GOLDEN = Path(__file__).parent / "golden"
CAUGHT = Control(Estimate(0.7921, 0.7432, 0.8410))
NAMES = ("threshold", "loss_based", "calibrated", "shadow", "lira", "rmia")


def _finding(name, value, recipe=None, half=0.06):
    few = (Rate(0.01, 115, None), Rate(0.001, 115, None))
    least = Rate(10 / 115, 115, Estimate(0.0881, 0.0563, 0.1302))
    again = (Rate(0.01, 3680, Estimate(0.0129, 0.0085, 0.0187)), Rate(0.001, 3680, None))
    return Finding(
        attack=name,
        accuracy=value + 0.0034,
        auc=Estimate(value, value - half, value + half),
        rates=(*few, least),
        recipe=None if recipe is None else Estimate(recipe, recipe - 0.015, recipe + 0.015),
        recipe_rates=() if recipe is None else again,
        judged_by="model" if recipe is None else "recipe",
    )


def _audit(values, recipes=None, half=0.06, **more):
    recipes = recipes or [None] * len(values)
    findings = [
        _finding(n, v, r, half)
        for n, v, r in zip(NAMES[: len(values)], values, recipes, strict=True)
    ]
    given = {
        "control": CAUGHT,
        "odd": 0.7273,
        "members": 454,
        "nonmembers": 115,
        "hospitals": 5,
        "left_out": (),
        "references": 32,
        "privacy": Declared(1.0, 1e-5),
    }
    return Audit(tuple(findings), **{**given, **more})


SAFE = _audit([0.5089, 0.5156, 0.4787, 0.5295, 0.5056, 0.4767], [0.5, 0.5053, 0.51, 0.49, 0.5, 0.5])
VULNERABLE = _audit([0.5431, 0.5873, 0.7514, 0.5702, 0.7102, 0.7921])
INCONCLUSIVE = dataclasses.replace(SAFE, control=Control(Estimate(0.5204, 0.4611, 0.5797)))
CASES = {
    "safe": SAFE,
    "safe_without_privacy": dataclasses.replace(
        _audit([0.469, 0.472, 0.541, 0.496, 0.526, 0.555], [0.506, 0.506, 0.53, 0.5, 0.536, 0.56]),
        privacy=None,
    ),
    "vulnerable": dataclasses.replace(VULNERABLE, privacy=None),
    "vulnerable_despite_privacy": dataclasses.replace(VULNERABLE, left_out=("Basel", "Bern")),
    "inconclusive": INCONCLUSIVE,
    "too_few_patients": _audit([0.5089, 0.5156], half=0.11, nonmembers=21),
    "canaries": SAFE.with_canaries(CanaryAudit(1000, 100, 74, 0.6172, 1e-5, 0.95, 2.0)),
    "refuted": SAFE.with_canaries(CanaryAudit(1000, 100, 100, 3.4683, 1e-5, 0.95, 2.0)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_report_is_letter_by_letter(name):
    path = GOLDEN / f"{name}.txt"
    text = report(CASES[name])
    if os.environ.get("AEGIS_WRITE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_the_head_and_the_first_two_blocks_are_those_of_the_sample():
    lines = report(SAFE).splitlines()
    assert lines[:3] == [RULE, TITLE, RULE]
    assert RULE == "=" * 70
    assert lines[-1] == RULE
    assert lines[4:9] == [
        "--- THRESHOLD Attack ---",
        "  Accuracy:           0.5123",
        "  AUC-ROC:            0.5089",
        "  Privacy Grade:      A (Excellent)",
        "  Is Vulnerable:      No",
    ]
    second = lines.index("--- LOSS_BASED Attack ---")
    assert [line.split(":")[0].strip() for line in lines[second + 1 : second + 5]] == [
        "Accuracy",
        "AUC-ROC",
        "Privacy Grade",
        "Is Vulnerable",
    ]
    assert sum(line.startswith("INTERPRETATION: ") for line in lines) == 1


@pytest.mark.parametrize(
    "name",
    ["safe_without_privacy", "vulnerable", "vulnerable_despite_privacy", "inconclusive",
     "too_few_patients", "refuted"],
)  # fmt: skip
def test_privacy_is_praised_only_where_it_was_on_and_nothing_was_found(name):
    told = " ".join(interpretation(CASES[name])).lower()
    assert "consistent" not in told
    assert "effective" not in told
    if CASES[name].privacy is None:
        assert "no differential privacy was declared" in told


def test_an_inconclusive_audit_never_says_that_guessing_is_all_an_attacker_can_do():
    for name in ("inconclusive", "too_few_patients"):
        told = " ".join(interpretation(CASES[name]))
        assert "no better than random" not in told
        assert "must not be read" in told
        assert "(Excellent)\n" not in report(CASES[name])


def test_a_leak_below_the_border_is_not_called_guessing():
    told = " ".join(interpretation(CASES["safe_without_privacy"]))
    assert "better than random guessing" in told
    assert "no better" not in told


@pytest.mark.parametrize("name", CASES)
def test_the_json_says_what_the_report_says(name):
    audit = CASES[name]
    found = json.loads(json.dumps(as_json(audit), allow_nan=False))
    assert found["verdict"] in ("safe", "vulnerable", "inconclusive")
    assert f"VERDICT: {found['verdict'].upper()}" in report(audit)
    assert found["passed"] == (found["verdict"] == "safe")
    blocks = found["membership_inference_attack"]
    assert list(blocks) == [finding.attack for finding in audit.findings]
    for name, block in blocks.items():
        assert f"{block['auc']:.4f}" in report(audit)
        assert block["grade"] == audit[name].grade
    rate = blocks["threshold"]["true_positive_rates"][0]
    assert rate["true_positive_rate"] is None
    assert "1000" in rate["reason"]
    assert (found["declared"] is None) == (audit.privacy is None)
    assert (found["canaries"] is None) == (audit.canaries is None)


def test_a_good_grade_of_the_recipe_does_not_stand_for_a_vulnerable_model():
    told = report(_audit([0.6189], [0.5710]))
    assert "Privacy Grade:      B (Good), of the recipe\n" in told
    assert "Is Vulnerable:      Yes, this model by itself\n" in told
    alike = report(_audit([0.5189], [0.5710]))
    assert "Privacy Grade:      B (Good)\n" in alike
    assert "Is Vulnerable:      No\n" in alike
