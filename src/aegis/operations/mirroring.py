"""A process of its own that mirrors runs to MLflow while they are on, so that none waits for it.

It is started with the run (or the coordinator), at a lower priority, and hears by the end of its
standard input that the run is over; it then catches up once more and ends. Where MLflow is away it
tries again, ever more rarely; the next run, or ``aegis tracking sync``, goes on from the bookmark.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from aegis.errors import AegisError, BadInput, MissingExtra
from aegis.store.home import Home, held_alone, setting
from aegis.store.tracking import URI, Mirror

log = logging.getLogger("aegis")

EVERY_S, RARELY_S, LAST_S = 1.0, 60.0, 30.0
_left: list[subprocess.Popen[bytes]] = []


@contextmanager
def mirrored(told: Callable[[str], None] = lambda text: None) -> Iterator[None]:
    """Mirror what happens meanwhile, where MLFLOW_TRACKING_URI is set."""
    process = _started(told)
    try:
        yield
    finally:
        if process is not None:
            assert process.stdin is not None
            with contextlib.suppress(OSError):
                process.stdin.close()
            _left.append(process)  # it ends by itself; nobody waits for it


def _started(told: Callable[[str], None]) -> subprocess.Popen[bytes] | None:
    if not setting(URI):
        return None
    if find_spec("mlflow") is None:
        told(f"{URI} is set; nothing is mirrored: {MissingExtra('MLflow', 'mlflow')}")
        return None
    folder = Home.from_environment().root / "logs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "tracking.log", "ab") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "aegis", "tracking", "follow"],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
    except OSError as error:
        told(f"nothing is mirrored to MLflow ({error})")
        return None


@contextmanager
def only_mirror(home: Home, patience_s: float = 60.0) -> Iterator[None]:
    """Be the one who mirrors this data root. Raises ``BadInput`` where another is for so long."""

    def busy(who: str) -> BadInput:
        return BadInput(f"{who} is mirroring {home.root}", way_out="Wait until it is done")

    folder, until = home.root / "tracking", time.monotonic() + patience_s
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        while True:
            try:
                held.enter_context(held_alone(folder / ".lock", busy))
                break
            except BadInput:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)
        yield


def follow(home: Home, heard: int, every_s: float = EVERY_S) -> None:
    """Mirror until the pipe ``heard`` ends, and then what is still to come."""
    with contextlib.suppress(AttributeError, OSError):
        os.nice(10)
    over = threading.Event()
    threading.Thread(target=_listen, args=(heard, over), daemon=True).start()
    while True:
        try:
            with only_mirror(home, 0):
                _while_it_is_on(Mirror.from_settings(home), over, every_s)
                return
        except BadInput as error:  # another process mirrors this data root
            if over.wait(every_s):
                with only_mirror(home, LAST_S):
                    _last(Mirror.from_settings(home))
                return
            log.debug("%s", error)


def _while_it_is_on(mirror: Mirror, over: threading.Event, every_s: float) -> None:
    pause, failed = every_s, ""
    while not over.wait(pause):
        try:
            mirror.sync()
            pause, failed = every_s, ""
        except AegisError as error:
            pause = min(RARELY_S, pause * 2)
            if str(error) != failed:
                failed = str(error)
                log.warning("%s", error)
    _last(mirror)


def _last(mirror: Mirror) -> None:
    try:
        mirror.sync()
    except AegisError as error:
        log.warning("%s", error)


def _listen(heard: int, over: threading.Event) -> None:
    """Nothing is ever said on this pipe; it ends with whoever started this."""
    with contextlib.suppress(OSError):
        while os.read(heard, 1):
            pass
    over.set()
