"""Every page of both consoles, for every role, at four widths, light and dark, in Chromium.

What is asked of each page stands in ``tests.console.browser.browsing``. One case is one role, one
width and one theme; a case that was cut off goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import aegis.console
import aegis.report
from aegis.console.coordinator.opening import coordinator_window
from aegis.console.hospital.opening import hospital_window
from aegis.console.people.roles import Role
from aegis.plan import load_plan
from aegis.states import Failed
from aegis.store.home import Home
from aegis.store.journal import Journal
from tests.console.browser.browsing import (
    PASSWORD,
    Eyes,
    chromium_started,
    log_in,
    needs_chromium,
    served,
)
from tests.console.browser.pages import pages_of
from tests.console.conftest import finished_home, own_home  # noqa: F401  (fixtures)
from tests.console.coordinator.a_run import Connected
from tests.console.hospital.conftest import north, sample  # noqa: F401  (fixtures)
from tests.console.hospital.test_approving import PRIVATE

pytestmark = [pytest.mark.prove, needs_chromium]

WIDTHS, THEMES = (320, 390, 768, 1440), ("light", "dark")
CASES = [(role, width, theme) for role in Role for width in WIDTHS for theme in THEMES]
HERE = [Role.HOSPITAL_OPERATOR, Role.PRIVACY_OFFICER, Role.VIEWER, Role.ADMIN]
OURS = [(role, width, theme) for role in HERE for width in WIDTHS for theme in THEMES]
ALLOWED = (200, 403)
PAINTED = """() => {
  const found = performance.getEntriesByName("first-contentful-paint");
  return found.length ? found[0].startTime : null;
}"""
GROUND = "() => getComputedStyle(document.body).backgroundColor"
FOCUSED = """() => {
  const one = document.activeElement;
  const where = one.closest("header, main, footer");
  return [one.className, where ? where.tagName : "BODY"];
}"""


def _looks() -> str:
    """A digest of templates, styles and scripts: a figure counts for these, too."""
    digest = hashlib.sha256()
    for package in (aegis.console, aegis.report):
        for path in sorted(Path(package.__file__).parent.rglob("*")):
            if path.suffix in (".html", ".css", ".js"):
                digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


LOOKS = _looks()


@pytest.fixture(scope="module")
def coordinator(finished_home, tmp_path_factory):  # noqa: F811
    """The address of the window on two finished runs, its pages, and a login for each role."""
    import shutil

    root = tmp_path_factory.mktemp("pages") / "data"
    shutil.copytree(finished_home.home.root, root)
    window = coordinator_window(Home(root))
    people(window, Role, "hospital_01")
    filled = {
        "run": finished_home.open, "log": finished_home.open, "number": "1", "entry": "1",
        "version": "v2", "round": "1", "hospital": "hospital_01", "name": "hospital_01",
        "/agents/{name}": "", "/agents/{name}/revoke": "", "/privacy/proposals/{number}": "",
        "/experiments/compare":
            f"/experiments/compare?runs={finished_home.open},{finished_home.private}",
    }  # fmt: skip
    pages = pages_of(window.app, filled)
    pages += [f"{name}?run={finished_home.private}" for name in ("/", "/technical", "/clinical")]
    with served(window) as base:
        yield base, pages


@pytest.fixture(scope="module")
def browser():
    with chromium_started() as found:
        yield found


def people(window, roles, hospital=None):
    """Each role's person is named after it; ``hospital`` is the operator's."""
    for role in roles:
        of = hospital if role is Role.HOSPITAL_OPERATOR else None
        link = window.door.accounts.add(role.value, [role], "a proof", of)
        window.door.accounts.welcome(link, "", PASSWORD)


@contextmanager
def somebody(browser, base, role, width, theme="light") -> Iterator[Eyes]:
    eyes = Eyes.opened(browser, base, width, color_scheme=theme)
    log_in(eyes, role.value)
    yield eyes
    eyes.close()


def looked_at(browser, base, pages, role, width, theme):
    with somebody(browser, base, role, width, theme) as eyes:
        for path in pages:
            eyes.visit(path, status=ALLOWED)
        return {
            "pages": len(pages), "judged by axe": eyes.judged, "faults": eyes.faults,
            "heaviest": eyes.weighs,
        }  # fmt: skip


@pytest.mark.parametrize(("role", "width", "theme"), CASES)
def test_the_coordinators_pages_hold(coordinator, browser, measured, role, width, theme):
    base, pages = coordinator
    found = measured(
        f"{LOOKS} coordinator {role.value} {width} {theme}",
        lambda: looked_at(browser, base, pages, role, width, theme),
    )
    print(found)
    assert found["faults"] == []
    assert found["pages"] >= 15


@pytest.mark.parametrize(("role", "width", "theme"), OURS)
def test_a_hospitals_pages_hold(north, browser, measured, role, width, theme):  # noqa: F811
    def how():
        window = hospital_window(north, north.identity())
        plan = load_plan(None, PRIVATE).plan
        window.desk.decisions.refuses("the run", plan)
        people(window, [role])
        pages = pages_of(window.app, {"sha256": plan.sha256, "/data/{id}": ""})
        with served(window) as base:
            return looked_at(browser, base, pages, role, width, theme)

    found = measured(f"{LOOKS} hospital {role.value} {width} {theme}", how)
    print(found)
    assert found["faults"] == []


@pytest.mark.parametrize("width", [390, 1440])
def test_text_of_twice_the_size_fits(coordinator, browser, measured, width):
    base, pages = coordinator

    def how():
        wide = []
        with somebody(browser, base, Role.RESEARCHER, width) as eyes:
            for path in pages:
                eyes.page.goto(base + path)
                eyes.page.evaluate("document.documentElement.style.fontSize = '200%'")
                over = eyes.page.evaluate("document.documentElement.scrollWidth - innerWidth")
                if over > 0:
                    wide.append(f"{path}: {over} px")
        return wide

    assert measured(f"{LOOKS} 200 % at {width}", how) == []


def test_paper_is_white_whatever_the_screen(coordinator, browser, measured):
    base, pages = coordinator

    def how():
        grounds = {}
        with somebody(browser, base, Role.RESEARCHER, 1440, "dark") as eyes:
            for path in pages:
                eyes.page.goto(base + path)
                eyes.page.emulate_media(media="print", color_scheme="dark")
                grounds[path] = eyes.page.evaluate(GROUND)
                eyes.page.emulate_media(media="screen", color_scheme="dark")
        return grounds

    found = measured(f"{LOOKS} print from dark", how)
    assert set(found.values()) == {"rgb(255, 255, 255)"}


def test_the_first_stop_of_the_tab_key_is_the_way_past_the_menu(coordinator, browser, measured):
    base, pages = coordinator

    def how():
        stops = {}
        with somebody(browser, base, Role.RESEARCHER, 1440) as eyes:
            for path in pages:
                eyes.page.goto(base + path)
                seen = []
                for _ in range(40):
                    eyes.page.keyboard.press("Tab")
                    seen.append(eyes.page.evaluate(FOCUSED))
                stops[path] = [seen[0][0], list(dict.fromkeys(place for _, place in seen))]
        return stops

    for path, (first, places) in measured(f"{LOOKS} tab", how).items():
        assert first == "skip", path
        assert places[:2] == ["BODY", "HEADER"], path
        assert places[2:3] in ([], ["MAIN"], ["FOOTER"]), path


def test_fifty_hospitals_and_a_thousand_runs_are_no_heavier(own_home, browser, measured):  # noqa: F811
    def how():
        home = own_home().home
        plan = load_plan(None, {"task": "breast_cancer"}).plan
        with closing(Journal(home.database)) as journal:
            for number in range(1000):
                run = f"20260101-{number:06d}-breast_cancer-{number:06x}"
                journal.open_run(run, plan.task, plan.to_json(), plan.sha256, {})
                journal.save(run, Failed(run, "it was made up for a proof"), [])
        there = Connected({f"hospital-{number:02d}": number % 7 > 0 for number in range(50)})
        window = coordinator_window(home, there)
        people(window, [Role.AUDITOR])
        with served(window) as base, somebody(browser, base, Role.AUDITOR, 1440) as eyes:
            for path in ("/agents", "/experiments", "/experiments?page=2", "/"):
                eyes.visit(path)
            return {"faults": eyes.faults, "heaviest": eyes.weighs}

    found = measured(f"{LOOKS} many", how)
    print(found)
    assert found["faults"] == []


def test_half_of_the_pages_paint_within_eight_tenths_of_a_second(coordinator, browser, measured):
    base, pages = coordinator

    def how():
        found = {}
        for path in pages:
            with somebody(browser, base, Role.RESEARCHER, 1440) as eyes:
                eyes.page.goto(base + path, wait_until="load")
                eyes.page.wait_for_timeout(200)
                found[path] = eyes.page.evaluate(PAINTED)
        return found

    painted = [one for one in measured(f"{LOOKS} painted", how).values() if one is not None]
    print("first contentful paint, ms: p50", statistics.median(painted), "worst", max(painted))
    assert len(painted) >= 15
    assert statistics.median(painted) <= 800
