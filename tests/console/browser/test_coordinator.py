"""The coordinator's window in Chromium, from the first login to a run that is stopped."""

from __future__ import annotations

import json
import re
import time
from contextlib import closing
from datetime import datetime

import pytest

from aegis.console.coordinator.opening import coordinator_window
from aegis.states import Terminated
from aegis.store.journal import Journal
from tests.console.browser.browsing import (
    AXE,
    Eyes,
    chromium_started,
    first_login,
    log_in,
    needs_chromium,
    served,
)
from tests.console.browser.pages import pages_of

pytestmark = [pytest.mark.engine, needs_chromium]

# Twelve hospitals that mask towards each other: a round takes long enough to be watched.
PLAN = """
task: breast_cancer
trust: masked
federated:
  num_clients: 12
  num_rounds: 200
  partition: {by: iid}
privacy: {enabled: false}
training: {solver: gradient, learning_rate: 0.5}
"""
TELL = """() => {
  window.shown = [];
  const look = () => {
    const said = (document.querySelector("h1") || {}).textContent || "";
    const last = shown[shown.length - 1];
    if (!last || last[0] !== said) shown.push([said, Date.now()]);
  };
  const whatever = {subtree: true, childList: true, characterData: true};
  new MutationObserver(look).observe(document.body, whatever);
  look();
}"""


def until(look, seconds=30.0):
    """The first true answer."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"still nothing after {seconds:g} s"
        time.sleep(0.1)
    return found


def test_everything_at_the_coordinators_window(own_home):
    home = own_home()
    window = coordinator_window(home.home)
    filled = {
        "run": home.open, "log": home.open, "number": "1", "entry": "1", "version": "v2",
        "round": "1", "hospital": "hospital_01", "name": "hospital_01",
        "/agents/{name}": "", "/agents/{name}/revoke": "",  # nobody is a member here
        "/privacy/proposals/{number}": "",
        "/experiments/compare": f"/experiments/compare?runs={home.open},{home.private}",
    }  # fmt: skip
    with chromium_started() as browser:
        with served(window) as base:
            link = window.door.accounts.first_admin_link()
            root = Eyes.opened(browser, base, 1440)
            first_login(root, link, "root")
            add_a_researcher(root, browser)
            pages = pages_of(window.app, filled) + [
                f"{name}?run={home.private}" for name in ("/", "/technical", "/clinical")
            ]
            kept = root.page.context.storage_state()
            narrow = Eyes.opened(browser, base, 390, storage_state=kept, color_scheme="dark")
            for path in pages:
                root.visit(path)
                narrow.visit(path)
            faults = root.faults + narrow.faults
            print(f"{len(pages)} pages at 2 widths, axe on {root.judged + narrow.judged}:", end=" ")
            print({word: max(root.weighs[word], narrow.weighs[word]) for word in root.weighs})
            assert faults == []
            assert len(pages) >= 15
            narrow.close()
            every_number_is_the_results(root, home)
            without_scripts_there_are_charts(browser, base, kept)
            root.page.goto(base + "/clinical")
            printed = root.page.pdf(prefer_css_page_size=True)
            assert len(re.findall(rb"/Type\s*/Page[^s]", printed)) == 1
            rita = Eyes.opened(browser, base, 1440)
            log_in(rita, "rita")
            a_run_is_started_watched_and_stopped(rita, home.home)
            assert rita.faults == []
            rita.close()
            root.page.goto(base + "/")
            connection = root.page.locator("#connection")
            until(lambda: connection.text_content() == "Live")
        until(lambda: "Not connected, showing" in connection.text_content())
        port = int(base.rpartition(":")[2])
        with served(coordinator_window(home.home), port):
            until(lambda: connection.text_content() == "Live")
    if not AXE.exists():
        pytest.skip("all but axe holds; axe-core is not here: make .venv/.axe")


def add_a_researcher(root, browser):
    root.page.goto(root.base + "/people")
    root.page.get_by_label("Name").first.fill("rita")
    root.page.get_by_label("researcher:").check()
    root.press("Add, and show the link")
    token = re.search(r"token=([\w-]{43})", root.page.content())[1]
    rita = Eyes.opened(browser, root.base, 390)
    first_login(rita, token, "rita")
    assert rita.faults == []
    assert "rita" in rita.page.content()
    rita.close()


def every_number_is_the_results(root, home):
    """Of the open run: pages, API and result.json say the same."""
    page, run = root.page, home.open
    result = json.loads((home.home.results(run) / "result.json").read_text())
    data = page.evaluate("async () => (await fetch('/api/data')).json()")
    summary, overall = data["summary"], result["global"]
    assert summary["run"] == run
    for name in ("accuracy", "auc", "log_loss", "precision", "recall", "examples"):
        assert summary[name] == overall[name]
    assert [entry["global"] for entry in data["round_history"]] == [
        entry["global"] for entry in result["history"]
    ]
    low, high = overall["ci95"]["auc"]
    right = round(overall["accuracy"] * overall["examples"])
    share = f"{100 * overall['accuracy']:.1f} %"
    auc = f"{overall['auc']:.3f}"
    said = {
        "/": (auc, f"{low:.3f} to {high:.3f}", share, f"{overall['examples']} patients"),
        "/clinical": (f"{right} of {overall['examples']}", share, auc),
        "/fairness": tuple(
            f"{group['group']} {group['accuracy']['of']} {100 * group['accuracy']['value']:.1f} %"
            for group in result["fairness"]["attributes"][0]["groups"]
        ),
        "/models/v2": (share, auc, f"{overall['examples']} test patients"),
        "/technical": tuple(
            f"{entry['round']} {100 * entry['global']['accuracy']:.1f} % "
            f"{entry['global']['auc']:.3f} {entry['global']['log_loss']:.3f}"
            for entry in result["history"]
        ),
    }
    for path, wanted in said.items():
        page.goto(root.base + path)
        text = " ".join(page.locator("main").inner_text().split())
        for one in wanted:
            assert one in text, f"{path} does not say {one!r}"


def without_scripts_there_are_charts(browser, base, kept):
    eyes = Eyes.opened(browser, base, 1440, storage_state=kept, java_script_enabled=False)
    for path in ("/", "/technical"):
        eyes.page.goto(base + path)
        assert eyes.page.locator("svg[role=img]").count() >= 2
    eyes.close()


def a_run_is_started_watched_and_stopped(rita, home):
    page = rita.page
    page.goto(rita.base + "/training")
    page.get_by_text("The plan as a file").click()
    page.get_by_label("What was said, as YAML").fill(PLAN)
    rita.press("Check and keep this file")
    rita.visit("/")
    page.get_by_label("A rehearsal").check()
    rita.press("Start Federation")
    assert page.url == rita.base + "/"
    page.evaluate(TELL)
    page.evaluate("window.loaded = 'once'")
    until(lambda: len(rounds_shown(page)) >= 5 and rounds_shown(page)[-1] >= 9, 60)
    shown = page.evaluate("shown")
    assert page.evaluate("window.loaded") == "once"
    # two clicks
    page.get_by_role("link", name="Stop", exact=True).click()
    rita.press("Stop the run")
    pressed = time.time()
    with closing(Journal.reading(home.database)) as journal:
        run = max(journal.runs())
        until(lambda: journal.run(run).state.__class__ is Terminated)
        until((home.results(run) / "result.json").exists, 90)
        events, state = journal.events(run), journal.run(run).state
    assert state.status == "stopped"
    closed = {
        event["round"]: datetime.fromisoformat(when).timestamp()
        for _, when, event in events
        if event["event"] == "RoundClosed"
    }
    after = [at for at, when in closed.items() if when > pressed]
    assert len(after) <= 1, f"rounds {after} were closed after the press"
    late = sorted(
        at / 1000 - closed[number - 1]
        for said, at in shown
        if (number := number_in(said)) and number - 1 in closed
    )
    print("shown after its event, s:", [f"{one:.2f}" for one in late])
    assert len(late) >= 3
    assert late[len(late) // 2] <= 1.0
    page.goto(rita.base + "/models")
    assert "v3" in page.locator("main").inner_text()
    rita.visit("/")
    assert "was stopped" in page.locator("h1").inner_text()


def number_in(said):
    found = re.search(r"round (\d+)", said)
    return int(found[1]) if found else None


def rounds_shown(page):
    return [n for said, _ in page.evaluate("shown") if (n := number_in(said))]
