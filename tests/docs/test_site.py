"""The site is built as `make docs` builds it, opens from a folder, and asks no other host."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.docs.pages import DOCS, ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
RELATIONS = {"stylesheet", "preconnect", "icon", "preload", "prefetch", "dns-prefetch", "manifest"}


def loads(text: str) -> list[str]:
    """What a page fetches by itself; links for readers do not count."""
    found = []
    for tag, said in re.findall(r"<(script|img|iframe|source|video|link)\b([^>]*)>", text):
        at = re.search(r"""\b(?:src|href)=["']?([^"'\s>]+)""", said)
        relation = re.search(r"""\brel=["']?([\w -]+)""", said)
        if at and (tag != "link" or (relation and RELATIONS & set(relation[1].split()))):
            found.append(at[1])
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material", reason="mkdocs-material is not installed")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_in_the_site_and_no_page_asks_another_host(site):
    for page in DOCS.rglob("*.md"):
        name = "index" if page.stem == "README" else page.stem
        assert (site / page.relative_to(DOCS)).with_name(f"{name}.html").exists()
    built = list(site.rglob("*.html"))
    assert len(built) > 50
    for page in built:
        found = loads(page.read_text(encoding="utf-8"))
        assert found
        for target in found:
            assert not re.match(r"(?:\w+:)?//", target), f"{page.name} loads {target}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(['\"]?|@import ['\"])(https?:)?//", sheet.read_text())


def test_a_page_that_asks_another_host_is_found():
    page = '<link rel="icon" href="a.svg"><link href="https://x.test/a.css" rel="stylesheet">'
    page += '<a href="https://x.test"></a><link rel=canonical href="https://x.test/">'
    assert loads(page) == ["a.svg", "https://x.test/a.css"]


@pytest.mark.engine
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_it_opens_and_searches_from_a_folder(site):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        page = browser.new_page()
        asked, errors = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((site / "index.html").as_uri())
        page.click("input.md-search__input")
        page.keyboard.type("ledger")
        page.locator(".md-search-result__item").first.wait_for(timeout=20_000)
        page.goto((site / "tutorial.html").as_uri())
        assert page.locator("h1").inner_text().startswith("Ten minutes")
        browser.close()
    assert not errors
    assert asked
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))]
