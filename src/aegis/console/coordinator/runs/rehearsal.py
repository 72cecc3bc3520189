"""A rehearsal: the plan with simulated hospitals on public data, in a process of its own.

The coordinator's side of the wall holds no rows, not even public ones. So the run is only entered
in the journal here, and ``aegis run --resume`` carries it out elsewhere, on the same data root: its
name is known at once, pages follow it as they follow any run, and what it is told goes through the
journal. A lock that the process inherits says whether it still lives, also to a coordinator that
was started again meanwhile. When the coordinator ends it is interrupted, and can be gone on with.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aegis.errors import AegisError, RunAborted
from aegis.plan import Plan
from aegis.states import Failed, Idle
from aegis.store.home import Home, locked
from aegis.store.journal import Journal

LOCK, LOG = ".rehearsal", "rehearsal.log"
LOOK_S, GRACE_S = 0.1, 10.0
# Who was started in the background may ignore an interrupt.
_ASKING = (
    (signal.SIGINT if os.name == "posix" else signal.SIGTERM, 6.0),
    (signal.SIGTERM, 2.0),
    (getattr(signal, "SIGKILL", signal.SIGTERM), 2.0),
)
# What ``aegis run`` keeps of its options with a run; nothing but public data, compared and audited.
OPTIONS = {"out": None, "compare": True, "files": True, "audit": True, "leave_one_out": False}


class Rehearsals:
    """Of one data root; one at a time. ``passphrase`` opens the coordinator's key there."""

    def __init__(self, home: Home, passphrase: str | None = None) -> None:
        self._home, self._passphrase = home, passphrase
        self._process: subprocess.Popen[bytes] | None = None
        self._run: str | None = None
        self._wish: str | None = None
        self._errors: dict[str, str] = {}
        self._watch: threading.Thread | None = None
        self._ending = False
        self._foreign = self._held()

    @property
    def going(self) -> str | None:
        """The rehearsal whose process lives."""
        if self._process is not None:
            return self._run if self._process.poll() is None else None
        if self._foreign is not None:
            self._foreign = self._held()
        return None if self._foreign is None else self._foreign[0]

    @property
    def last(self) -> str | None:
        """The rehearsal that was begun last on this data root, alive or not."""
        try:
            said = (self._home.root / LOCK).read_text(encoding="ascii", errors="replace")
        except OSError:
            return None
        return said.strip().partition(" ")[0] or None

    def error(self, run: str) -> str | None:
        """Why its process ended without a result, as far as this process knows."""
        return self._errors.get(run)

    def start(self, plan: Plan) -> str:
        """Raises ``RunAborted`` where one goes on."""
        name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{plan.task}-{secrets.token_hex(3)}"
        said = os.environ.get("AEGIS_DATA_DIR")
        data: dict[str, Any] = {
            "data_directory": str(Path(said).absolute()) if said else None,
            "engines": {},
        }
        handle = self._taken(name)
        try:
            with contextlib.closing(Journal(self._home.database)) as journal:
                journal.open_run(name, plan.task, plan.to_json(), plan.sha256, OPTIONS | data)
            self._begin(name, handle)
        finally:
            os.close(handle)
        return name

    def go_on(self, run: str) -> None:
        """With one that was interrupted."""
        handle = self._taken(run)
        try:
            self._begin(run, handle)
        finally:
            os.close(handle)

    def tell(self, run: str, command: str | None) -> None:
        """Pause, stop, or None to go on. A run that was not begun yet has nothing to keep: it is
        ended at once when it is stopped, and pauses as soon as it begins."""
        with contextlib.closing(Journal(self._home.database)) as journal:
            begun = journal.last_event(run) > 0
            journal.give_command(run, command)
        if begun:
            return
        self._wish = command
        if command == "stop":
            self._interrupt()

    def end(self) -> None:
        """Interrupt the one that goes on. It can be gone on with."""
        self._ending = True
        if self.going is not None:
            self._interrupt()
        if self._watch is not None:
            self._watch.join(GRACE_S)

    def _begin(self, run: str, handle: int) -> None:
        command = [sys.executable, "-m", "aegis", "run", "--resume", run]
        env = os.environ | {"AEGIS_HOME": str(self._home.root.absolute())}
        if self._passphrase:
            env["AEGIS_KEY_PASSPHRASE"] = self._passphrase
        log = self._home.root / "logs" / LOG
        log.parent.mkdir(parents=True, exist_ok=True)
        inherited = {"pass_fds": (handle,)} if os.name == "posix" else {}
        with log.open("wb") as told:
            self._process = subprocess.Popen(  # type: ignore[call-overload]  # noqa: S603  (ours)
                command,
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=told,
                env=env,
                start_new_session=True,
                **inherited,
            )
        assert self._process is not None
        self._run, self._wish, self._foreign = run, None, None
        os.pwrite(handle, f"{run} {self._process.pid}".encode().ljust(200), 0)
        watching = (run, self._process)
        self._watch = threading.Thread(target=self._watched, args=watching, daemon=True)
        self._watch.start()

    def _watched(self, run: str, process: subprocess.Popen[bytes]) -> None:
        while process.poll() is None:
            time.sleep(LOOK_S)
            if self._wish is not None:  # a run that begins forgets what was said before
                with contextlib.suppress(AegisError), self._journal() as journal:
                    if journal.last_event(run) > 0:
                        journal.give_command(run, self._wish)
                        self._wish = None
        if process.returncode == 0 or self._ending:
            return
        reason = self._reason(process.returncode)
        with contextlib.suppress(AegisError), self._journal() as journal:
            if journal.command(run) == "stop" and journal.last_event(run) == 0:
                return
            if isinstance(journal.run(run).state, Idle):  # it never began, and never will
                journal.save(run, Failed(run, reason), [])
        self._errors[run] = reason

    def _journal(self) -> contextlib.closing[Journal]:
        return contextlib.closing(Journal(self._home.database))

    def _said(self) -> str:
        path = self._home.root / "logs" / LOG
        return path.read_bytes()[-4000:].decode("utf-8", "replace") if path.exists() else ""

    def _reason(self, code: int) -> str:
        """The last thing it said: its own sentence, or the last line of what was not foreseen."""
        text = self._said().strip()
        _, mark, sentence = text.rpartition("aegis: ")
        if mark:
            return " ".join(sentence.split())
        if code < 0:
            return f"its process was ended from outside (signal {-code})"
        return f"its process ended unforeseen: {(text.splitlines() or ['it said nothing'])[-1]}"

    def _interrupt(self) -> None:
        pid = self._foreign[1] if self._foreign is not None else None
        if self._process is not None and self._process.poll() is None:
            pid = self._process.pid
        if pid is None:
            return
        for number, patience_s in _ASKING:
            with contextlib.suppress(OSError):
                os.kill(pid, number)
            end = time.monotonic() + patience_s
            while self.going is not None and time.monotonic() < end:
                time.sleep(0.05)
            if self.going is None:
                return

    def _taken(self, run: str) -> int:
        """The lock, held until the process that inherits it ends."""
        if self.going is not None:
            raise RunAborted(f"the run {self.going} is going on", way_out="Wait, or stop it")
        handle = os.open(self._home.root / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        for _ in range(20):  # somebody may just be looking
            if locked(handle):
                return handle
            time.sleep(0.02)
        os.close(handle)
        raise RunAborted(f"a rehearsal is going on in {self._home.root}", way_out="Wait for it")

    def _held(self) -> tuple[str, int] | None:
        """(run, process) of the rehearsal that another coordinator began here and left."""
        try:
            handle = os.open(self._home.root / LOCK, os.O_RDWR)
        except OSError:
            return None
        try:
            if locked(handle):
                return None
            run, _, pid = os.pread(handle, 200, 0).decode("ascii", "replace").strip().partition(" ")
            return (run, int(pid)) if pid.isdigit() else None
        finally:
            os.close(handle)
