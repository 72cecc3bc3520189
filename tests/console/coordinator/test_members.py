"""Invited, compared, admitted, revoked: each by a form, each on record."""

from __future__ import annotations

import html
import re
import time
from contextlib import closing

import pytest

from aegis.console.coordinator.app import coordinator_app
from aegis.console.coordinator.desk import Desk
from aegis.console.coordinator.opening import coordinator_window
from aegis.console.people.roles import Role
from aegis.errors import CheckFailed
from aegis.identity.certificates import certificate_request
from aegis.identity.enrolment import EnrolRequest
from aegis.identity.identity import Identity
from aegis.identity.join_code import JoinCode
from aegis.store.audit_log import AuditLog
from aegis.store.checkpoint import OWN
from tests.console.asking import PEOPLE, Asking
from tests.operations.here import Here

BROWSER = {"accept": "text/html"}


@pytest.fixture
def here(tmp_path):
    found = Here(tmp_path)
    with found.coordinator:
        yield found


@pytest.fixture
def page(here):
    return Asking(coordinator_app(Desk.of(here.office.home, here.coordinator)), PEOPLE["admin"])


def invited(page, name, **more):
    answer = page.post("/agents/invite", data={"name": name, **more}, headers=BROWSER)
    assert answer.status_code == 200
    text = html.unescape(answer.text)
    found = re.search(r"aegis hospital join (\S+) --hospital (\S+)</pre>", text)
    assert found[2] == name
    assert found[1] not in page.get("/agents").text  # it is shown once
    return JoinCode.read(found[1])


def comes(here, name, code):
    identity = Identity.generate(name)
    _, asked = certificate_request(name)
    here.coordinator.desk.enrol(EnrolRequest.of(code, identity, time.time(), asked).to_bytes())
    return identity.public


def own_log(here):
    with closing(AuditLog(here.office.home.audit_log)) as log:
        return [one.data.decode() for one in log.entries(OWN)]


def test_a_hospital_is_invited_compared_and_admitted_and_one_day_revoked(here, page):
    identity = comes(here, "north", invited(page, "north"))
    waiting = page.get("/agents").text
    assert 'name="name" value="north"' in waiting
    assert identity.fingerprint not in waiting  # it is heard and typed, not copied
    wrong = page.post(
        "/agents/admit", data={"name": "north", "fingerprint": "0" * 40}, headers=BROWSER
    )
    assert wrong.status_code == 422
    assert 'value="north"' in wrong.text
    assert here.office.hospitals() == ()
    heard = identity.fingerprint.upper()
    admitted = page.post("/agents/admit", data={"name": "north", "fingerprint": heard})
    assert admitted.status_code == 303
    assert here.office.hospitals() == ("north",)
    assert "0 of 1 hospital connected" in page.get("/agents").text
    assert identity.fingerprint in page.get("/agents/north").text

    asked = page.get("/agents/north/revoke", headers=BROWSER)
    assert "Revoke north?" in asked.text
    path = "/agents/north/revoke"
    assert page.post(path, data={"reason": "  "}, headers=BROWSER).status_code == 422
    assert here.office.hospitals() == ("north",)
    assert page.post(path, data={"reason": "its laptop was stolen"}).status_code == 303
    assert here.office.hospitals() == ()
    assert "revoked: its laptop was stolen" in page.get("/agents/north").text
    log = own_log(here)
    assert any("north admitted by the admin" in entry for entry in log)
    assert any("north revoked by the admin" in entry for entry in log)


def test_who_brings_a_trusted_code_is_a_member_at_once(here, page):
    comes(here, "south", invited(page, "south", trusted="yes"))
    assert here.office.hospitals() == ("south",)
    again = page.post("/agents/invite", data={"name": "south"}, headers=BROWSER)
    assert again.status_code == 422
    assert "member already" in again.text


@pytest.mark.parametrize("name", ["", "../../etc", "a" * 200, "<script>", "coordinator"])
def test_a_name_that_cannot_be_is_refused(page, name):
    answer = page.post("/agents/invite", data={"name": name}, headers=BROWSER)
    assert answer.status_code == 422
    assert "<script>" not in answer.text


def test_only_administrators_change_members(here):
    app = coordinator_app(Desk.of(here.office.home, here.coordinator))
    for role in ("viewer", "researcher", "auditor", "privacy-officer", "hospital-operator"):
        page = Asking(app, PEOPLE[role])
        for path in ("/agents/invite", "/agents/admit", "/agents/north/revoke"):
            assert page.post(path, data={"name": "north"}).status_code == 403
        assert "Invite a hospital" not in page.get("/agents").text


def test_a_code_that_was_not_issued_opens_nothing(here):
    with pytest.raises(CheckFailed):
        comes(here, "west", JoinCode.new("localhost:8081", here.office.fingerprint))


def test_what_is_changed_about_an_account_stands_in_the_own_log_too(here):
    with coordinator_window(here.office.home, here.coordinator) as window:
        window.door.accounts.add("ana", [Role.VIEWER], "vera")
    assert "account of ana: added with viewer (by vera)" in own_log(here)[-1]
