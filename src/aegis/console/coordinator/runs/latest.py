"""What is asked again and again, made once: answers kept for as long as the truth has not changed.

The truth is looked at four times a second at most, however many ask: the present run, its last
event, and its result's file. An answer is made anew once for all who see the same, and kept as the
bytes that are sent. Whoever asks meanwhile gets the one before, if it was good less than a second
ago, and waits for nothing.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from aegis.console.coordinator.desk import Desk
from aegis.console.coordinator.runs.steering import present_run
from aegis.console.reading import Mark

LOOK_S, GOOD_S = 0.25, 0.75
KEPT = 64


@dataclass(frozen=True)
class Moment:
    """``mark`` is None where there is no run."""

    run: str | None
    mark: Mark | None


class Latest:
    """One for each desk (``latest_of``); safe from several threads."""

    def __init__(self, desk: Desk, clock: Callable[[], float] = time.monotonic) -> None:
        self._desk, self._clock = desk, clock
        self._lock = threading.Lock()
        self._looked, self._moment = float("-inf"), Moment(None, None)
        self._kept: OrderedDict[Hashable, tuple[Moment, bytes, float]] = OrderedDict()
        self._renewing: set[Hashable] = set()

    def moment(self) -> Moment:
        """Where the present run stands, at most ``LOOK_S`` ago."""
        with self._lock:
            if self._clock() - self._looked >= LOOK_S:
                run = present_run(self._desk)
                mark = None if run is None else self._desk.reading.mark(run)
                self._moment, self._looked = Moment(run, mark), self._clock()
            return self._moment

    def at_once(self, key: Hashable) -> bytes | None:
        """A kept answer that was good less than ``GOOD_S`` ago, without looking."""
        kept = self._kept.get(key)
        return None if kept is None or self._clock() - kept[2] >= GOOD_S else kept[1]

    def due(self, key: Hashable) -> bool:
        """Whether whoever asks this has to renew the kept answer; True for one at a time."""
        kept = self._kept.get(key)
        with self._lock:
            due = kept is not None and self._clock() - kept[2] >= LOOK_S
            if not due or key in self._renewing:
                return False
            self._renewing.add(key)
            return True

    def answer(self, key: Hashable, made: Callable[[str | None], Any]) -> bytes:
        """The JSON of ``made(run)`` for the present run."""
        began = self._clock()
        try:
            moment = self.moment()
            kept = self._kept.get(key)
            if kept is not None and kept[0] == moment:
                data = kept[1]
            else:
                text = json.dumps(made(moment.run), allow_nan=False, separators=(",", ":"))
                data = text.encode("utf-8", "replace")
            with self._lock:
                self._kept[key] = (moment, data, began)
                self._kept.move_to_end(key)
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            return data
        finally:
            with self._lock:
                self._renewing.discard(key)


def latest_of(desk: Desk) -> Latest:
    found: Latest = desk.extra.setdefault("latest", Latest(desk))
    return found
