"""The stream: what changed on a page, at most once a second, to everybody who looks at it.

One task looks at the stored truth and renders a page's changing parts once for all who see the
same; a slow reader misses frames, never the last one. A frame holds all parts of one moment, so
figures never disagree; its number is the moment's, and who connects gets the present one at once.
Before each frame it is asked whether its reader still may have it: who logs out, is disabled or
loses a role reads no further.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from aegis.console.coordinator.desk import Desk, Sight, current, picked
from aegis.console.people.rights import NotAllowed, Right, may, still_here
from aegis.console.people.roles import Person
from aegis.console.reading import NotFound

log = logging.getLogger("aegis")

LOOK_S, FRAME_S, HEARTBEAT_S = 0.25, 1.0, 15.0
MOST_READERS = 500
MOST_FRAME = 200_000

Parts: TypeAlias = Mapping[str, str]
"""The changing parts of a page: the id of an element, and its inner HTML."""
# The run is None where a page follows whatever run is the present one.
Rendering: TypeAlias = Callable[[Desk, Sight, str | None], Parts]

PAGES: dict[str, Rendering] = {}
NEEDS: dict[str, Right] = {}
router = APIRouter()


def live(page: str, right: Right = Right.READ) -> Callable[[Rendering], Rendering]:
    """Registers the function that renders a page's changing parts, for who has this right."""

    def registered(rendering: Rendering) -> Rendering:
        PAGES[page], NEEDS[page] = rendering, right
        return rendering

    return registered


@dataclass
class _Topic:
    """One page of one run, for one sight. ``frame`` is (number, text)."""

    page: str
    run: str | None
    sight: Sight
    readers: int = 0
    seen: Any = None
    parts: dict[str, str] = field(default_factory=dict)
    frame: tuple[int, str] = (0, "")
    rendered: float = 0.0


class Stream:
    """Lives in ``app.state.stream``; its task runs while somebody reads."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._topics: dict[tuple[str, str | None, Sight], _Topic] = {}
        self._task: asyncio.Task[None] | None = None
        self._told: asyncio.Condition | None = None

    @property
    def readers(self) -> int:
        return sum(topic.readers for topic in self._topics.values())

    async def read(
        self, page: str, run: str | None, sight: Sight, still: Callable[[], bool] = lambda: True
    ) -> AsyncIterator[str]:
        """Frames until ``still`` says no; it is asked at least every ``HEARTBEAT_S``."""
        key = (page, run, sight)
        topic = self._topics.setdefault(key, _Topic(page, run, sight))
        topic.readers += 1
        if self._told is None:
            self._told = asyncio.Condition()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())
        sent = -1
        try:
            while True:
                async with self._told:
                    try:
                        await asyncio.wait_for(
                            self._told.wait_for(partial(_newer, topic, sent)),
                            HEARTBEAT_S,
                        )
                        quiet = False
                    except TimeoutError:
                        quiet = True
                if not await run_in_threadpool(still):
                    return
                if quiet:
                    yield ": still here\n\n"
                    continue
                sent, text = topic.frame
                yield f"id: {sent}\ndata: {text}\n\n"
        finally:
            topic.readers -= 1
            if topic.readers == 0:
                self._topics.pop(key, None)

    def truth(self, run: str | None) -> str:
        """What has to differ for a page to be drawn again; another window has another one."""
        return moment(self._desk, run)

    def drawn(self, page: str, sight: Sight, run: str | None) -> Parts:
        return PAGES[page](self._desk, sight, run)

    async def _look(self) -> None:
        while self._topics:
            began = time.monotonic()
            for topic in list(self._topics.values()):
                try:
                    if await run_in_threadpool(self._renew, topic):
                        assert self._told is not None
                        async with self._told:
                            self._told.notify_all()
                except Exception:  # a page that cannot be drawn now is drawn at the next look
                    log.exception("the stream of %s could not be drawn", topic.page)
            await asyncio.sleep(max(0.05, LOOK_S - (time.monotonic() - began)))

    def _renew(self, topic: _Topic) -> bool:
        """Whether there is a new frame. The stored truth is looked at first: it is cheap."""
        now = time.monotonic()
        truth = self.truth(topic.run)
        aged = now - topic.rendered >= HEARTBEAT_S / 3  # "3 s ago" grows old without any event
        if (truth == topic.seen and not aged) or now - topic.rendered < FRAME_S - LOOK_S:
            return False
        parts = self.drawn(topic.page, topic.sight, topic.run)
        topic.seen, topic.rendered = truth, now
        if dict(parts) == topic.parts:
            return False
        topic.parts = dict(parts)
        text = "".join(
            f'<hx-partial hx-target="#{key}" hx-swap="innerMorph">{_one_line(html)}</hx-partial>'
            for key, html in parts.items()
        )
        topic.frame = (topic.frame[0] + 1, text[:MOST_FRAME])
        return True


def _newer(topic: _Topic, sent: int) -> bool:
    return topic.frame[0] not in (0, sent)


def moment(desk: Desk, run: str | None) -> str:
    """A digest of what pages can show now: whether anything is new."""
    state = desk.state()
    there = [(one["name"], one["present"]) for one in state["hospitals"]]  # not when they were
    found: dict[str, Any] = {"state": {**state, "hospitals": there}}
    run = run or current(desk)
    if run is not None:
        found["run"] = run
        with desk.reading.journal() as journal:
            found["event"] = journal.last_event(run)
            found["command"] = journal.command(run)
    return hashlib.sha256(json.dumps(found, sort_keys=True, default=str).encode()).hexdigest()


def _one_line(html: str) -> str:
    return " ".join(html.split())


@router.get("/live/{page}", include_in_schema=False)
async def stream(
    page: str, request: Request, person: Annotated[Person, Depends(may(Right.READ))]
) -> Response:
    if page not in PAGES:
        raise NotFound(f"no page is called {page!r:.40}")
    if not person.can(NEEDS[page]):
        raise NotAllowed(person, NEEDS[page])
    run = await run_in_threadpool(picked, request) if request.query_params.get("run") else None
    found: Stream = request.app.state.stream
    if found.readers >= MOST_READERS:
        return Response("Too many open pages.", 503, {"Retry-After": "30"})
    return StreamingResponse(
        found.read(page, run, Sight.of(person), partial(still_here, request)),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
