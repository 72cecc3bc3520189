"""Pages from templates: one look for the coordinator's window and every hospital's.

The report's macros and partials are the console's too, so a curve or a table looks the same on a
page and in a report. A template never sees more than it is given: an unknown name is an error, and
everything is escaped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from aegis.console.window import formats
from aegis.version import __version__

THEMES = ("light", "dark")
SHEETS = ("console.css", "trust.css")
Group = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Window:
    """``side`` stands beside the brand on every page; ``groups`` is the navigation, as (heading,
    (path, title)...), ``foot`` further links. Lives in ``app.state.window``."""

    side: str
    groups: Sequence[Group]
    home: str = "/"
    simulated: bool = False
    foot: Sequence[tuple[str, str]] = ()


@cache
def environment() -> Environment:
    found = Environment(
        auto_reload=False,
        loader=ChoiceLoader(
            [PackageLoader("aegis.console", "templates"), PackageLoader("aegis.report")]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(formats.FILTERS)
    found.globals["asset"] = asset
    for name in ("ui", "chart", "console"):  # everywhere, so that a fragment has them too
        found.globals[name] = found.get_template(f"macros/{name}.html").module
    return found


def render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """The page ``template``, with what every page shows around it."""
    return HTMLResponse(text(request, template, **values), status_code=status)


def text(request: Request, template: str, **values: Any) -> str:
    window: Window = request.app.state.window
    theme = request.cookies.get("theme", "")
    query = f"?{request.url.query}" if request.url.query else ""
    person = request.scope.get("state", {}).get("person")
    around: dict[str, Any] = {
        "window": window,
        "here": request.url.path,
        "back": request.url.path + query,
        "theme": theme if theme in THEMES else "",
        "person": person,
        "csrf": getattr(person, "csrf", ""),
        "version": __version__,
        "live": None,
    }
    return environment().get_template(template).render(around | values)


def fragment(template: str, **values: Any) -> str:
    """A partial by itself, as the stream sends it."""
    return environment().get_template(template).render(values)


@cache
def asset(name: str) -> str:
    """The path of a static file, with its digest so that it may be kept for ever. Raises
    ``KeyError`` for a file that is not there."""
    data = static_file(name)
    if data is None:
        raise KeyError(name)
    return f"/static/{hashlib.sha256(data).hexdigest()[:12]}/{name}"


@cache
def static_file(name: str) -> bytes | None:
    """The bytes of a static file; the style sheet is the report's followed by the console's."""
    if name == "aegis.css":
        first = files("aegis.report") / "templates" / "run.css"
        own = [files("aegis.console") / "static" / sheet for sheet in SHEETS]
        return b"".join(one.read_bytes() for one in (first, *own))
    if name not in _names():
        return None
    return (files("aegis.console") / "static" / name).read_bytes()


@cache
def _names() -> frozenset[str]:
    here = files("aegis.console") / "static"
    own = {one.name for one in here.iterdir() if one.is_file()} - set(SHEETS)
    vendored = {f"vendor/{one.name}" for one in (here / "vendor").iterdir() if one.is_file()}
    return frozenset(own | vendored)
