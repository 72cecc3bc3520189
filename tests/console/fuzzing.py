"""Requests made of an app's own description, by everybody, and what is wrong with the answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from jsonschema_rs import Draft202012Validator
from schemathesis import GenerationMode

from aegis.console.people.roles import Person
from aegis.console.window.routes import routes_of
from tests.console.asking import Asking


def fuzzed(
    app: Any, people: Mapping[str, Person | None], cases: int, *, number: int = 0
) -> dict[str, Any]:
    """At least ``cases`` requests, shared out over the operations. ``wrong`` lists failures of the
    server, what somebody got without the right, and answers of another shape than described."""
    described = app.openapi()
    schema = schemathesis.openapi.from_dict(described)
    rights = {(m, one.path): one for one in routes_of(app) for m in one.methods}
    operations = [one.ok() for one in schema.get_all_operations()]
    each = -(-cases // (2 * len(operations)))
    found: dict[str, Any] = {"cases": 0, "statuses": {}, "wrong": []}
    for operation in operations:
        route = rights[operation.method.upper(), operation.path]
        names = random.Random(f"{number} {operation.label}")

        def check(case: Any, route: Any = route, names: random.Random = names) -> None:
            who = names.choice(sorted(people))
            person = people[who]
            answer = _sent(Asking(app, person), case)
            found["cases"] += 1
            code = str(answer.status_code)
            found["statuses"][code] = found["statuses"].get(code, 0) + 1
            may = person is not None and route.rights <= person.rights
            wrong = _wrong(described, case, answer, route.public or may)
            if wrong:
                found["wrong"].append([who, case.method, case.path, code, wrong])

        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            _run(operation, check, each, number, mode)
    return found


def _run(
    operation: Any, check: Callable[[Any], None], each: int, number: int, mode: GenerationMode
) -> None:
    def one(case: Any) -> None:
        check(case)

    tried = given(case=operation.as_strategy(generation_mode=mode))(one)
    few = settings(
        max_examples=each,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    with contextlib.suppress(Unsatisfiable):  # nothing can be wrong where nothing is asked
        seed(number)(few(tried))()


def _sent(asking: Asking, case: Any) -> httpx.Response:
    said = case.as_transport_kwargs(base_url="http://localhost")
    said = {key: value for key, value in said.items() if value is not None}
    if isinstance(said.get("data"), bytes | str):
        said["content"] = said.pop("data")
    said.pop("files", None)
    headers = {
        str(key): str(value).encode("latin-1", "replace")
        for key, value in (said.pop("headers", None) or {}).items()
    }
    said.pop("cookies", None)
    method, url = said.pop("method"), said.pop("url")

    async def send() -> httpx.Response:
        road = httpx.ASGITransport(asking, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=road) as client:
            return await client.request(method, url, headers=headers, **said)

    return asyncio.run(send())


def _wrong(described: Any, case: Any, answer: httpx.Response, may: bool) -> str:
    if answer.status_code >= 500:
        return f"failed: {answer.text[:300]}"
    if answer.status_code < 400 and not may:
        return "reached without the right"
    operation = described["paths"][case.operation.path][case.operation.method.lower()]
    said = operation["responses"].get(str(answer.status_code))
    if said is None:
        return f"answers {answer.status_code}, which is not described: {answer.text[:200]}"
    shape = said.get("content", {}).get("application/json", {}).get("schema")
    if shape and answer.content:
        whole = {**shape, "components": described["components"]}
        errors = sorted(Draft202012Validator(whole).iter_errors(json.loads(answer.text)), key=str)
        if errors:
            return f"another shape: {errors[0].message[:300]}"
    return ""
