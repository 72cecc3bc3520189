"""The API's own description (OpenAPI 3.1): rights, failures, and examples of a real run.

What FastAPI reads off the routes is completed by what holds for all of them. The examples are the
answers of one run on public data, kept in ``examples.json``; ``tools/console_examples.py`` makes
them anew.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from aegis.console.people.roles import RIGHTS, Role
from aegis.console.window.routes import Route, routes_of

METHODS = ("get", "post", "put", "patch", "delete")
FAILURES = {
    "400": "It cannot be done as it was asked",
    "401": "Nobody is logged in, or the token is not good",
    "403": "This role may not",
    "404": "There is nothing of this name, or not for this person",
    "409": "It cannot be done now",
    "413": "The body is larger than 1 MiB",
    "422": "Something in the request is not right; the field is named",
    "429": "Too many requests; Retry-After says how long to wait",
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["value", "need", "way_out"],
            "properties": {
                "value": {"type": "string", "description": "What was wrong"},
                "need": {"type": "string", "description": "What is needed instead"},
                "way_out": {"type": "string", "description": "What to do"},
                "fields": {
                    "type": "array",
                    "description": "Which keys, and why (422)",
                    "items": {
                        "type": "object",
                        "properties": {"field": {"type": "string"}, "reason": {"type": "string"}},
                    },
                },
                "reference": {"type": "string", "description": "A number in the log (500)"},
            },
        }
    },
}


def describes(app: FastAPI) -> None:
    """Has ``app.openapi()`` return the whole description."""

    def whole() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = described(app)
        return app.openapi_schema

    app.openapi = whole  # type: ignore[method-assign]


def described(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
    )
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Failure"] = _ERROR
    found["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    examples = _examples()
    for route in routes_of(app):
        for method in route.methods:
            operation = found["paths"].get(route.path, {}).get(method.lower())
            if operation is not None:
                _complete(operation, route, examples.get(f"{method} {route.path}", {}))
    return found


def _complete(operation: dict[str, Any], route: Route, example: dict[str, Any]) -> None:
    public, answers = route.public, operation["responses"]
    operation["security"] = [] if public else [{"bearer": []}]
    if route.rights:
        operation["x-rights"] = sorted(route.rights)
        operation["x-roles"] = [role for role in Role if route.rights <= RIGHTS[role]]
    answers.pop("422", None)
    codes = {"400", "401", "403", "404", "409", "429"}
    if operation.get("parameters") or operation.get("requestBody"):
        codes |= {"422"}
    if operation.get("requestBody"):
        codes |= {"413"}
    for code in sorted(codes):
        reference = {"$ref": "#/components/schemas/Failure"}
        content = {"application/json": {"schema": reference}}
        answers[code] = {"description": FAILURES[code], "content": content}
    if "response" in example:
        for media in answers.get("200", {}).get("content", {}).values():
            media["example"] = example["response"]
    if "request" in example:
        for media in operation.get("requestBody", {}).get("content", {}).values():
            media["example"] = example["request"]


@cache
def _examples() -> dict[str, Any]:
    path = files("aegis.console.coordinator.api") / "examples.json"
    if not path.is_file():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
