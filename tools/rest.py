"""What the consoles answer over HTTP, read from the apps themselves.

An app is made for an empty data root and an invented hospital; nobody is asked anything. What
OpenAPI has is listed with what it takes, everything else (pages, parts of pages) by its address.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools.tables import code, prose, table

METHODS = ("get", "post", "put", "patch", "delete")


@contextmanager
def apps() -> Iterator[dict[str, Any]]:
    """The coordinator's app and a hospital's, by their titles."""
    from aegis.console.coordinator.app import coordinator_app
    from aegis.console.coordinator.desk import Desk
    from aegis.console.hospital.app import hospital_app
    from aegis.console.hospital.desk import HospitalDesk
    from aegis.store.home import Home

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        desk = Desk.of(Home(root / "coordinator").prepare())
        yield {
            "The coordinator": coordinator_app(desk),
            "A hospital": hospital_app(HospitalDesk(_hospital(root))),
        }


def _hospital(root: Path) -> Any:
    """The folder of a hospital on public data, which needs no file."""
    from aegis.operations.hospital.folder import HospitalFolder, Registered, init, policy_text
    from aegis.operations.hospital.policies import strict

    folder = HospitalFolder(root / "hospitals" / "north", "north")
    init(folder, Registered("breast_cancer"), policy_text("north", strict("breast_cancer")))
    return folder


def operations(app: Any) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of each that OpenAPI has, in the order of the paths."""
    paths = app.openapi()["paths"]
    return [
        (method.upper(), path, paths[path][method])
        for path in sorted(paths)
        for method in METHODS
        if method in paths[path]
    ]


def pages(app: Any) -> list[tuple[str, str, str]]:
    """Methods, path and rights of all the others."""
    from aegis.console.window.routes import routes_of

    return [
        (
            ", ".join(method for method in route.methods if method != "HEAD"),
            route.path,
            "anybody" if route.public else ", ".join(sorted(r.value for r in route.rights)),
        )
        for route in sorted(routes_of(app), key=lambda route: (route.path, route.methods))
        if not route.described and not route.path.startswith(("/static", "/favicon"))
    ]


def said(operation: dict[str, Any]) -> str:
    """What the route says of itself: its summary, where it is not FastAPI's own spelling of the
    function's name, and its docstring; empty where there is neither."""
    summary = operation.get("summary", "")
    made_up = summary.lower().replace(" ", "_")
    if operation.get("operationId", "").startswith(f"{made_up}_"):
        summary = ""
    more = prose(operation.get("description") or "").split("\n")[0]
    return ". ".join(part.rstrip(".") for part in (summary, more) if part)


def _asked(operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    """What a request carries besides its path."""
    named = [p["name"] for p in operation.get("parameters", []) if p["in"] == "query"]
    content = operation.get("requestBody", {}).get("content", {})
    for media in content.values():
        name = media.get("schema", {}).get("$ref", "").rsplit("/", 1)[-1]
        named += list(schemas.get(name, {}).get("properties", {}))
    return ", ".join(code(name) for name in named)


def rest() -> Iterator[str]:
    yield (
        "Answers are JSON unless they are pages. A failure has the fields `value`, `need` and "
        "`way_out` under `error`. Bodies are at most 1 MiB. A program sends "
        "`Authorization: Bearer TOKEN`; the token of this machine lies in `keys/console.token` of "
        "the data root."
    )
    with apps() as found:
        for title, app in found.items():
            schemas = app.openapi().get("components", {}).get("schemas", {})
            rows = [
                (method, code(path), said(operation), _asked(operation, schemas))
                for method, path, operation in operations(app)
            ]
            others = [(method, code(path), right) for method, path, right in pages(app)]
            yield f"## {title}\n\n" + table(("", "Path", "What it does", "Takes"), rows)
            yield f"### {title}: pages\n\n" + table(("", "Path", "Right"), others)
    yield rights()


def rights() -> str:
    from aegis.console.people.roles import RIGHTS, Right, Role

    rows = [
        (code(right.value), ", ".join(role.value for role in Role if right in RIGHTS[role]))
        for right in Right
    ]
    return (
        "## Rights and roles\n\nA person has roles, and may do what any of them may. A person of a "
        "hospital sees, of figures that exist once for each hospital, its own only.\n\n"
        + table(("Right", "Roles"), rows)
    )
