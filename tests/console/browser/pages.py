"""Which pages there are: read off the routes, so that a new page is visited without being named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aegis.console.window.routes import routes_of

# What programs ask, what a browser loads besides a page, files to keep, and what has a page only
# while something goes on or somebody waits.
NO_PAGES = re.compile(
    r"/(api|client|static|live|openapi\.json|metrics|health|favicon|theme)(/|\.|$)"
    r"|\.(csv|json|txt|yaml|\{kind\})$|/download/|/files/|/export|^/login|^/welcome"
    r"|^/account/second-factor$|^/training/stop$"
)


def pages_of(app: Any, filled: Mapping[str, str]) -> list[str]:
    """Every page's path; ``filled`` says what stands in each brace. Raises ``KeyError`` for a new
    brace of which it says nothing."""
    found = set()
    for route in routes_of(app):
        if "GET" not in route.methods or NO_PAGES.search(route.path):
            continue
        if route.path in filled and not filled[route.path]:
            continue  # no such object here
        path = filled.get(route.path)
        if path is None:
            path = re.sub(r"\{(\w+)(?::\w+)?\}", lambda brace: filled[brace[1]], route.path)
        found.add(path)
    return sorted(found)
