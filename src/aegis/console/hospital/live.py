"""The hospital's stream: as the coordinator's, of the hospital's own pages and its own truth."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, TypeAlias, cast

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse

from aegis.console.coordinator.desk import Desk, Sight
from aegis.console.coordinator.live import MOST_READERS, Stream
from aegis.console.hospital.desk import HospitalDesk
from aegis.console.people.rights import Person, Right, may, still_here
from aegis.console.reading import NotFound

Parts: TypeAlias = Mapping[str, str]
Rendering: TypeAlias = Callable[[HospitalDesk, frozenset[Right]], Parts]
PAGES: dict[str, Rendering] = {}
router = APIRouter()


def live(page: str) -> Callable[[Rendering], Rendering]:
    """Registers the function that renders a page's changing parts."""

    def registered(rendering: Rendering) -> Rendering:
        PAGES[page] = rendering
        return rendering

    return registered


class HospitalStream(Stream):
    """What a hospital's pages show changes with its files, its node's word and its own training."""

    def __init__(self, desk: HospitalDesk) -> None:
        super().__init__(cast(Desk, desk))  # both methods that look at it are ours
        self._hospital = desk

    def truth(self, run: str | None) -> str:
        desk = self._hospital
        folder = desk.folder
        files = (folder.sent, folder.decisions, folder.ledger, folder.policy, folder.root / "own")
        found = [
            *(_changed(path.with_name(path.name + end)) for path in files for end in ("", "-wal")),
            desk.standing.line,
            desk.standing.serving,
            desk.training.running,
            desk.training.done,
            desk.training.error,
        ]
        return hashlib.sha256(json.dumps(found).encode()).hexdigest()

    def drawn(self, page: str, sight: Sight, run: str | None) -> Parts:
        return PAGES[page](self._hospital, frozenset(map(Right, (sight.only or "").split())))


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@router.get("/live/{page}", include_in_schema=False)
async def stream(
    page: str, request: Request, person: Annotated[Person, Depends(may(Right.READ))]
) -> Response:
    if page not in PAGES:
        raise NotFound(f"no page is called {page!r:.40}")
    found: HospitalStream = request.app.state.stream
    seen = Sight(" ".join(sorted(person.rights)))
    if found.readers >= MOST_READERS:
        return Response("Too many open pages.", 503, {"Retry-After": "30"})
    return StreamingResponse(
        found.read(page, None, seen, partial(still_here, request)),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
