"""What the guard lets by: who, from where, how often, how much; and what goes out."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
from fastapi import Request

from aegis.console.people.guard import LARGEST_BODY, LARGEST_UPLOAD, MOST_HEADERS, Guard
from aegis.console.people.limits import Rates
from aegis.console.people.rights import Role, still_here
from tests.console.people.conftest import (
    AT,
    FROM_HERE,
    MACHINE,
    PASSWORD,
    TestClient,
    behind,
    browser,
    came,
    sign_in,
)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def ana(door):
    came(door, "ana", Role.RESEARCHER)
    client = browser(door)
    client.token = sign_in(client, "ana")
    return client


def test_this_machines_token_is_somebody_without_a_cookie(door):
    client = browser(door)
    said = client.get("/", headers=bearer(MACHINE)).json()
    assert said == {"name": "this machine", "way": "machine", "csrf": ""}
    assert client.post("/api/control", headers=bearer(MACHINE)).json() == {"by": "this machine"}


@pytest.mark.parametrize(
    "said",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        f"Bearer {MACHINE}x",
        f"Bearer {MACHINE[:-1]}",
        f"Basic {MACHINE}",
        MACHINE,
        "Bearer a.b.c",
        "Bearer " + "e" * 20_000,
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        "Bearer \u00fc",
    ],
)
def test_an_authorization_that_is_not_ours_is_401_even_beside_a_good_cookie(ana, said):
    answer = ana.get("/", headers={"Authorization": said.encode("latin-1")})
    assert answer.status_code == 401
    assert "invalid_token" in answer.headers["www-authenticate"]
    assert "e" * 100 not in answer.text


def test_an_authorization_that_comes_twice_is_refused(door):
    client = browser(door)
    twice = [("Authorization", f"Bearer {MACHINE}"), ("Authorization", "Bearer other")]
    assert client.get("/", headers=twice).status_code == 400


def test_two_cookies_of_the_name_are_none(door, ana):
    good = ana.cookies[door.sessions.cookie]
    planted = "A" * 43
    for pair in ((good, planted), (planted, good)):
        jar = "; ".join(f"{door.sessions.cookie}={value}" for value in pair)
        answer = browser(door).get("/", headers={"Cookie": jar})
        assert answer.status_code == 303


FORGED = [
    ({}, "the token is missing"),
    ({"csrf": ""}, "the token is empty"),
    ({"csrf": "A" * 43}, "the token is another's"),
    ({"CSRF": "own"}, "the field has another name"),
    ({"csrf": ["own", "own"]}, "the field comes twice"),
]


@pytest.mark.parametrize(("form", "why"), FORGED, ids=[why for _, why in FORGED])
def test_a_form_without_the_sessions_token_changes_nothing(ana, form, why):
    own = {
        key: ana.token if value == "own" else [ana.token] * 2 if isinstance(value, list) else value
        for key, value in form.items()
    }
    answer = ana.post("/form", data=own | {"word": "x"}, headers=FROM_HERE)
    assert answer.status_code == 403
    assert "csrf" in answer.text


def test_the_token_is_taken_from_a_form_a_header_or_an_uploads_first_field(door, ana):
    assert ana.post("/form", data={"csrf": ana.token, "word": "x"}).json() == {"word": "x"}
    head = {"X-CSRF-Token": ana.token}
    assert ana.post("/form", data={"word": "x"}, headers=head).json() == {"word": "x"}
    came(door, "ben", Role.HOSPITAL_OPERATOR, hospital="north")
    ben = browser(door)
    token = sign_in(ben, "ben")
    table = {"table": ("a.csv", b"x" * 200_000)}
    assert ben.post("/upload", data={"csrf": token}, files=table).json() == {"bytes": 200_000}
    last = [("table", ("a.csv", b"x" * 20_000)), ("csrf", (None, token))]
    assert ben.post("/upload", files=last).status_code == 403
    assert ben.post("/upload", files=table).status_code == 403


def test_another_sessions_token_or_one_from_before_the_login_does_not_count(door, ana):
    came(door, "ben", Role.RESEARCHER)
    ben = browser(door)
    bens = sign_in(ben, "ben")
    assert ana.post("/form", data={"csrf": bens}).status_code == 403
    before = ana.token
    after = sign_in(ana, "ana")
    assert before != after
    assert ana.post("/form", data={"csrf": before}).status_code == 403
    assert ana.post("/form", data={"csrf": after}).status_code == 200


FOREIGN = [
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "same-origin, cross-site"},
    {"Origin": "https://evil.test"},
    {"Origin": "null"},
    {"Origin": "http://console.test"},
    {"Origin": "https://console.test.evil.test"},
    {"Origin": "https://console.test:8443"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_another_sites_page_can_do_nothing_even_with_the_token(door, ana, headers):
    assert ana.post("/form", data={"csrf": ana.token}, headers=headers).status_code == 403
    form = {"name": "ana", "password": PASSWORD}
    answer = browser(door).post("/login", data=form, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "headers", [{}, FROM_HERE, {"Origin": "https://console.test"}], ids=["none", "chromium", "old"]
)
def test_our_own_page_can(ana, headers):
    answer = ana.post("/form", data={"csrf": ana.token, "word": "x"}, headers=headers)
    assert answer.json() == {"word": "x"}


def test_a_body_is_counted_whatever_its_length_says(door):
    client, head = browser(door), bearer(MACHINE)
    assert client.post("/raw", content=b"x" * LARGEST_BODY, headers=head).json() == {
        "bytes": LARGEST_BODY
    }
    assert client.post("/raw", content=b"x" * (LARGEST_BODY + 1), headers=head).status_code == 413

    def pieces() -> Any:
        for _ in range(40):
            yield b"x" * 2**15

    chunked = client.post("/raw", content=pieces(), headers=head)
    assert chunked.status_code == 413
    assert "content-security-policy" in chunked.headers


@pytest.mark.parametrize("length", ["-1", "1e3", "99999999999999999999", "0x10", "\u0661"])
def test_a_length_that_is_no_number_is_refused(door, length):
    head = bearer(MACHINE) | {"Content-Length": length.encode()}
    answer = browser(door).post("/raw", content=b"", headers=head)
    assert answer.status_code == 413


def test_an_upload_is_counted_while_it_streams(door):
    """The app reads as it comes; what it would have answered is replaced."""
    read = asyncio.run(_stream(door, LARGEST_UPLOAD + 2**20))
    assert read["status"] == 413
    assert read["given"] <= LARGEST_UPLOAD + 2**19
    assert asyncio.run(_stream(door, 2**21)) == {"given": 2**21, "status": 200}


async def _stream(door, size: int) -> dict[str, int]:
    guard = Guard(behind(door), door, uploads=("/raw",))
    left, found = size, {"given": 0, "status": 0}

    async def receive() -> dict[str, Any]:
        nonlocal left
        piece = min(left, 2**19)
        left -= piece
        found["given"] += piece
        return {"type": "http.request", "body": b"x" * piece, "more_body": left > 0}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            found["status"] = message["status"]

    headers = [(b"authorization", f"Bearer {MACHINE}".encode()), (b"host", b"console.test")]
    scope = _scope("POST", "/raw", headers)
    await guard(scope, receive, send)
    return found


def _scope(method: str, path: str, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "scheme": "https", "headers": headers, "client": ("192.0.2.1", 5), "server": ("x", 443),
    }  # fmt: skip


def test_a_stranger_cannot_make_us_read_a_body(door):
    read: list[int] = []

    async def receive() -> dict[str, Any]:
        read.append(1)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 401

    guard = Guard(behind(door), door, uploads=("/upload",))
    asyncio.run(guard(_scope("POST", "/upload", []), receive, send))
    assert not read


def test_a_bomb_of_headers_is_431(door):
    client = browser(door)
    many = {f"X-{number}": "1" for number in range(MOST_HEADERS + 1)}
    assert client.get("/health", headers=many).status_code == 431
    assert client.get("/health", headers={"X-Long": "a" * 40_000}).status_code == 431


def test_a_console_answers_only_to_its_own_names(door):
    client = browser(door, hosts=("console.test", "127.0.0.1", "::1"))
    assert client.get("/health").status_code == 200
    assert client.get("/health", headers={"Host": "[::1]:8081"}).status_code == 200
    for name in ("evil.test", "console.test.evil.test", "", "127.0.0.1.evil.test"):
        assert client.get("/health", headers={"Host": name}).status_code == 421


def test_localhost_stands_for_every_name_of_this_machine_and_no_other(door):
    client = browser(door, hosts=("localhost",))
    for name in ("localhost:8081", "127.0.0.1:8081", "127.0.0.9", "[::1]:8081"):
        assert client.get("/health", headers={"Host": name}).status_code == 200
    for name in ("rebound.test", "localhost.evil.test", "192.168.0.1", ""):
        assert client.get("/health", headers={"Host": name}).status_code == 421


def test_every_answer_has_the_headers_also_a_failure(door, ana):
    for path, status in (("/", 200), ("/nowhere", 404), ("/broken", 500), ("/login", 200)):
        answer = ana.get(path)
        assert answer.status_code == status
        csp = answer.headers["content-security-policy"]
        assert "default-src 'none'" in csp
        assert "unsafe" not in csp
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["strict-transport-security"].startswith("max-age=")
    assert "a value that nobody may see" not in ana.get("/broken").text
    kept = ana.get(ana.get("/login").text.split('rel="stylesheet" href="')[1].split('"')[0])
    assert "immutable" in kept.headers["cache-control"]


def test_without_tls_nobody_is_told_to_use_it_for_ever(door):
    door.secure = False
    assert "strict-transport-security" not in browser(door).get("/health").headers


def test_too_many_requests_wait_by_person_and_others_do_not(door):
    door.rates = dataclasses.replace(Rates(), looking=5, asking=2)
    came(door, "ana", Role.RESEARCHER)
    came(door, "ben", Role.RESEARCHER)
    ana, ben = browser(door), browser(door)
    token = sign_in(ana, "ana")
    sign_in(ben, "ben")
    looked = [ana.get("/").status_code for _ in range(6)]
    assert looked.count(200) == 4  # and the one when she came
    answer = ana.get("/")
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert ben.get("/").status_code == 200
    deeds = [ana.post("/form", data={"csrf": token}).status_code for _ in range(3)]
    assert deeds == [200, 200, 429]


def test_a_page_may_ask_for_news_each_second_and_a_script_twice(ana):
    """600 looks a minute leave room for several pages that poll; the bucket is full at the start,
    so a burst of 60 is a minute of one page."""
    assert {ana.get("/").status_code for _ in range(60)} == {200}


def test_uploads_are_few(door):
    client = browser(door)
    table = {"table": ("a.csv", b"x")}
    codes = [
        client.post("/upload", files=table, headers=bearer(MACHINE)).status_code for _ in range(8)
    ]
    assert codes == [200] * 6 + [429] * 2


def test_bad_tokens_from_one_address_run_out(door):
    door.rates = dataclasses.replace(Rates(), strangers=3)
    client = browser(door)
    codes = [client.get("/", headers=bearer("x")).status_code for _ in range(4)]
    assert codes == [401, 401, 401, 429]
    assert client.get("/", headers=bearer(MACHINE)).status_code == 200


def test_who_is_disabled_or_loses_a_role_is_so_at_the_next_request(door, ana):
    head = {"X-CSRF-Token": ana.token}
    assert ana.post("/api/control", headers=head).status_code == 200
    door.accounts.set_roles("ana", [Role.VIEWER], "root")
    assert ana.post("/api/control", headers=head).status_code == 403
    door.accounts.disable("ana", "root")
    assert ana.get("/").status_code == 303


def test_a_stream_learns_that_its_person_is_gone(door):
    came(door, "ana", Role.RESEARCHER)
    app = behind(door)
    kept: list[Request] = []

    @app.get("/watch")
    def watch(request: Request) -> dict[str, bool]:
        kept.append(request)
        return {"still": still_here(request)}

    client = TestClient(Guard(app, door), AT, follow_redirects=False)
    sign_in(client, "ana")
    assert client.get("/watch").json() == {"still": True}
    door.accounts.set_roles("ana", [Role.VIEWER], "root")
    assert not still_here(kept[0])
    assert client.get("/watch").json() == {"still": True}
    door.sessions.close_all("ana")
    assert not still_here(kept[1])
    given = door.tokens.login("ana")
    client.get("/watch", headers=bearer(given.access))
    assert still_here(kept[2])
    door.tokens.revoke(given.refresh)
    assert not still_here(kept[2])


def test_a_websocket_is_closed(door):
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message["type"])

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.startup"}

    guard = Guard(behind(door), door)
    asyncio.run(guard({"type": "websocket", "headers": []}, receive, send))
    assert said == ["websocket.close"]
