"""When each hospital was last there, kept across restarts of the coordinator.

What is kept may be some seconds old after a crash: it is for people to look at, nothing follows
from it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from aegis.errors import RunAborted
from aegis.store.home import write_whole

KEEP_EVERY_S = 15.0


class Attendance:
    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self._lock = threading.Lock()
        self._kept = clock()
        self._last: dict[str, float] = _read(path)

    def there(self, hospitals: Iterable[str]) -> None:
        """These are there now."""
        now = self._clock()
        with self._lock:
            self._last.update(dict.fromkeys(hospitals, now))
            if now - self._kept >= KEEP_EVERY_S:
                self._keep(now)

    def last(self, hospital: str) -> float | None:
        """Seconds since 1970; None for who never was."""
        return self._last.get(hospital)

    def close(self) -> None:
        with self._lock:
            self._keep(self._clock())

    def _keep(self, now: float) -> None:
        self._kept = now
        if self._last:
            text = json.dumps({name: round(at) for name, at in sorted(self._last.items())})
            try:
                write_whole(self._path, text.encode())
            except RunAborted:  # a full disk is told by what matters more
                return


def _read(path: Path) -> dict[str, float]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): float(at) for name, at in said.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
