"""Where this hospital's node stands, told to whoever may read its folder.

The node says once in a few seconds how its line is, in one small file; another process (the
console) reads it. A word that is older than that counts for nothing: a node that died says so by
its silence.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from aegis.errors import AegisError
from aegis.store.home import write_whole

FILE = "standing.json"
SAY_S, SILENT_S = 5.0, 15.0


@dataclass(frozen=True)
class Standing:
    """``serving`` is whether a node spoke lately, ``line`` its own word for its connection,
    ``seen`` when it spoke last, in seconds since 1970 (None: never)."""

    serving: bool
    line: str
    seen: float | None

    @property
    def connected(self) -> bool:
        return self.serving and self.line == "connected"


def say(root: Path, line: str) -> None:
    """Never in the way of the node: what cannot be written is not said."""
    try:
        document = {"line": line, "time": time.time(), "process": os.getpid()}
        write_whole(root / FILE, json.dumps(document).encode())
    except AegisError:
        pass


def standing(root: Path, now: float | None = None) -> Standing:
    try:
        said = json.loads((root / FILE).read_bytes())
        line, seen = str(said["line"]), float(said["time"])
    except (OSError, ValueError, KeyError, TypeError):
        return Standing(False, "", None)
    alive = (time.time() if now is None else now) - seen < SILENT_S and line != "stopped"
    return Standing(alive, line if alive else "", seen)
