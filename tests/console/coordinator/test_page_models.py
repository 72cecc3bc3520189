"""The models' pages: what is in use, whether it may be, and two people who decide."""

from __future__ import annotations

import json
import re

import pytest

from aegis.console.coordinator.desk import Desk, Sight
from aegis.console.coordinator.opening import coordinator_window
from aegis.console.coordinator.pages import model_card
from aegis.console.coordinator.pages import models as page_models
from aegis.console.coordinator.pages import proposals as page_proposals
from aegis.console.people.passwords import Passwords
from aegis.console.people.roles import THIS_MACHINE, Person, Role
from aegis.store.home import Home
from aegis.store.journal import Journal
from aegis.store.promotion import Gate, Promotions
from aegis.store.registry import Registry
from tests.console.asking import PEOPLE, Asking

ANA = Person("ana", frozenset({Role.RESEARCHER}))
BEN = Person("ben", frozenset({Role.PRIVACY_OFFICER}))
VERA = Person("vera", frozenset({Role.VIEWER}))


@pytest.fixture
def window(own_home):
    found = own_home()
    with coordinator_window(found.home) as opened:
        opened.door.accounts.passwords = Passwords((1, 8, 1))
        for person in (ANA, BEN):  # who proposes has an account when it is confirmed
            opened.door.accounts.add(person.name, person.roles, "test")
        yield opened


@pytest.fixture
def by(window):
    """The window as one person sees it."""
    return lambda person: Asking(window.app, person)


@pytest.fixture
def open_gates(monkeypatch):
    """All checks hold, whatever the model; ``tests.store.test_promotion`` has them shut."""

    def holding(registry, version, log):
        return [Gate(name, True, "holds") for name in model_card.CHECKS]

    for room in (page_models, page_proposals, model_card):
        monkeypatch.setattr(room, "gates", holding)


def hidden(page, name):
    return re.search(rf'name="{name}" value="([^"]*)"', page).group(1)


def in_use(home, task="breast_cancer"):
    journal = Journal(home.database)
    try:
        found = Promotions(journal, Registry(home, journal)).in_use(task)
        return None if found is None else found.name
    finally:
        journal.close()


def test_the_list_has_every_version_with_the_card_s_own_figures(by, finished_home):
    page = by(VERA).get("/models").text
    reading = Desk.of(finished_home.home).reading
    for name, run in (("v1", finished_home.private), ("v2", finished_home.open)):
        metrics = reading.document(run)["global"]
        assert f'/models/{name}"' in page
        assert f"{100 * metrics['accuracy']:.1f}" in page
        assert f"{metrics['auc']:.3f}" in page
    assert "2 versions, none in use" in page
    assert "No version fits" in by(VERA).get("/models?task=heart").text
    only = page_models.listed(Desk.of(finished_home.home), {"text": finished_home.private})
    assert [line.name for line in only["lines"]] == ["v1"]


def test_a_long_list_is_paged_and_a_senseless_page_is_the_nearest(monkeypatch, finished_home):
    monkeypatch.setattr(model_card, "PAGE", 1)
    desk = Desk.of(finished_home.home)
    seen = [page_models.listed(desk, {"page": page})["lines"][0].name for page in "12"]
    assert seen == ["v2", "v1"]
    for page in ("0", "-3", "99", "x", "²"):
        assert len(page_models.listed(desk, {"page": page})["lines"]) == 1


def test_a_version_shows_its_checks_with_reasons_and_cannot_be_promoted_while_one_is_shut(
    by, window
):
    page = by(ANA).get("/models/v1").text
    assert "A check does not hold" in page
    assert "membership audit" in page
    assert "Propose v1" not in page
    answer = by(ANA).post("/models/v1/promote", data={"reason": "please"})
    assert answer.status_code == 403
    assert "v1 is not promoted" in answer.text
    assert window.door.proposals.past() == []


def test_the_threshold_is_in_the_address_and_a_bad_one_is_said_at_its_field(by, finished_home):
    page = by(VERA).get("/models/v2?threshold=0.3").text
    document = Desk.of(finished_home.home).reading.document(finished_home.open)
    row = next(r for r in document["usefulness"]["thresholds"] if abs(r["threshold"] - 0.3) < 0.01)
    share = f"{100 * row['sensitivity']['value']:.1f}"
    assert re.search(rf"Of those with the condition, found</th><td[^>]*>{share}", page)
    assert "Found against false alarms" in page
    assert "Predicted chance and what happened" in page
    for text in ("abc", "0", "1", "-1", "nan", "1e400"):
        answer = by(VERA).get(f"/models/v2?threshold={text}")
        assert answer.status_code == 422
        assert 'href="#threshold"' in answer.text


def test_downloads_are_the_registry_s_own_bytes(by, finished_home):
    import hashlib

    asking = by(VERA)
    weights = asking.get("/models/v1/download/safetensors")
    card = asking.get("/models/v1/download/card").json()
    assert hashlib.sha256(weights.content).hexdigest() == card["sha256"]
    assert card["run"] == finished_home.private
    assert b"aegis-card/1" in asking.get("/models/v1/download/sklearn").content
    assert asking.get("/models/v1/download/pickle").status_code == 404
    assert asking.get("/models/v99").status_code == 404
    assert asking.get("/models/..%2f..%2fkeys").status_code == 404


def test_lost_weights_are_said_with_the_command_that_brings_them_back(by, window):
    home = window.desk.home
    for path in home.models.glob("*.safetensors"):
        path.unlink()
    page = by(ANA).get("/models/v1")
    assert page.status_code == 200
    assert "aegis models restore v1" in page.text
    assert by(ANA).get("/models/v1/download/safetensors").status_code == 403


def test_two_people_promote_and_one_goes_back(by, window, open_gates):
    home = window.desk.home
    for version in ("v1", "v2"):
        made = by(ANA).post(f"/models/{version}/promote", data={"reason": "best so far"})
        assert made.status_code == 303
        place = made.headers["location"]
        sha256 = hidden(by(BEN).get(place).text, "sha256")
        said = {"act": "confirm", "sha256": sha256}
        assert by(ANA).post(f"{place}/promote", data=said).status_code == 403  # the first person
        assert by(VERA).post(f"{place}/promote", data=said).status_code == 403
        wrong = by(BEN).post(f"{place}/promote", data=said | {"sha256": "0" * 64})
        assert wrong.status_code == 403
        assert in_use(home) == (None if version == "v1" else "v1")
        done = by(BEN).post(f"{place}/promote", data=said)
        assert (done.status_code, done.headers["location"]) == (303, f"/models/{version}")
        assert in_use(home) == version
        assert by(BEN).post(f"{place}/promote", data=said).status_code == 409  # used once
    page = by(ANA).get("/models/v2").text
    used = hidden(page, "instead_of")
    assert by(ANA).post("/models/v2/roll-back", data={"instead_of": used}).status_code == 422
    back = by(ANA).post("/models/v2/roll-back", data={"instead_of": used, "reason": "drift"})
    assert (back.status_code, back.headers["location"]) == (303, "/models/v1")
    again = by(ANA).post("/models/v2/roll-back", data={"instead_of": used, "reason": "drift"})
    assert again.status_code == 409
    assert in_use(home) == "v1"
    acts = by(VERA).get("/models/v1").text
    assert "Rolled back to" in acts
    assert "drift" in acts


def test_a_proposal_waits_can_be_refused_and_is_on_record(by, window, open_gates):
    place = (
        by(ANA).post("/models/v1/promote", data={"reason": "why <b>not</b>"}).headers["location"]
    )
    assert "1 proposal waits" in by(VERA).get("/privacy/proposals").text
    assert "Proposed by ana" in by(BEN).get("/models/v1").text
    page = by(BEN).get(place).text
    assert "why &lt;b&gt;not&lt;/b&gt;" in page
    assert "checked" not in re.findall(r'<input type="radio"[^>]*>', page)[0]  # nothing preselected
    sha256 = hidden(page, "sha256")
    nothing = by(BEN).post(f"{place}/promote", data={"sha256": sha256})
    assert nothing.status_code == 422
    by(BEN).post(f"{place}/promote", data={"act": "refuse", "sha256": sha256, "reason": "no"})
    assert in_use(window.desk.home) is None
    assert "Refused" in by(VERA).get(place).text
    log = by(PEOPLE["auditor"]).get("/audit?run=coordinator&kind=ConfigChanged").text
    assert "refused by ben" in log


def test_a_promotion_needs_a_reason_and_somebody(by, open_gates):
    assert by(ANA).post("/models/v1/promote", data={"reason": "  "}).status_code == 422
    assert by(THIS_MACHINE).post("/models/v1/promote", data={"reason": "x"}).status_code == 403
    assert by(VERA).post("/models/v1/promote", data={"reason": "x"}).status_code == 403
    back = by(THIS_MACHINE).post("/models/v1/roll-back", data={"reason": "x", "instead_of": ""})
    assert back.status_code == 403
    assert by(VERA).get("/privacy/proposals/7").status_code == 404
    assert by(VERA).get(f"/privacy/proposals/{10**30}").status_code == 404


def test_the_next_plan_says_what_it_needs_two_people_for(by, window):
    from aegis.console.coordinator.runs.next_plan import drafted, keep

    desk = window.desk
    said = {"task": "breast_cancer", "trust": "open"}
    keep(desk.home, drafted(said), "ana")
    page = by(BEN).get("/privacy/proposals").text
    assert "would run in open mode" in page
    form = {"kind": "leave_masked", "plan_sha256": hidden(page, "plan_sha256"), "reason": "a test"}
    assert by(ANA).post("/privacy/proposals", data=form).status_code == 403  # not a researcher's
    assert by(BEN).post("/privacy/proposals", data=form | {"reason": ""}).status_code == 422
    assert by(BEN).post("/privacy/proposals", data=form | {"plan_sha256": "0"}).status_code == 400
    place = by(BEN).post("/privacy/proposals", data=form).headers["location"]
    eve = Person("eve", frozenset({Role.PRIVACY_OFFICER}))
    sha256 = hidden(by(eve).get(place).text, "sha256")
    said = {"act": "confirm", "sha256": sha256}
    assert by(eve).post(f"{place}/promote", data=said).status_code == 404  # of another kind
    assert by(eve).post(f"{place}/agree", data=said).status_code == 303
    assert window.door.proposals.find(int(place.rpartition("/")[2])).state == "done"


def test_a_larger_budget_than_ever_at_hospitals_needs_two_people(window, finished_home):
    from aegis.console.coordinator.runs.agreements import largest_budget, needed
    from aegis.plan import Plan

    desk = window.desk
    assert largest_budget(desk, "breast_cancer") is None  # a rehearsal is nobody's budget
    journal = Journal(desk.home.database)
    with journal._transaction():
        journal._db.execute(
            "UPDATE runs SET options=? WHERE run=?",
            (json.dumps({"transport": "flower"}), finished_home.private),
        )
    journal.close()
    before = largest_budget(desk, "breast_cancer")
    plan = desk.reading.plan(finished_home.private)
    assert before == plan.privacy.epsilon_budget
    assert needed(desk, plan) == []
    keys = {"privacy.enabled": True, "privacy.epsilon_budget": 2 * before, "trust": "masked"}
    (one,) = needed(desk, Plan(task="breast_cancer", **keys))
    assert one["kind"] == "raise_budget"
    assert one["payload"]["before"] == before


def test_lineage_follows_every_round_to_the_stored_model(finished_home):
    desk = Desk.of(finished_home.home)
    with page_models.registry_of(desk) as registry:
        version = registry.find("v1")
        found = model_card.lineage(desk, registry.versions(), version)
        shown = page_models.of_version(desk, registry, version, Sight(), 0.5)
    assert found.parent is None
    assert {r: sha for r, sha, _ in found.rounds}[found.chosen] == version.sha256
    for _, sha256, entry in found.rounds[:3]:
        event = desk.reading.events(version.run, entry - 1)[0][2]
        assert (event["event"], event["model_sha256"]) == ("RoundClosed", sha256)
    assert shown["roc"] is not None


def test_without_any_model_there_is_a_sentence(tmp_path):
    from aegis.console.coordinator.app import coordinator_app

    asking = Asking(coordinator_app(Desk.of(Home(tmp_path))), VERA)
    assert "No model has been stored yet" in asking.get("/models").text
    assert asking.get("/models/v1").status_code == 404
    assert "This window has no accounts" in asking.get("/privacy/proposals").text
