"""The window: what a browser, a script and a joining hospital can ask of a process over HTTP."""

from __future__ import annotations

from importlib.util import find_spec

from aegis.errors import MissingExtra

NEEDED = ("argon2", "fastapi", "jinja2", "jwt", "python_multipart", "uvicorn")


def require_web() -> None:
    """Raises ``MissingExtra`` where the web framework is not installed."""
    if any(find_spec(name) is None for name in NEEDED):
        raise MissingExtra("a console", "serve")
