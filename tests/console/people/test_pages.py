"""The pages themselves: coming in, one's own account, and what an administrator does."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis.console.people.pages import inside
from aegis.console.people.rights import Role
from aegis.console.people.second_factor import code
from tests.console.people.conftest import FROM_HERE, PASSWORD, browser, came, sign_in

NEW = "ladder copper mistral nine"


class Page(HTMLParser):
    """What a page is made of, as far as a form is concerned."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.inputs: list[dict[str, str | None]] = []
        self.labels: set[str | None] = set()
        self.ids: list[str | None] = []
        self.attributes: set[str] = set()
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        self.attributes |= set(found)
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "label":
            self.labels.add(found.get("for"))
        if tag == "input" and found.get("type") != "hidden":
            self.inputs.append(found)


def check_page(text: str) -> Page:
    page = Page(text)
    assert page.tags.count("h1") == 1
    assert len(page.ids) == len(set(page.ids))
    assert not {name for name in page.attributes if name == "style" or name.startswith("on")}
    assert "style" not in page.tags
    for one in page.inputs:
        assert one["id"] in page.labels, one
        if one["type"] in ("text", "password"):
            assert one["autocomplete"], one
    return page


@pytest.fixture
def root(door):
    came(door, "root", Role.ADMIN)
    client = browser(door)
    client.token = sign_in(client, "root")
    return client


def send(client, path, **form):
    return client.post(path, data={"csrf": client.token, **form}, headers=FROM_HERE)


def test_every_page_is_plain_labelled_and_without_style(door, root):
    came(door, "ana", Role.RESEARCHER)
    door.proofs.begin_second_factor("root")
    for path in ("/login", "/account", "/account/second-factor", "/people", "/welcome?token=x"):
        check_page(root.get(path).text)
    link = door.accounts.add("ben", [Role.VIEWER], "root")
    check_page(browser(door).get(f"/welcome?token={link}").text)
    check_page(send(root, "/people", name="x y", roles=["viewer"]).text)
    check_page(send(root, "/people/ana/reset").text)


def test_the_first_administrator_comes_in_by_the_link_once(door):
    link = door.accounts.first_admin_link()
    client = browser(door)
    page = client.get(f"/welcome?token={link}")
    assert "first administrator" in page.text
    form = {"token": link, "name": "root", "password": PASSWORD, "again": PASSWORD}
    differ = client.post("/welcome", data=form | {"again": NEW}, headers=FROM_HERE)
    assert (differ.status_code, 'href="#again"' in differ.text) == (422, True)
    weak = client.post("/welcome", data=form | {"password": "short", "again": "short"})
    assert (weak.status_code, 'href="#password"' in weak.text) == (422, True)
    assert "set-cookie" not in weak.headers
    done = client.post("/welcome", data=form, headers=FROM_HERE)
    assert (done.status_code, done.headers["location"]) == (303, "/")
    assert client.get("/").json()["name"] == "root"
    again = browser(door).post("/welcome", data=form | {"name": "eve"}, headers=FROM_HERE)
    assert again.status_code == 422
    assert browser(door).get(f"/welcome?token={link}").status_code == 404


def test_a_page_never_shows_a_password_or_echoes_markup(door):
    for path in ("/login", "/welcome"):
        form = {"name": "<script>x</script>", "password": "sEcReT-sEcReT", "again": "y"}
        answer = browser(door).post(path, data=form, headers=FROM_HERE)
        assert "sEcReT" not in answer.text
        assert "<script>x" not in answer.text


def test_after_the_login_the_page_that_was_asked_for_is_next(door):
    came(door, "ana")
    form = {"name": "ana", "password": PASSWORD}
    for target, where in (
        ("/hospitals/north?run=41", "/hospitals/north?run=41"),
        ("//evil.test", "/"),
        ("https://evil.test", "/"),
        ("/\\evil.test", "/"),
        ("/a\r\nSet-Cookie: x=1", "/"),
        ("javascript:alert(1)", "/"),
    ):
        answer = browser(door).post("/login", data=form | {"next": target}, headers=FROM_HERE)
        assert answer.headers["location"] == where


@given(st.text(max_size=60))
def test_nobody_is_sent_elsewhere(text):
    for target in (text, f"/{text}", f"/ok{text}"):
        found = inside(target)
        assert found.startswith("/")
        assert not found.startswith(("//", "/\\"))
        assert re.fullmatch(r"[!-~]+", found)


def test_whoever_changes_the_password_ends_every_other_way_in(door):
    came(door, "ana")
    here, there = browser(door), browser(door)
    here.token = sign_in(here, "ana")
    sign_in(there, "ana")
    given_token = door.tokens.login("ana")
    wrong = send(here, "/account/password", old="x", new=NEW, again=NEW)
    assert (wrong.status_code, 'href="#old"' in wrong.text) == (422, True)
    same = send(here, "/account/password", old=PASSWORD, new=PASSWORD, again=PASSWORD)
    assert "is the old one" in same.text
    done = send(here, "/account/password", old=PASSWORD, new=NEW, again=NEW)
    assert done.headers["location"] == "/account?said=password"
    assert "is changed" in here.get("/account?said=password").text
    assert there.get("/").status_code == 303
    head = {"Authorization": f"Bearer {given_token.access}"}
    assert there.get("/", headers=head).status_code == 401
    assert door.proofs.check("ana", NEW) is not None


def test_a_stolen_session_does_not_guess_the_password(door):
    came(door, "ana")
    thief = browser(door)
    thief.token = sign_in(thief, "ana")
    said = [send(thief, "/account/password", old=f"x{i}", new=NEW, again=NEW) for i in range(6)]
    assert "too many tries" in said[-1].text
    right = send(thief, "/account/password", old=PASSWORD, new=NEW, again=NEW)
    assert right.status_code == 422
    assert door.proofs.check("ana", NEW) is None


def test_a_second_factor_is_set_up_asked_for_and_taken_away(door, clock):
    came(door, "ana", Role.ADMIN)
    client = browser(door)
    client.token = sign_in(client, "ana")
    assert "Set up a second factor" in client.get("/account").text
    assert client.get("/account/second-factor").status_code == 303  # nothing was begun
    send(client, "/account/second-factor")
    page = client.get("/account/second-factor").text
    secret = re.search(r"secret=([A-Z2-7]+)", page)[1]
    path = "/account/second-factor/confirm"
    assert send(client, path, password=PASSWORD, code="000").status_code == 422
    assert send(client, path, password="x", code=code(secret, clock.now)).status_code == 422
    codes = send(client, path, password=PASSWORD, code=code(secret, clock.now))
    assert len(re.findall(r"<code>[a-z0-9]{4}-[a-z0-9]{4}-[a-z0-9]{4}</code>", codes.text)) == 10
    other = browser(door)
    form = {"name": "ana", "password": PASSWORD}
    assert other.post("/login", data=form, headers=FROM_HERE).status_code == 401
    clock.now += 30
    form["code"] = code(secret, clock.now)
    assert other.post("/login", data=form, headers=FROM_HERE).status_code == 303
    assert send(client, "/account/second-factor/end", password="x").status_code == 422
    assert send(client, "/account/second-factor/end", password=PASSWORD).status_code == 303
    assert door.proofs.check("ana", PASSWORD) is not None


def test_sessions_are_listed_and_ended_but_only_ones_own(door):
    came(door, "ana")
    came(door, "ben")
    ana, ben = browser(door), browser(door)
    ana.token, ben.token = sign_in(ana, "ana"), sign_in(ben, "ben")
    (bens,) = door.sessions.of("ben")
    send(ana, "/account/sessions/end", key=bens.key)
    assert ben.get("/").status_code == 200
    second = browser(door)
    sign_in(second, "ana")
    page = ana.get("/account").text
    keys = re.findall(r'name="key" value="([0-9a-f]{64})"', page)
    assert len(keys) == 1
    send(ana, "/account/sessions/end", key=keys[0])
    assert second.get("/").status_code == 303
    assert ana.get("/").status_code == 200


def test_an_administrator_adds_somebody_who_comes_in(door, root):
    answer = send(root, "/people", name="Ana", roles=["researcher", "auditor"])
    link = re.search(r"https://console\.test/welcome\?token=([\w-]{43})", answer.text)[1]
    assert door.accounts.welcome(link, "", PASSWORD).roles == {Role.RESEARCHER, Role.AUDITOR}
    assert link not in root.get("/people").text
    twice = send(root, "/people", name="ana", roles=["viewer"])
    assert (twice.status_code, "already" in twice.text) == (422, True)


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"name": "a b", "roles": ["viewer"]}, "name"),
        ({"name": "ana"}, "roles"),
        ({"name": "ana", "roles": ["god"]}, "roles"),
        ({"name": "ana", "roles": ["hospital-operator"]}, "hospital"),
        ({"name": "ana", "roles": ["viewer"], "hospital": "x" * 64}, "hospital"),
    ],
)
def test_a_form_that_is_wrong_names_its_field(door, root, form, field):
    answer = send(root, "/people", **form)
    assert answer.status_code == 422
    assert f'href="#{field}"' in answer.text
    assert [one.name for one in door.accounts.everybody()] == ["root"]


def test_an_administrator_changes_disables_and_resets_others_but_not_itself(door, root):
    came(door, "ana")
    send(root, "/people/ana/roles", roles=["researcher"])
    assert door.accounts.find("ana").roles == {Role.RESEARCHER}
    send(root, "/people/ana/disable")
    assert door.accounts.find("ana").disabled
    send(root, "/people/ana/enable")
    assert not door.accounts.find("ana").disabled
    assert "welcome?token=" in send(root, "/people/ana/reset").text
    myself = "root"
    for act in ("roles", "disable", "enable"):
        answer = send(root, f"/people/{myself}/{act}", roles=["viewer"])
        assert (answer.status_code, "own" in answer.text) == (422, True)
        assert send(root, f"/people/nobody/{act}", roles=["viewer"]).status_code == 404


PATHS = ["", "/ana/roles", "/ana/disable", "/ana/enable", "/ana/reset"]


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
def test_nobody_else_administers(door, role):
    came(door, "ana")
    hospital = "north" if role is Role.HOSPITAL_OPERATOR else None
    came(door, "mallory", role, hospital=hospital)
    client = browser(door)
    client.token = sign_in(client, "mallory")
    assert client.get("/people").status_code == 403
    for path in PATHS:
        answer = send(client, f"/people{path}", name="eve", roles=["admin"])
        assert answer.status_code == 403
    assert door.accounts.find("ana").roles == {Role.VIEWER}
    assert door.accounts.find("eve") is None


def test_an_accounts_page_is_not_for_a_token(door):
    came(door, "ana")
    head = {"Authorization": f"Bearer {door.tokens.login('ana').access}"}
    client = browser(door)
    assert client.get("/account", headers=head).status_code == 403
    data = {"old": PASSWORD, "new": NEW, "again": NEW}
    assert client.post("/account/password", data=data, headers=head).status_code == 403
    assert door.proofs.check("ana", PASSWORD) is not None
