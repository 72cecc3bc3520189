"""One table says which role may do what; routes ask it, and hospitals stay apart."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from aegis.console.people.rights import (
    RIGHTS,
    THIS_MACHINE,
    Person,
    Right,
    Role,
    declared,
    may,
    of_hospital,
    rights_of,
    seen,
)
from tests.console.people.conftest import behind, browser, came, sign_in

ROLES = st.frozensets(st.sampled_from(list(Role)))
HOSPITALS = ["north", "south", "north.", "North"]


def test_every_role_reads_and_every_right_is_somebodys():
    assert set(RIGHTS) == set(Role)
    assert all({Right.READ, Right.ACCOUNT} <= rights for rights in RIGHTS.values())
    assert rights_of(Role) == frozenset(Right)


@pytest.mark.parametrize(
    ("right", "roles"),
    [
        (Right.PEOPLE, {Role.ADMIN}),
        (Right.HOSPITALS, {Role.ADMIN}),
        (Right.START, {Role.RESEARCHER}),
        (Right.CONFIGURE, {Role.RESEARCHER}),
        (Right.ASK, {Role.RESEARCHER}),
        (Right.BUDGET, {Role.PRIVACY_OFFICER}),
        (Right.APPROVE_PLAN, {Role.PRIVACY_OFFICER}),
        (Right.UPLOAD, {Role.HOSPITAL_OPERATOR}),
        (Right.PROMOTE, {Role.RESEARCHER, Role.PRIVACY_OFFICER}),
    ],
)
def test_the_rights_that_change_something_are_few_peoples(right, roles):
    assert {role for role in Role if right in RIGHTS[role]} == roles


@given(ROLES, ROLES)
def test_a_role_more_never_takes_a_right_away(some, more):
    assert rights_of(some) <= rights_of(some | more)


@given(ROLES, st.sampled_from([None, *HOSPITALS]), st.lists(st.sampled_from(HOSPITALS)))
def test_whoever_belongs_to_a_hospital_sees_no_other(roles, own, names):
    person = Person("ana", roles, own)
    found = seen(person, names)
    if own is not None:
        assert set(found) <= {own}
    elif roles <= {Role.HOSPITAL_OPERATOR}:
        assert found == ()
    else:
        assert found == tuple(names)
    assert all(of_hospital(person, name) == (name in found) for name in names)


def test_this_machine_may_everything_and_no_account_can_be_called_so():
    from aegis.console.people.accounts import person_name
    from aegis.errors import BadInput

    assert THIS_MACHINE.rights == frozenset(Right)
    with pytest.raises(BadInput):
        person_name(THIS_MACHINE.name)


def test_a_route_tells_which_right_it_asks_for(door):
    app: FastAPI = behind(door)
    asked = {getattr(route, "path", ""): declared(route) for route in app.routes}
    assert asked["/api/control"] == {Right.START}
    assert asked["/forgotten"] == frozenset()
    assert may(Right.START) is may(Right.START)


@pytest.mark.parametrize("role", list(Role))
def test_a_role_without_the_right_is_refused_and_told_who_has_it(door, role):
    came(door, "ana", role, hospital="north" if role is Role.HOSPITAL_OPERATOR else None)
    client = browser(door)
    csrf = sign_in(client, "ana")
    answer = client.post("/api/control", headers={"X-CSRF-Token": csrf})
    if Right.START in RIGHTS[role]:
        assert answer.json() == {"by": "ana"}
    else:
        assert answer.status_code == 403
        assert "researcher" in answer.json()["error"]["value"]


def test_another_hospital_does_not_exist_for_an_operator(door):
    came(door, "ana", Role.HOSPITAL_OPERATOR, hospital="north")
    client = browser(door)
    sign_in(client, "ana")
    assert client.get("/hospitals/north").status_code == 200
    there, nowhere = client.get("/hospitals/south"), client.get("/hospitals/atlantis")
    assert there.status_code == nowhere.status_code == 404
    assert there.text.replace("south", "X") == nowhere.text.replace("atlantis", "X")


def test_a_page_leads_to_the_login_and_a_script_gets_401(door):
    client = browser(door)
    page = client.get("/hospitals/north?run=41")
    assert page.status_code == 303
    assert page.headers["location"] == "/login?next=/hospitals/north%3Frun%3D41"
    assert client.get("/").headers["location"] == "/login"
    script = client.get("/stream", headers={"Accept": "application/json"})
    assert script.status_code == 401
    assert script.headers["www-authenticate"].startswith("Bearer")
    piece = client.get("/stream", headers={"HX-Request": "true"})
    assert (piece.status_code, piece.headers["hx-redirect"]) == (401, "/login")


def test_a_route_that_declares_no_right_is_shut_to_strangers(door):
    client = browser(door)
    assert client.get("/forgotten").status_code == 303
    assert client.get("/nowhere").status_code == 303  # nor do they learn which routes there are
    assert client.get("/health").status_code == 200
    assert client.get("/health/", headers={"Accept": "*/*"}).status_code == 401
