"""Bad input on every route: a 4xx that says why, and nothing is changed by it."""

from __future__ import annotations

import json
import re

import pytest

from aegis.console.coordinator.api.admissible import DEEPEST, admissible
from aegis.console.people.accounts import HERE
from aegis.console.window.routes import routes_of
from aegis.errors import BadInput
from tests.console.asking import Asking, stream_ends

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def asking(window):
    return Asking(window.app)


@pytest.fixture(autouse=True)
def unharmed(window, asking):
    def now():
        config = asking.get("/api/training/config").json()
        people = [one.name for one in window.door.accounts.everybody()]
        return config, people, window.desk.reading.names()

    before = now()
    yield
    assert now() == before


def nested(depth):
    return "[" * depth + "]" * depth


POSTS = ("/api/training/start", "/api/training/config", "/api/training/reset", "/api/control",
         "/api/query", "/api/token", "/api/enrol")  # fmt: skip
BODIES = [
    b"",
    b"\xff\xfe",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"NaN",
    b'{"num_rounds": NaN}',
    b'{"num_rounds": Infinity, "max_rounds": -Infinity, "epsilon": NaN}',
    b'{"epsilon_budget": 1e999}',
    b'{"num_rounds": 1' + b"0" * 400 + b"}",
    b'{"num_rounds": 1' + b"0" * 6000 + b"}",
    b'{"plan": ' + nested(50).encode() + b"}",
    b'{"plan": ' + nested(900).encode() + b"}",
    b'{"plan": ' + nested(60_000).encode() + b"}",
    b'{"plan": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b', "action": "start"}',
    b'{"training": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}",
    b'{"plan": "\\ud800", "action": "start"}',
    b'{"plan": "task: \\u0000", "action": "start"}',
    b'{"command": "start", "task": "\\u0000\\u202e\\u001b[2J"}',
    b'{"task": "\\ud83d"}',
    b'{"\\u0000": 1}',
    b'{"num_rounds": "10", "clear_results": "yes"}',
    b'{"num_rounds": [1], "clear_results": {}}',
    b'{"plan": "a: &x [1]\\nb: *x", "action": "start"}',
    b'{"plan": "!!python/object/apply:os.system [id]", "action": "start"}',
    json.dumps({"plan": "x" * 100_000, "action": "start"}).encode(),
    json.dumps({"plan": {f"k{n}": n for n in range(6000)}, "action": "start"}).encode(),
    json.dumps({"plan": {}, "kind": "count", "where": "age" * 900}).encode(),
    json.dumps({"plan": {}, "kind": "count", "columns": ["x"] * 50, "epsilon": 0}).encode(),
    json.dumps({"plan": {}, "kind": "histogram", "columns": ["\x00"], "bins": 10**9}).encode(),
]


@pytest.mark.parametrize("path", POSTS)
def test_no_body_is_more_than_a_4xx(asking, path):
    for body in BODIES:
        if path in ("/api/training/reset", "/api/training/start") and body in (b"", b"null"):
            continue  # a body may be left out: these do what they do
        answer = asking.post(path, content=body, headers=JSON)
        said = (path, body[:80], answer.status_code, answer.text[:200])
        assert 400 <= answer.status_code < 500, said
        assert set(answer.json()["error"]) >= {"value", "need", "way_out"}, said
        assert "\x1b" not in answer.text


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "a/b; \x7f", ""]
)
def test_a_body_of_another_kind_is_not_taken_for_json(asking, path, kind):
    body = b'{"num_rounds": 3, "command": "start", "clear_results": true}'
    answer = asking.post(path, content=body, headers={"Content-Type": kind})
    assert 400 <= answer.status_code < 500, answer.text


TRICKS = [
    "%2e%2e", "..%2f..%2fkeys%2fconsole.token", "..%5c..%5ckeys", "a%00b", "%252e%252e",
    "a" * 300, "%ff%fe", "%f0%9f%98%80", "%0d%0aX-Y:%20z", "%1b[2J", "' OR 1=1 --", "9" * 400, "",
]  # fmt: skip


def test_no_trick_in_a_path_reaches_a_file(asking, window):
    secret = next(window.desk.home.keys.glob("*")).read_bytes()
    wrong = []
    for route in routes_of(asking.app):
        if "{" not in route.path or route.path.startswith("/live/"):
            continue
        for trick in TRICKS if route.described else TRICKS[:5]:
            path = re.sub(r"\{[^}]+\}", lambda _, trick=trick: trick, route.path)
            for method in route.methods:
                answer = asking.request(method, path)
                done = method != "GET" and 200 <= answer.status_code < 300
                split = "x-y" in answer.headers
                if answer.status_code >= 500 or done or split or secret in answer.content:
                    wrong.append((method, path, answer.status_code))
    assert wrong == []


@pytest.mark.parametrize("trick", TRICKS)
def test_no_trick_in_a_query_is_more_than_a_404(asking, trick):
    for path in ("/api/data", "/api/metrics", "/api/training/round_history", "/"):
        answer = asking.get(f"{path}?run={trick}")
        assert answer.status_code in (200, 404, 422)
        if answer.status_code == 200:
            assert trick == ""


@pytest.mark.parametrize(
    "value",
    [float("nan"), [float("inf")], {"a": -float("inf")}, 2**63, "\0", ["\ud800"], {"\ud800": 1},
     [[]] * 6000],
)  # fmt: skip
def test_what_is_not_admissible_is_named(value):
    with pytest.raises(BadInput):
        admissible(value)


def test_a_body_may_be_as_deep_as_a_plan_needs_and_no_deeper():
    value = 1
    for _ in range(DEEPEST - 1):
        value = [value]
    assert admissible(value) is value
    with pytest.raises(BadInput, match="too deeply"):
        admissible([value])


def test_a_name_that_was_pointed_at_this_machine_opens_no_page(window):
    asking = Asking(window, None)
    assert asking.get("/login").status_code == 200
    assert asking.get("/login", headers={"Host": "rebound.test"}).status_code == 421


def test_a_stream_ends_with_the_token_of_its_reader(window, monkeypatch):
    from aegis.console.coordinator import live

    monkeypatch.setattr(live, "HEARTBEAT_S", 0.2)
    tokens = window.door.tokens
    token = tokens.login(HERE).access
    by = {"Authorization": f"Bearer {token}"}
    stream_ends(window, "/live/training", by, lambda: tokens.revoke(token))
