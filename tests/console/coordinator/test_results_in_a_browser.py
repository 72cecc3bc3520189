"""The pages about results in Chromium: one sheet of paper, no overflow, nothing blocked or asked of
anybody else."""

from __future__ import annotations

import json
import re
import threading
import time

import pytest
import uvicorn

from aegis.console.coordinator.app import coordinator_app
from aegis.console.coordinator.desk import Desk
from tests.chromium import CHROMIUM, COMPLAINTS, FLAGS
from tests.console.asking import Asking

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


@pytest.fixture
def served(own_home):
    """The window on two finished runs; of the open one's result everything is said that takes
    room on the sheet."""
    home = own_home()
    path = home.home.results(home.open) / "result.json"
    document = json.loads(path.read_text())
    document |= {"status": "stopped", "reason": "somebody asked for it at the console"}
    document["data"]["synthetic"] = True
    groups = [{"group": f"{low} to {low + 4}", "withheld": True} for low in range(20, 60, 5)]
    document["fairness"]["attributes"] += [
        {"attribute": "age", "title": "Age", "groups": groups, "measures": {}},
        {"attribute": "sex", "title": "Sex", "groups": [], "reason": "these data do not record it"},
    ]
    path.write_text(json.dumps(document))
    app = Asking(coordinator_app(Desk.of(home.home)))
    config = uvicorn.Config(
        app, "127.0.0.1", 0, log_level="error", lifespan="off", ws="none", interface="asgi3"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}", home
    server.should_exit = True
    thread.join(10)


def test_the_pages_fit_screens_and_the_sheet_fits_one_page_of_paper(served):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    base, home = served
    pages = [f"{name}?run={run}" for name in ("/clinical", "/technical", "/fairness")
             for run in (home.open, home.private)]  # fmt: skip
    pages += ["/experiments", f"/experiments/compare?runs={home.open},{home.private}"]
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for width, scheme, shown in ((390, "light", pages), (1440, "dark", pages[:3])):
            context = browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme=scheme
            )
            page = context.new_page()
            said: list[str] = []
            asked: list[str] = []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.add_init_script(COMPLAINTS)
            for path in shown:
                page.goto(base + path)
                assert page.evaluate("complaints") == [], path
                assert page.evaluate("document.documentElement.scrollWidth") <= width, path
                if path.startswith("/technical"):
                    assert page.locator(".explore canvas").count() == 1
                if path.startswith("/clinical") and width == 1440:
                    printed = page.pdf(prefer_css_page_size=True)
                    assert len(re.findall(rb"/Type\s*/Page[^s]", printed)) == 1, path
            assert [url for url in asked if not url.startswith(base)] == []
            assert said == []
            context.close()
        browser.close()
