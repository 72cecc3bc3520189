"""Turns at a database, for the threads of one process.

SQLite lets write whoever comes at a free moment; who does not looks again ever more rarely. Among
many writers one may so wait a second while others write ten times. Here they wait for one another
first, and SQLite settles only what is left between processes.
"""

from __future__ import annotations

import threading
from pathlib import Path
from weakref import WeakValueDictionary

_known: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
_knowing = threading.Lock()


def turn_at(path: Path) -> threading.Lock:
    """The same lock for all that name this file; it lives as long as somebody has it."""
    name = str(path.absolute())
    with _knowing:
        found = _known.get(name)
        if found is None:
            found = _known[name] = threading.Lock()
        return found
