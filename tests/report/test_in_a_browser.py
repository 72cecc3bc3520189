"""The page in Chromium, off the network: its own policy must not block its own style."""

from __future__ import annotations

import pytest

from aegis.report.html import html_report
from tests.chromium import CHROMIUM, COMPLAINTS, FLAGS
from tests.report.findings import with_findings

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.mark.parametrize("width", [360, 390, 768, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_offline_styled_and_without_overflow(
    width, scheme, browser, a_result, tmp_path
):
    path = tmp_path / "report.html"
    path.write_text(html_report(a_result()), encoding="utf-8")
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.add_init_script(COMPLAINTS)
    page.goto(path.as_uri())
    assert asked == [path.as_uri()]
    assert said == []
    assert page.evaluate("complaints") == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(244, 246, 247)", "dark": "rgb(16, 23, 29)"}[scheme]
    context.close()


def test_print_from_dark_is_white_and_opens_what_is_folded(browser, a_result, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(html_report(a_result()), encoding="utf-8")
    context = browser.new_context(color_scheme="dark", offline=True)
    page = context.new_page()
    page.emulate_media(media="print")
    page.goto(path.as_uri())
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("details dl").first.bounding_box()["height"] > 100
    context.close()


OVERLAPPING = """
() => [...document.querySelectorAll('svg')].flatMap(svg => {
  const boxes = [...svg.querySelectorAll('text')].map(t => t.getBoundingClientRect());
  return boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b => a.width && b.width &&
    a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom));
}).length
"""


@pytest.mark.parametrize("width", [360, 390, 768, 1440])
def test_fairness_and_usefulness_fit_every_width_and_no_label_lies_on_another(
    width, browser, a_result, tmp_path
):
    path = tmp_path / "report.html"
    path.write_text(html_report(with_findings(a_result())), encoding="utf-8")
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
    page = context.new_page()
    page.goto(path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("svg.people circle, svg.people path").count() == 100
    assert page.evaluate(OVERLAPPING) == 0
    context.close()
