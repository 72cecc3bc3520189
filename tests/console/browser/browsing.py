"""A real Chromium that keeps an eye on whatever a page does.

Every page that is visited is asked the same: nothing was blocked by the policy, nothing was asked
of anybody else, nothing was complained about, nothing sticks out, one heading says what the page
is, it weighs little, and axe finds no fault where axe is at hand (``make .venv/.axe``).
"""

from __future__ import annotations

import gzip
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from aegis.console.listening import Listening
from aegis.console.people.passwords import Passwords
from aegis.report.pdf import chromium

CHROMIUM = chromium()
AXE = Path(sys.prefix) / "axe" / "axe.min.js"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PASSWORD = "kettle orbit walnut pier"
KB = 1024
MOST_HTML, MOST_CSS, MOST_JS, MOST_JS_TO_EXPLORE = 15 * KB, 8 * KB, 20 * KB, 45 * KB
MOST_REQUESTS, MOST_ELEMENTS = 8, 1500

WATCH = """
window.blocked = [];
addEventListener("securitypolicyviolation", (e) =>
  blocked.push(e.violatedDirective + " " + e.blockedURI));
"""
LOOK = """() => ({
  blocked: window.blocked,
  wide: document.documentElement.scrollWidth - innerWidth,
  headings: document.querySelectorAll("h1").length,
  elements: document.querySelectorAll("*").length,
})"""
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]
JUDGE = """async (tags) => (await axe.run({runOnly: tags, resultTypes: ["violations"]}))
  .violations.map((one) => one.id + ": " + one.nodes.map((n) => n.target.join(" ")).join(", "))"""

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@contextmanager
def chromium_started() -> Iterator[Any]:
    """A browser without a window; skips where Playwright is not installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def served(window: Any, port: int = 0) -> Iterator[str]:
    """The address of a window whose passwords are cheap and where nobody waits."""
    from dataclasses import replace

    many = 10**9
    door = window.door
    door.rates = replace(door.rates, looking=many, asking=many, strangers=many, proving=many)
    door.accounts.passwords = Passwords((1, 8, 1))
    with window, Listening(window, "127.0.0.1", port, None) as listening:
        yield listening.url


@dataclass
class Eyes:
    """One page of a browser's context. ``faults`` gathers what went wrong on any visit."""

    page: Any
    base: str
    faults: list[str] = field(default_factory=list)
    weighs: dict[str, int] = field(default_factory=dict)
    judged: int = 0
    _asked: list[str] = field(default_factory=list)
    _said: list[str] = field(default_factory=list)

    @classmethod
    def opened(cls, browser: Any, base: str, width: int, **said: Any) -> Eyes:
        context = browser.new_context(viewport={"width": width, "height": 900}, **said)
        page = context.new_page()
        found = cls(page, base)
        page.add_init_script(WATCH)
        page.on("request", found._ask)
        page.on("framenavigated", found._arrived)
        page.on("console", lambda message: found._heard(message))
        page.on("pageerror", lambda error: found._said.append(str(error)))
        return found

    def _arrived(self, frame: Any) -> None:
        self._asked[:] = [frame.url]  # what the last page asked to the end is not this one's

    def _ask(self, request: Any) -> None:
        if not request.url.startswith(("data:", "blob:")):
            self._asked.append(request.url)
            if urlsplit(request.url).netloc != urlsplit(self.base).netloc:
                self.faults.append(f"asked {request.url}")

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self._said.append(message.text)

    def close(self) -> None:
        self.page.context.close()

    def press(self, word: str, **said: Any) -> None:
        self.page.get_by_role("button", name=word, exact=True, **said).click()

    def visit(self, path: str, *, status: tuple[int, ...] = (200,), judge: bool = True) -> None:
        """Go there and look; what is wrong is added to ``faults``."""
        self.page.wait_for_load_state("load")
        self._said.clear()
        answer = self.page.goto(self.base + path, wait_until="load")
        if answer.status not in status:
            self.faults.append(f"{path}: status {answer.status}")
        elif answer.status >= 400:  # Chromium itself complains of it
            self._said[:] = [said for said in self._said if "the server responded" not in said]
        html = len(gzip.compress(answer.body(), 6))
        self.look(path, html, judge)

    def look(self, path: str, html: int = 0, judge: bool = True) -> None:
        """At the page that is open; ``html`` is what it weighed."""
        width = self.page.viewport_size["width"]
        found = self.page.evaluate(LOOK)
        asked = self._asked
        css, js = _weight(asked, ".css"), _weight(asked, ".js")
        explores = any("uplot" in url for url in asked)
        wrong = [f"blocked {one}" for one in found["blocked"]]
        wrong += [f"said {text}" for text in self._said]
        if found["wide"] > 0:
            wrong.append(f"{found['wide']} px too wide")
        if found["headings"] != 1:
            wrong.append(f"{found['headings']} h1")
        most = MOST_JS_TO_EXPLORE if explores else MOST_JS
        for word, size, limit in (
            ("HTML", html, MOST_HTML),
            ("CSS", css, MOST_CSS),
            ("JS", js, most),
            ("requests", len(asked), MOST_REQUESTS),
            ("elements", found["elements"], MOST_ELEMENTS),
        ):
            if size > limit:
                wrong.append(f"{word} {size} beyond {limit}")
            if size > self.weighs.get(word, -1):
                self.weighs[word] = size
        if judge and AXE.exists():
            wrong += self.judge()
        self.faults += [f"{path} at {width}: {one}" for one in wrong]
        self._said.clear()

    def judge(self) -> list[str]:
        """What axe finds wrong."""
        self.page.evaluate(_axe())
        self.judged += 1
        found: list[str] = self.page.evaluate(JUDGE, TAGS)
        return found


@cache
def _axe() -> str:
    return AXE.read_text(encoding="utf-8")


def _weight(asked: list[str], end: str) -> int:
    return sum(_gzipped(url) for url in asked if urlsplit(url).path.endswith(end))


@cache
def _gzipped(url: str) -> int:
    if urlsplit(url).hostname != "127.0.0.1":
        return 0
    with urllib.request.urlopen(url, timeout=10) as answer:
        return len(gzip.compress(answer.read(), 6))


def first_login(eyes: Eyes, link: str, name: str) -> None:
    """By the link that is shown once."""
    eyes.visit(f"/welcome?token={link}")
    page = eyes.page
    if page.get_by_label("Your name").count():
        page.get_by_label("Your name").fill(name)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The same password again").fill(PASSWORD)
    eyes.press("Set the password and sign in")


def log_in(eyes: Eyes, name: str) -> None:
    page = eyes.page
    page.goto(eyes.base + "/login")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    eyes.press("Sign in")
