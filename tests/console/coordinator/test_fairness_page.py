"""The worst served first; what was not compared says why; other hospitals stay out of sight."""

import json
import re

import pytest

from aegis.console.coordinator.app import coordinator_app
from aegis.console.coordinator.desk import Desk, Sight
from aegis.console.coordinator.of_run import OfRun
from aegis.console.coordinator.pages.fairness import headline, not_compared, violation_table
from aegis.console.coordinator.withheld import seen_by
from aegis.console.reading import Line
from tests.console.asking import Asking, belongs
from tests.report.conftest import build
from tests.report.findings import with_findings

PAGE = {"Accept": "text/html"}


def of(document, status="completed"):
    line = Line("r", "heart", "", status, 7, 7, "open", False, "inprocess", {}, "")
    return OfRun("r", line, document, document, ("r",), "")


@pytest.fixture(scope="module")
def ask(finished_home):
    return Asking(coordinator_app(Desk.of(finished_home.home)))


def test_the_page_ranks_hospitals_by_the_results_own_figures(ask, finished_home):
    document = json.loads(
        (finished_home.home.results(finished_home.open) / "result.json").read_text()
    )
    page = ask.get(f"/fairness?run={finished_home.open}", headers=PAGE).text
    groups = next(
        one for one in document["fairness"]["attributes"] if one["attribute"] == "hospital"
    )
    shown = [one for one in groups["groups"] if not one["withheld"]]
    part = page.split('id="by-hospital"')[1].split("</table>")[0]
    order = re.findall(r'scope="row">([^<]+)<', part)
    worst_first = sorted(shown, key=lambda one: (one["accuracy"]["value"], one["group"]))
    assert order[: len(shown)] == [one["group"] for one in worst_first]
    for one in shown:
        assert f"{100 * one['accuracy']['value']:.1f}\xa0%" in part
    gains = {one["name"]: one for one in document["comparison"]["hospitals"]}
    for name, one in gains.items():
        if one["examples"] >= 10:
            low, high = one["difference"]["ci95"]
            word = "better" if low > 0 else "worse" if high < 0 else "no clear difference"
            row = re.search(
                rf'scope="row">{name}<.*?</tr>', page.split('id="gains"')[1], re.DOTALL
            )[0]
            assert word in row


def test_limits_that_are_exceeded_are_listed_with_chance():
    result = with_findings(build())
    result["fairness"]["violations"] = [
        {"attribute": "sex", "measure": "accuracy_parity", "value": 0.2, "threshold": 0.15,
         "may_be_chance": True, "between": ["male", "female"]},
        {"attribute": "hospital", "measure": "hospital_variance", "value": 0.06, "threshold": 0.05,
         "may_be_chance": None, "between": None},
    ]  # fmt: skip
    result["fairness"]["fair"] = False
    table = violation_table(result)
    assert [row[2:4] for row in table.rows] == [
        ("20.0\xa0points", "15.0\xa0points"),
        ("variance 0.0600", "variance 0.0500"),
    ]
    assert [row[5] for row in table.rows] == ["yes", "not tested"]
    assert headline(of(result)) == "2 limits of the plan are exceeded."
    result["fairness"]["violations"].pop()
    assert headline(of(result)) == "A limit of the plan is exceeded, which may be chance."


def test_what_was_not_compared_names_the_key_that_would():
    result = build() | {"fairness": None, "fairness_reason": "no counts", "comparison": None}
    found = {way.what: way for way in not_compared(of(result))}
    assert "fairness.attributes" in found["Groups"].keys
    assert found["Groups"].why == "no counts"
    assert "aegis run compares" in found["Own models against the shared one"].keys
    assert "federated.evaluate_only" in found["Hospitals that took no part"].keys
    assert headline(of(result)) == "Whether it serves everybody alike was not compared."


def test_one_hospitals_document_holds_no_other_hospital():
    result = with_findings(build())
    result["history"][2]["flags"] = [{"hospital": "va", "score": 9.0}]
    seen = seen_by(result, Sight("cleveland"))
    text = json.dumps({key: value for key, value in seen.items() if key not in ("run", "data")})
    for name in ("hungarian", "switzerland"):
        assert re.search(rf"(?<!\w){name}(?!\w)", text) is None, name
    assert [one["name"] for one in seen["hospitals"]] == ["cleveland"]
    assert [one["name"] for one in seen["comparison"]["hospitals"]] == ["cleveland"]
    assert seen["history"][2]["flags"] == []
    assert list(seen["history"][0]["hospitals"]) == ["cleveland"]
    assert seen["global"] == result["global"]
    assert seen_by(result, Sight()) is result
    assert seen_by(result, Sight(""))["hospitals"] == []


def test_a_hospitals_own_person_sees_the_own_row_and_that_others_are_withheld(ask, finished_home):
    own = Asking(ask.app, belongs("hospital_01"))
    page = own.get(f"/fairness?run={finished_home.open}", headers=PAGE).text
    assert "hospital_01" in page.split('id="gains"')[1]
    assert re.findall(r"hospital_0[2-9]", page) == []
    assert "coordinator’s people only" in page
