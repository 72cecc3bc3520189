"""In a real browser: the cookie is kept on plain loopback, and every form works under the CSP."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aegis.console.listening import Listening
from aegis.console.people.guard import Guard
from aegis.console.people.rights import Role
from tests.console.people.conftest import PASSWORD, behind

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
WATCH = """window.violations = [];
addEventListener("securitypolicyviolation", (e) => window.violations.push(e.violatedDirective));"""


@pytest.mark.engine
@pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium on this machine")
def test_the_first_administrator_comes_in_adds_somebody_and_goes(door):
    playwright = pytest.importorskip("playwright.sync_api")
    door.secure = False
    link = door.accounts.first_admin_link()
    with (
        Listening(Guard(behind(door), door), "127.0.0.1", 0, None) as listening,
        playwright.sync_playwright() as started,
    ):
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.add_init_script(WATCH)

        def seen(path: str) -> str:
            page.goto(f"{listening.url}{path}")
            assert page.evaluate("window.violations") == []
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            return page.content()

        def press(word: str) -> None:
            page.get_by_role("button", name=word, exact=True).click()

        seen(f"/welcome?token={link}")
        page.get_by_label("Your name").fill("root")
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_label("The same password again").fill(PASSWORD)
        press("Set the password and sign in")
        (cookie,) = page.context.cookies()
        assert cookie["name"] == "__Host-aegis"
        assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
        seen("/people")
        page.get_by_label("Name").first.fill("ana")
        page.get_by_label("researcher:").check()
        press("Add, and show the link")
        token = re.search(r"token=([\w-]{43})", page.content())[1]
        assert door.accounts.welcome(token, "", PASSWORD).roles == {Role.RESEARCHER}
        seen("/account")
        press("Set up a second factor")
        assert "second-factor" in page.url
        seen("/account")
        page.get_by_role("button", name="Sign out everywhere").click()
        assert page.url.endswith("/login")
        page.get_by_label("Name").fill("ana")
        page.get_by_label("Password").fill("wrong wrong wrong")
        press("Sign in")
        assert page.get_by_role("alert").is_visible()
        page.get_by_label("Password").fill(PASSWORD)
        press("Sign in")
        assert '"name":"ana"' in page.content()
        browser.close()
