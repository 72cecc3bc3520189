"""Every route of a hospital's window needs a right; and what the coordinator has not."""

from __future__ import annotations

from aegis.console.coordinator.app import coordinator_app
from aegis.console.coordinator.desk import Desk
from aegis.console.people.roles import RIGHTS, Person, Role
from aegis.console.window.routes import routes_of
from aegis.store.home import Home
from tests.console.asking import Asking
from tests.console.hospital.conftest import VERA

CLIENT = (
    ("POST", "/client/upload-data/"),
    ("POST", "/client/train/north"),
    ("POST", "/client/aggregate/"),
    ("GET", "/client/predict/north/test"),
    ("GET", "/client/global-model-status"),
    ("GET", "/client/global-model-metrics"),
    ("GET", "/client/history/north"),
    ("POST", "/data"),
)
KNOWN = {"sha256": "0" * 64, "id": "0" * 16, "number": "1", "kind": "csv", "page": "home"}


def filled(path):
    for name, value in KNOWN.items():
        path = path.replace("{" + name + "}", value)
    return path


def test_every_route_declares_a_right_or_is_public(window):
    app = window(VERA).app
    bare = [one.path for one in routes_of(app) if not one.public and not one.rights]
    assert bare == []


def test_no_role_passes_where_it_has_no_right(window):
    app = window(VERA).app
    asked = 0
    for one in routes_of(app):
        if one.public or "{name}" in one.path or one.path.startswith(("/account", "/logout")):
            continue
        for role in Role:
            person = Person(role.value, frozenset({role}), "north")
            for method in set(one.methods) - {"HEAD", "OPTIONS"}:
                if one.rights <= RIGHTS[role] or (method, one.path) == ("GET", "/live/{page}"):
                    continue
                asked += 1
                answer = Asking(app, person).request(method, filled(one.path))
                assert answer.status_code == 403, (method, one.path, role)
    assert asked > 40


def test_nobody_is_let_in_without_being_known(window):
    app = window(VERA).app
    for one in routes_of(app):
        if one.public or one.path.startswith("/people"):
            continue
        for method in set(one.methods) - {"HEAD", "OPTIONS"}:
            answer = Asking(app, None).request(method, filled(one.path))
            assert answer.status_code == 401, (method, one.path)


def test_the_coordinator_has_no_route_that_takes_rows(tmp_path):
    app = coordinator_app(Desk.of(Home(tmp_path / "data")))
    for method, path in CLIENT:
        assert Asking(app).request(method, path).status_code == 404, path


def test_the_root_leads_home_and_every_page_carries_the_hospitals_name(window):
    answer = window(VERA).get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/h")
    for path in ("/h", "/plans", "/budget", "/data", "/results", "/policy", "/nothing"):
        page = window(VERA).get(path).text
        assert "north hospital" in page
        assert "coordinator</span>" not in page


def test_pages_hold_no_inline_style_or_script_and_no_other_host(window):
    import re

    for path in ("/h", "/plans", "/budget", "/data", "/results", "/policy"):
        page = window(VERA).get(path).text
        assert not re.search(r"\sstyle=|\son[a-z]+=|<style|<script(?![^>]*src=)", page)
        assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", page)


def test_the_stream_brings_what_changed_to_whoever_may_act_on_it(window, desk):
    """A first frame at once; what waits for a person differs by what the person may do."""
    import asyncio

    from aegis.console.coordinator.desk import Sight
    from aegis.console.hospital.live import HospitalStream
    from tests.console.hospital.conftest import ANA
    from tests.console.hospital.test_approving import proposed

    proposed(desk)

    async def first(person):
        stream = HospitalStream(desk)
        reading = stream.read("home", None, Sight(" ".join(sorted(person.rights))))
        try:
            return await asyncio.wait_for(anext(reading), 20)
        finally:
            await reading.aclose()

    officer, viewer = (asyncio.run(first(one)) for one in (ANA, VERA))
    for frame in (officer, viewer):
        assert frame.startswith("id: 1\ndata: <hx-partial")
        assert 'hx-target="#home_figures"' in frame
    assert "Decide on a plan" in officer
    assert "Decide on a plan" not in viewer
    assert "A privacy officer here decides on a plan" in viewer
    assert window(VERA).get("/live/nothing").status_code == 404
