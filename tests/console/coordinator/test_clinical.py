"""One sheet in plain words, and evidence for each line of it."""

import json
import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest

from aegis.console.coordinator.app import coordinator_app
from aegis.console.coordinator.desk import Desk
from aegis.report.clinical import clinical, condition
from aegis.report.wording import NBSP
from tests.console.asking import Asking, belongs
from tests.report.conftest import build
from tests.report.findings import with_findings

JARGON = [
    *("node", "client", "shard", "aggregator", "federated", "gradient", "logistic", "newton"),
    *("sgd", "hyperparameter", "SHA-256", "inprocess", "dp_sgd", "epoch", "anonymous"),
    *("guaranteed", "compliant", "HIPAA", "GDPR"),
]
PAGE = {"Accept": "text/html"}


@pytest.fixture
def a_result():
    return build


@pytest.fixture(scope="module")
def ask(finished_home):
    return Asking(coordinator_app(Desk.of(finished_home.home)))


def text_of(html):
    """What a reader reads, without what is for screens' menus and forms."""
    main = html.split("<main", 1)[1].split("</main>")[0]
    main = re.sub(r"<form.*?</form>", "", main, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", main)).split())


def test_the_sheet_says_what_the_result_says(ask, finished_home):
    document = json.loads(
        (finished_home.home.results(finished_home.open) / "result.json").read_text()
    )
    page = ask.get(f"/clinical?run={finished_home.open}", headers=PAGE)
    assert page.status_code == 200
    text, overall = text_of(page.text), document["global"]
    right = round(overall["accuracy"] * overall["examples"])
    assert f"right for {right} of {overall['examples']}" in text
    assert f"AUC {overall['auc']:.3f}" in text
    per = document["usefulness"]["at"]["per_100"]
    assert f"finds {per['found']} with the condition and misses {per['missed']}" in text
    assert f"acting on nobody misses all {per['found'] + per['missed']}" in text
    icons = re.search(r'<svg class="people".*?</svg>', page.text, re.DOTALL)[0]
    assert len(re.findall(r"<(?:circle|path)", icons)) == 100
    assert "Research use. Not approved for patient care." in text


def test_what_the_noise_promises_is_said_as_guesses_in_a_hundred(ask, finished_home):
    text = text_of(ask.get(f"/clinical?run={finished_home.private}", headers=PAGE).text)
    assert "right in at most 74 of 100 cases; tossing a coin is right in 50" in text
    assert "Total epsilon of this run 1, delta 1 in 100,000" in text


@pytest.mark.parametrize("which", ["private", "open"])
def test_no_word_of_a_technician_stands_on_it(ask, finished_home, which):
    text = text_of(ask.get(f"/clinical?run={getattr(finished_home, which)}", headers=PAGE).text)
    said = [word for word in JARGON if re.search(rf"\b{re.escape(word)}s?\b", text, re.IGNORECASE)]
    assert said == []
    assert re.search(r"\bgrade\b|\b[A-F][+-]? grade|100 % secure|AI says", text) is None


def test_every_claim_leads_to_a_place_that_is_there(ask, finished_home):
    page = ask.get(f"/clinical?run={finished_home.open}", headers=PAGE).text
    claims = re.findall(r'<ul class="claims">(.*?)</ul>', page, re.DOTALL)
    lines = [line for found in claims for line in re.findall(r"<li>(.*?)</li>", found, re.DOTALL)]
    assert len(lines) > 8
    assert all('class="proof"' in line for line in lines)
    pages = {}
    for href in re.findall(r'class="proof" href="([^"]+)"', page):
        place = urlsplit(unescape(href))
        assert parse_qs(place.query)["run"] == [finished_home.open]
        if place.path in ("/technical", "/fairness"):
            if place.path not in pages:
                pages[place.path] = ask.get(f"{place.path}?{place.query}", headers=PAGE).text
            assert f'id="{place.fragment}"' in pages[place.path], href


def test_a_hospitals_own_person_reads_of_no_other(ask, finished_home):
    own = Asking(ask.app, belongs("hospital_01"))
    for path in ("/clinical", "/technical", "/fairness"):
        for run in (finished_home.open, finished_home.private):
            found = own.get(f"{path}?run={run}", headers=PAGE)
            assert found.status_code == 200
            assert re.findall(r"hospital_0[2-9]", found.text) == [], path
            assert "hospital_01" in found.text or path == "/clinical"


def test_a_run_that_goes_on_has_nothing_to_decide(a_result):
    sheet = clinical(a_result() | {"status": "running", "rounds": 3})
    assert not sheet.ready
    assert sheet.headline == (
        "For heart disease in these 4 hospitals there is nothing to decide yet: the run goes on, "
        f"with 3{NBSP}rounds done."
    )
    assert sheet.sure == ()


def test_synthetic_stopped_and_simulated_are_said_first(a_result):
    result = a_result() | {"status": "stopped", "reason": "asked to"}
    result["data"] = {**result["data"], "synthetic": True}
    said = " ".join(sentence for _, sentence in clinical(result).notes)
    assert "SYNTHETIC DATA" in said
    assert "was stopped before its planned end" in said
    assert "simulated on one machine" in said


def test_worse_is_said_as_plainly_as_better(a_result):
    result = a_result()
    for number, one in enumerate(result["comparison"]["hospitals"]):
        low, high = (-0.2, -0.1) if number == 0 else (0.1, 0.2) if number == 1 else (-0.1, 0.1)
        one["difference"] = {"accuracy": (low + high) / 2, "ci95": [low, high]}
    sheet = clinical(result)
    assert "in 1 of 4, no clear difference in 2, worse in 1." in sheet.headline
    assert "Worse than the hospital’s own model: cleveland." in [c.text for c in sheet.not_for]
    hidden = clinical(result, lambda name: name == "va")
    assert any("own model: 1" in claim.text for claim in hidden.not_for)
    assert "cleveland" not in str(hidden)


def test_a_large_epsilon_is_said_to_promise_little(a_result):
    privacy = {"mechanism": "dp_sgd", "epsilon": 6.0, "delta": 1e-5, "unit": "record"}
    result = a_result() | {"privacy": privacy | {"neighbouring": "add or remove one"}}
    for one in result["hospitals"]:
        one["epsilon"] = 6.0
    said = [claim.text for claim in clinical(result).privacy]
    assert any("this bound alone promises little; see attack tests" in text for text in said)
    assert not any("of 100 cases" in text for text in said)


def test_without_own_models_nothing_is_called_better(a_result):
    result = a_result() | {"comparison": None}
    for one in result["hospitals"]:
        one["local"] = None
    assert "it is not known whether" in clinical(result).headline


def test_groups_that_cannot_be_told_are_named(a_result):
    result = with_findings(a_result())
    result["fairness"]["attributes"][-1]["groups"].append({"group": "85 on", "withheld": True})
    sheet = clinical(result)
    assert sheet.hundred is not None
    told = [claim.text for claim in sheet.not_for if "Too few test patients" in claim.text]
    assert len(told) == 1
    assert "85 on" in told[0]


@pytest.mark.parametrize(
    ("task", "positive", "said"),
    [
        ("heart", "heart disease", "heart disease"),
        ("breast_cancer", "malignant", "breast cancer (malignant or not)"),
        ("symptoms", "", "symptoms"),
    ],
)
def test_the_condition_in_words(task, positive, said):
    assert condition({"task": task, "data": {"positive": positive}}) == said
