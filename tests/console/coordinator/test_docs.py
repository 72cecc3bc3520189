"""The API describes itself: every route, with who may, an example and how it fails."""

from __future__ import annotations

import gzip
import json
import re
import shlex

import pytest
from jsonschema_rs import Draft202012Validator

from aegis.console.coordinator.api.openapi import METHODS
from aegis.console.window.routes import routes_of
from tests.console.asking import Asking


@pytest.fixture
def described(window):
    return Asking(window.app).get("/openapi.json").json()


def operations(described):
    return [
        (path, method, said)
        for path, all_of_it in described["paths"].items()
        for method, said in all_of_it.items()
    ]


def test_every_api_route_is_described_with_its_right_and_its_failures(window, described):
    for route in routes_of(window.app):
        if not route.path.startswith(("/api/", "/metrics", "/health")):
            continue
        for method in route.methods:
            said = described["paths"][route.path][method.lower()]
            assert said["summary"], route.path
            assert {"400", "401", "403", "429"} <= set(said["responses"])
            assert (said["security"] == []) is route.public
            if not route.public:
                assert said["x-roles"]
    assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+.*", described["info"]["version"])
    assert set(METHODS) >= {method for _, method, _ in operations(described)}


def test_examples_are_of_the_shape_that_is_described(described):
    seen = 0
    for path, method, said in operations(described):
        for media in said["responses"].get("200", {}).get("content", {}).values():
            if "example" in media and media.get("schema", {}).get("$ref"):
                whole = {**media["schema"], "components": described["components"]}
                Draft202012Validator(whole).validate(media["example"])
                seen += 1
        for media in said.get("requestBody", {}).get("content", {}).values():
            if "example" in media:
                whole = {**media["schema"], "components": described["components"]}
                Draft202012Validator(whole).validate(media["example"])
                seen += 1
        if path.startswith("/api/training") and method == "get":
            assert "example" in said["responses"]["200"]["content"]["application/json"], path
    assert seen >= 10


def test_an_example_has_the_keys_of_todays_answer(window, described):
    asking = Asking(window.app)
    for path in ("/api/data", "/api/metrics", "/api/state", "/api/training/status"):
        example = described["paths"][path]["get"]["responses"]["200"]["content"]
        today = asking.get(path).json()
        assert set(example["application/json"]["example"]) == set(today), path


def test_the_page_has_every_route_with_a_line_to_try_it_and_nothing_from_elsewhere(
    window, described
):
    page = Asking(window.app).get("/docs", headers={"Accept": "text/html"})
    assert page.status_code == 200
    for path, method, _ in operations(described):
        assert f"<strong>{method.upper()}</strong> <code>{path}</code>" in page.text
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page.text)
    assert "<script>" not in page.text
    assert "style=" not in page.text
    assert len(gzip.compress(page.content)) < 15 * 1024
    lines = re.findall(r"<pre[^>]*>(curl [^<]*)</pre>", page.text)
    assert len(lines) == len(operations(described))
    for line in lines:
        words = shlex.split(line.replace("&#39;", "'").replace("&#34;", '"').replace("&amp;", "&"))
        assert words[-1].startswith("http://localhost/")
        if "-d" in words:
            json.loads(words[words.index("-d") + 1])
