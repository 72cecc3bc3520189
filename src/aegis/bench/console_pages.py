"""What a browser loads of each page, and when it first shows something, in real Chromium."""

from __future__ import annotations

import gzip
import http.client
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from aegis.console.coordinator.app import GROUPS
from aegis.report.pdf import chromium

LOADS = 3
BUDGETS: Mapping[str, float] = {
    "html_kb": 15.0,
    "css_kb": 8.0,
    "js_kb": 20.0,
    "requests": 8,
    "fcp_ms": 800.0,
    "elements": 1500,
}
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PAINTED = (
    "() => { const found = performance.getEntriesByName('first-contentful-paint');"
    " return [found.length ? found[0].startTime : null,"
    " document.getElementsByTagName('*').length]; }"
)


def pages(url: str, token: str, told: Callable[[str], None]) -> dict[str, Any]:
    """``pages`` one entry each. Without a browser the weight of the HTML alone; ``absent`` says
    why."""
    paths = [path for _, group in GROUPS for path, _ in group]
    there = [path for path in paths if _asked(url, token, path)[0] == 200]
    browser = chromium()
    if browser is None:
        return {"pages": [_weighed(url, token, path) for path in there], "absent": "no Chromium"}
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        found = [_weighed(url, token, path) for path in there]
        return {"pages": found, "absent": "playwright is not installed"}
    with sync_playwright() as engine:
        running = engine.chromium.launch(executable_path=browser, args=list(FLAGS))
        found = []
        for path in there:
            told(f"the page {path} in Chromium")
            loads = [_loaded(running, url, token, path) for _ in range(LOADS)]
            first = dict(loads[0])
            first["fcp_ms"] = median(one["fcp_ms"] for one in loads)
            found.append(_weighed(url, token, path) | first)
        running.close()
    return {"pages": found, "absent": None}


def _loaded(browser: Any, url: str, token: str, path: str) -> dict[str, Any]:
    context = browser.new_context(
        extra_http_headers={"Authorization": f"Bearer {token}"},
        viewport={"width": 1440, "height": 900},
    )
    page = context.new_page()
    answers: list[Any] = []
    page.on("response", lambda answer: answers.append(answer))
    try:
        page.goto(url + path, wait_until="load")
        for _ in range(100):  # it is told a little after it happened
            painted, elements = page.evaluate(_PAINTED)
            if painted is not None:
                break
            page.wait_for_timeout(50)
        kinds: dict[str, float] = {"css_kb": 0.0, "js_kb": 0.0}
        for answer in answers:
            kind = answer.headers.get("content-type", "")
            name = "css_kb" if "css" in kind else "js_kb" if "javascript" in kind else None
            if name is not None:
                kinds[name] += len(gzip.compress(answer.body())) / 1024
        return {**kinds, "requests": len(answers), "fcp_ms": painted, "elements": elements}
    finally:
        context.close()


def _weighed(url: str, token: str, path: str) -> dict[str, Any]:
    _, body = _asked(url, token, path)
    unknown = dict.fromkeys(("css_kb", "js_kb", "requests", "fcp_ms", "elements"))
    return {"path": path, "html_kb": len(gzip.compress(body)) / 1024, **unknown}


def _asked(url: str, token: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/html"}
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
