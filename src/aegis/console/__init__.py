"""The window: what a browser, a script and a joining hospital can ask of a process over HTTP."""

from __future__ import annotations

from importlib.util import find_spec

from aegis.errors import MissingExtra


def require_web() -> None:
    """Raises ``MissingExtra`` where the web framework is not installed."""
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise MissingExtra("a console", "serve")
