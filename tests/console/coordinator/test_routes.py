"""Every route of the window, every role, and everybody's objects: who gets what, as one table.

The table is read off the app itself, so a route that declares no right, or a path of which nobody
has said what stands in its braces, fails here.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace

import pytest

from aegis.console.people.accounts import HERE
from aegis.console.people.roles import RIGHTS, Role
from aegis.console.people.sessions import csrf_of
from aegis.console.window.routes import routes_of
from tests.console.asking import PEOPLE, Asking, belongs
from tests.console.coordinator.conftest import MACHINE

OWN, OTHERS = "hospital_01", ("hospital_02", "hospital_03", "hospital_04")


@pytest.fixture
def app(window):
    return window.app


def signed_in(window, role, hospital=None):
    """The headers of somebody of that role, in a browser."""
    name = account(window, role, hospital)
    given = window.door.sessions.open(name)
    return {"Cookie": f"{window.door.sessions.cookie}={given}", "X-CSRF-Token": csrf_of(given)}


def account(window, role, hospital=None):
    name = f"a-{role.value}-{hospital or 'x'}".replace("_", "-")
    if window.door.accounts.find(name) is None:
        link = window.door.accounts.add(name, [role], HERE, hospital)
        window.door.accounts.welcome(link, "", "kettle orbit walnut pier")
    return name


def filled(path, finished_home):
    """What stands in each brace. A new name in braces is an entry here, or this fails."""
    known = {
        "run": finished_home.open,
        "page": "overview",
        "digest": "0" * 12,
        "log": finished_home.open,
        "number": "1",
        "kind": "card",
        "hospital": OWN,
        "entry": "1",
        "version": "v1",
        "round": "1",
    }
    if path.startswith("/people/{name}"):
        known["name"] = "nobody"
    elif path.startswith("/models/{name}"):
        known["name"] = "v1"
    elif path.startswith("/technical/files/{name}"):
        known["name"] = "result.json"
    else:
        known["name"] = "aegis.css"
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: known[found[1]], path)


def test_every_route_declares_its_right_or_is_listed_as_public(app):
    routes = list(routes_of(app))
    assert len(routes) > 40
    forgotten = [(one.path, one.methods) for one in routes if not one.rights and not one.public]
    assert forgotten == []


def test_no_public_route_shows_a_runs_name(app, finished_home):
    nobody = Asking(app, None)
    for route in routes_of(app):
        if route.public and "GET" in route.methods and "token" not in route.path:
            said = nobody.get(filled(route.path, finished_home)).text
            assert finished_home.open not in said


SAME = (Role.VIEWER, Role.AUDITOR, Role.PRIVACY_OFFICER)  # their pages are the researcher's


@pytest.mark.parametrize("role", list(Role))
def test_a_role_reaches_the_routes_whose_right_it_has_and_no_other(window, finished_home, role):
    hospital = OWN if role is Role.HOSPITAL_OPERATOR else None
    header = signed_in(window, role, hospital)
    asking = Asking(window, None)
    wrong = []
    for route in routes_of(window.app):
        if route.public or route.path.startswith("/live/"):
            continue
        path, allowed = filled(route.path, finished_home), route.rights <= RIGHTS[role]
        for method in route.methods:
            if allowed and (method != "GET" or (role in SAME and not route.described)):
                continue
            answer = asking.request(method, path, headers=header)
            refused = answer.status_code == 403 and "may not" in answer.text
            if refused == allowed or answer.status_code in (401, 500):
                wrong.append((method, path, answer.status_code))
    assert wrong == []


def forged(window):
    """Tokens that none of this window's keys has signed."""

    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    good = window.door.tokens.access("a-admin-x")
    head, body, signature = good.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    late = part({**claims, "exp": 1})
    return [
        "",
        "x",
        MACHINE[:-1],
        f"{part({'alg': 'none', 'typ': 'JWT'})}.{body}.",
        f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{body}.{signature}",
        f"{head}.{part({**claims, 'sub': 'a-admin-x'})}.{signature[:-4]}AAAA",
        f"{head}.{late}.{signature}",
        f"{head}.{body}.",
    ]


def test_nobody_and_no_forged_token_reaches_anything(window, finished_home):
    account(window, Role.ADMIN)
    asking = Asking(window, None)
    for route in routes_of(window.app):
        if route.public:
            continue
        path = filled(route.path, finished_home)
        for method in route.methods:
            answer = asking.request(method, path)
            assert answer.status_code == 401, (method, path)
            page = asking.request(method, path, headers={"Accept": "text/html"})
            assert page.status_code in (303, 401), (method, path)
    for token in forged(window):
        for path in ("/", "/api/data", "/api/state", f"/api/results/{finished_home.open}"):
            for header in (
                {"Authorization": f"Bearer {token}"},
                {"Cookie": f"__Host-aegis={token}"},
            ):
                answer = asking.get(path, headers=header)
                assert answer.status_code == 401, (path, token)


def named(text, hospitals):
    return [one for one in hospitals if re.search(rf"(?<!\w){one}(?!\w)", text)]


API = ("/api/data", "/api/metrics", "/api/training/round_history", "/api/state", "/api/models",
       "/api/training/logs", "/api/training/status", "/metrics", "/api/results/{run}")  # fmt: skip


@pytest.mark.parametrize("which", ["private", "open"])
def test_of_another_hospital_its_people_read_nothing_on_any_route(app, finished_home, which):
    run = getattr(finished_home, which)
    for person in (
        belongs(OWN, Role.HOSPITAL_OPERATOR),
        belongs(OWN, Role.RESEARCHER),
        belongs(OWN, Role.VIEWER),
        replace(PEOPLE["hospital-operator"], hospital=None),
    ):
        asking = Asking(app, person)
        hidden = OTHERS if person.hospital else (OWN, *OTHERS)
        for path in API:
            asked = path.replace("{run}", run)
            if path in ("/api/data", "/api/metrics", "/api/training/round_history"):
                asked += f"?run={run}"
            answer = asking.get(asked)
            if answer.status_code != 403:
                assert answer.status_code == 200, asked
                assert named(answer.text, hidden) == [], (asked, person)
    own = Asking(app, belongs(OWN)).get(f"/api/results/{run}").json()
    assert [one["name"] for one in own["hospitals"]] == [OWN]


def test_who_belongs_to_no_hospital_and_is_no_operator_reads_the_file_itself(app, finished_home):
    path = finished_home.home.results(finished_home.open) / "result.json"
    answer = Asking(app, PEOPLE["viewer"]).get(f"/api/results/{finished_home.open}")
    assert answer.content == path.read_bytes()
