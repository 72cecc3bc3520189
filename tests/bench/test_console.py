"""The console's measurement: what its clients hear, and what is made of it."""

from __future__ import annotations

import asyncio

import pytest

from aegis.bench.console import _quantile, _targets, limit, table
from aegis.bench.console_clients import clients
from aegis.console.listening import Listening


async def app(scope, receive, send):
    start = {"type": "http.response.start", "status": 200, "headers": []}
    if scope["path"] == "/stream":
        await send(start)
        for number in range(3):
            body = f"id: {number}\ndata: x\n\n".encode()
            await send({"type": "http.response.body", "body": body, "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.body", "body": b""})
        return
    status = 200 if (b"authorization", b"Bearer token") in scope["headers"] else 401
    await send({**start, "status": status, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})


def heard(port, monkeypatch, token="token"):
    monkeypatch.setattr("aegis.bench.console_clients.WAIT_S", 0.1)
    said = {"url": f"http://127.0.0.1:{port}", "token": token, "pollers": 3, "readers": 2}

    async def run():
        until = asyncio.Event()
        asyncio.get_running_loop().call_later(0.6, until.set)
        return await clients({**said, "path": "/", "stream": "/stream", "seconds": 9}, until)

    return asyncio.run(run())


def test_clients_time_every_answer_and_count_every_frame(monkeypatch):
    with Listening(app, "127.0.0.1", 0, None) as listening:
        found = heard(listening.port, monkeypatch)
        refused = heard(listening.port, monkeypatch, token="another")
    assert len(found["seconds"]) >= 6
    assert all(one > 0 for one in found["seconds"])
    assert (found["failed"], found["streams"], found["frames"]) == (0, 2, 6)
    assert found["bytes"] == 2
    assert refused["failed"] == len(refused["seconds"])


def test_a_target_names_the_page_that_is_nearest_to_its_limit():
    page = {"html_kb": 5.0, "css_kb": 7.0, "js_kb": 19.0, "requests": 7, "fcp_ms": 300}
    pages = [
        {"path": "/", "elements": 900, **page},
        {"path": "/technical", "elements": 1600, **page, "js_kb": 40.0},
    ]
    polled = {"p99_ms": 60.0, "failed": 0}
    found = _targets(polled, {"slower": 0.05}, 2048, {"pages": pages})
    by_name = {one["what"]: one for one in found}
    assert not by_name["p99 of /api/data, ms"]["met"]
    assert by_name["js_kb, heaviest page (/)"]["found"] == 19.0
    assert not by_name["elements, heaviest page (/technical)"]["met"]
    assert limit("/technical", "js_kb", 20.0) == 45.0


@pytest.mark.parametrize(("percent", "value"), [(50, 51), (99, 100), (100, 100)])
def test_a_quantile_is_one_of_the_values(percent, value):
    assert _quantile(list(range(1, 101)), percent) == value
    assert _quantile([], percent) == 0.0


def test_the_table_says_what_was_not_measured():
    page = {"path": "/", "html_kb": 1.0}
    unknown = dict.fromkeys(("css_kb", "js_kb", "requests", "fcp_ms", "elements"))
    document = {
        "hospitals": 3,
        "road": "flower",
        "machine": {"cores": 2, "load": 1.0},
        "polled": {"clients": 50, "answers": 9, "bytes": 9, "rounds": 2}
        | dict.fromkeys(("p50_ms", "p95_ms", "p99_ms"), 1.0),
        "watched": {"rounds": 3, "streams": 200, "alone_s": [1.0], "watched_s": [1.0], "frames": 9},
        "pages": {"pages": [page | unknown], "absent": "no Chromium"},
        "targets": [{"what": "a", "found": 2.0, "wanted": 1.0, "met": False}],
    }
    text = table(document)
    assert "no Chromium" in text
    assert "| a | 2 | 1 | MISSED |" in text
