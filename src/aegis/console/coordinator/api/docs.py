"""The API's reference, as a page and as OpenAPI: made by this process of its own routes.

GET /docs            every route: who may, what it takes, what it answers, a line to try it
GET /openapi.json    the same for programs
"""

from __future__ import annotations

import json
import shlex
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from aegis.console.coordinator.api.openapi import METHODS
from aegis.console.people.rights import Person, Right, may
from aegis.console.window.rendering import render

router = APIRouter()
TOKEN = "$AEGIS_TOKEN"  # noqa: S105  (a variable's name)
LONGEST_EXAMPLE = 2_000


@router.get("/openapi.json", include_in_schema=False)
def openapi(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Response:
    return JSONResponse(request.app.openapi())


@router.get("/docs", include_in_schema=False)
def docs(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Response:
    base = str(request.base_url).rstrip("/")
    hospital = request.app.state.window.side.removesuffix("coordinator").removesuffix(" hospital")
    folder = f"$AEGIS_HOME/hospitals/{hospital}" if hospital else "$AEGIS_HOME"
    found = content(request.app.openapi(), base)
    token = f"{folder}/keys/console.token"
    return render(request, "coordinator/docs.html", token_file=token, **found)


def content(described: dict[str, Any], base: str) -> dict[str, Any]:
    """``base`` is the console's own address. Operations in the order of their paths, by tag."""
    schemas = described["components"]["schemas"]
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, operations in sorted(described["paths"].items()):
        for method in METHODS:
            if method in operations:
                one = _operation(path, method, operations[method], schemas, base)
                groups.setdefault(one["group"], []).append(one)
    return {
        "version": described["info"]["version"],
        "groups": sorted(groups.items()),
        "failures": _failures(described),
        "base": base,
    }


def _operation(
    path: str, method: str, said: dict[str, Any], schemas: dict[str, Any], base: str
) -> dict[str, Any]:
    bodies = said.get("requestBody", {}).get("content", {})
    body: dict[str, Any] = next(iter(bodies.values()), {})
    answers = said["responses"].get("200", {}).get("content", {})
    answer: dict[str, Any] = next(iter(answers.values()), {})
    return {
        "id": f"{method}{path}".replace("/", "-").replace("{", "").replace("}", "").strip("-"),
        "group": str((said.get("tags") or ["Other"])[0]).capitalize(),
        "method": method.upper(),
        "path": path,
        "summary": said.get("summary") or "",
        "roles": ", ".join(said.get("x-roles", [])),
        "public": not said.get("security"),
        "rows": [*_parameters(said), *_fields(body.get("schema", {}), schemas)],
        "codes": ", ".join(sorted(said["responses"])),
        "kind": next(iter(answers), ""),
        "example": _text(answer.get("example")),
        "curl": _curl(method, path, body.get("example"), bool(said.get("security")), base),
    }


def _parameters(said: dict[str, Any]) -> list[tuple[str, ...]]:
    """(name, where, kind, what it is) of each; so does ``_fields``."""
    return [
        (one["name"], one["in"], _kind(one.get("schema", {})), one.get("description", ""))
        for one in said.get("parameters", [])
    ]


def _fields(schema: dict[str, Any], schemas: dict[str, Any]) -> list[tuple[str, ...]]:
    found = _resolved(schema, schemas)
    needed = found.get("required", ())
    return [
        (
            name,
            "body, needed" if name in needed else "body",
            _kind(one),
            one.get("description", ""),
        )
        for name, one in found.get("properties", {}).items()
    ]


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    for one in (schema, *schema.get("anyOf", ())):
        if "$ref" in one:
            found: dict[str, Any] = schemas.get(one["$ref"].rsplit("/", 1)[-1], {})
            return found
    return schema


def _kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(str(one) for one in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(one) for one in schema["anyOf"]))
    low, high = schema.get("minimum"), schema.get("maximum")
    span = f", {low} to {high}" if low is not None and high is not None else ""
    return f"{schema.get('type', 'any')}{span}"


def _text(example: Any) -> str:
    if example is None or isinstance(example, str):
        return example or ""
    text = json.dumps(example, indent=2, ensure_ascii=False)
    return text if len(text) <= LONGEST_EXAMPLE else f"{text[:LONGEST_EXAMPLE]}\n..."


def _curl(method: str, path: str, body: Any, secured: bool, base: str) -> str:
    parts = ["curl"] if method == "get" else ["curl", "-X", method.upper()]
    if secured:
        parts += ["-H", f'"Authorization: Bearer {TOKEN}"']
    if body is not None:
        parts += ["-H", shlex.quote("Content-Type: application/json")]
        parts += ["-d", shlex.quote(json.dumps(body))]
    where = path.replace("{", "").replace("}", "").replace("/run", "/RUN")
    return " ".join([*parts, f"{base}{where}"])


def _failures(described: dict[str, Any]) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for operations in described["paths"].values():
        for said in operations.values():
            for code, answer in said["responses"].items():
                if code >= "400":
                    found[code] = answer["description"]
    return sorted(found.items())
