"""What the consoles answer over HTTP, read from the apps' own OpenAPI description.

``FACTORIES`` names the functions that make the apps. They are called with stand-ins: an app only
notes down what it was given, and uses it when somebody asks.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from tools.tables import code, prose, table

METHODS = ("get", "post", "put", "patch", "delete")
# Who makes an app: title, module, function. Those that are not there are left out.
FACTORIES = (
    ("The coordinator", "aegis.console.coordinator.app", "coordinator_app"),
    ("The coordinator", "aegis.console.coordinator_api", "coordinator_api"),
    ("A hospital", "aegis.console.hospital.app", "hospital_app"),
)


class _Anybody:
    """Stands in for whatever an app is given."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *given: Any, **named: Any) -> Any:
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter(())


def apps() -> list[tuple[str, Any]]:
    """The apps that exist, the first of each title."""
    found: dict[str, Any] = {}
    for title, module, name in FACTORIES:
        try:
            factory = getattr(import_module(module), name)
        except (ModuleNotFoundError, AttributeError):
            continue
        if title not in found:
            wants = inspect.signature(factory).parameters.values()
            given = [_stand_in(one) for one in wants if one.default is inspect.Parameter.empty]
            found[title] = factory(*given)
    return list(found.items())


def _stand_in(parameter: inspect.Parameter) -> Any:
    return "token" if parameter.annotation in ("str", str) else _Anybody()


def operations(app: Any) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of each."""
    paths = app.openapi()["paths"]
    return [
        (method.upper(), path, paths[path][method])
        for path in sorted(paths, key=lambda path: (path.startswith("/api"), path))
        for method in METHODS
        if method in paths[path]
    ]


def _asked(operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    """What a request carries besides its path."""
    named = [
        p["name"] for p in operation.get("parameters", []) if p["in"] in ("query", "path")
    ]
    content = operation.get("requestBody", {}).get("content", {})
    for media in content.values():
        name = media.get("schema", {}).get("$ref", "").rsplit("/", 1)[-1]
        named += list(schemas.get(name, {}).get("properties", {}))
    return ", ".join(code(name) for name in named)


def _what(operation: dict[str, Any]) -> str:
    return prose(operation.get("description") or operation.get("summary", "")).split("\n")[0]


def rest() -> Iterator[str]:
    yield (
        "Answers are JSON unless they are pages. A failure has the fields `value`, `need` and "
        "`way_out` under `error`. Bodies are at most 1 MiB. A program sends "
        "`Authorization: Bearer TOKEN`; the token of the coordinator lies in "
        "`keys/console.token` of its data root."
    )
    for title, app in apps():
        schemas = app.openapi().get("components", {}).get("schemas", {})
        rows = [
            (method, code(path), _what(operation), _asked(operation, schemas))
            for method, path, operation in operations(app)
        ]
        yield f"## {title}\n\n" + table(("", "Path", "What it does", "Takes"), rows)
