"""Static files, served under their digest and kept by browsers for ever; and the theme's cookie."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse, Response

from aegis.console.window.rendering import THEMES, asset, static_file

KINDS = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
router = APIRouter()


@router.get("/static/{digest}/{name:path}", include_in_schema=False)
def static(digest: str, name: str) -> Response:
    data = static_file(name)
    if data is None or asset(name).split("/")[2] != digest:
        return Response("There is no such file.", 404, media_type="text/plain")
    kind = KINDS.get(name.rpartition(".")[2], "application/octet-stream")
    kept = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(data, media_type=kind, headers=kept)


@router.get("/favicon.ico", include_in_schema=False)
def favicon() -> Response:
    return RedirectResponse(asset("icon.svg"), 301)


@router.post("/theme", include_in_schema=False)
def theme(to: Annotated[str, Form()] = "", back: Annotated[str, Form()] = "/") -> Response:
    """A cookie decides, so that no page ever flashes in another theme."""
    inside = back.startswith("/") and not back.startswith(("//", "/\\"))
    answer = RedirectResponse(back if inside else "/", 303)
    if to in THEMES:
        year = 365 * 24 * 3600
        answer.set_cookie("theme", to, max_age=year, httponly=True, samesite="strict")
    else:
        answer.delete_cookie("theme")
    return answer
