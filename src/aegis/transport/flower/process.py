"""The stock ``flower-superlink``, as a child process that ends with this one.

It listens on loopback only, on a port that is free, with a certificate of a throw-away authority:
hospitals never reach it but through the gateway. Telemetry, update checks and the installation of
dependencies are off, and everything that it writes lies in ``home``.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from contextlib import closing, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

from aegis.errors import AegisError, BadInput
from aegis.identity.certificates import Authority, pem
from aegis.transport.flower import QUIET, require_flower

STARTS_WITHIN_S = 90.0
_LOOK = "FLWR_SUPEREXEC_TASK_POLL_INTERVAL"
_CHATTER = ("uvicorn.access", "[Fleet.PushMessages] Push replies")


class SuperLink:
    """``database`` None keeps its state in memory. ``look_s`` is how often its executor looks
    whether a run is to be started (Flower's own: 1)."""

    def __init__(self, home: Path, database: Path | None, look_s: float = 0.2) -> None:
        self._home, self._database, self._look_s = home, database, look_s
        self._child: subprocess.Popen[bytes] | None = None
        self._noting: threading.Thread | None = None
        self._words: deque[str] = deque(maxlen=100)
        self.port = 0
        self.root = b""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self._home / "superlink.log"

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Returns when it answers. Raises ``MissingExtra``, and ``AegisError`` with the last lines
        of its log where it dies or stays silent. A second start keeps the port."""
        require_flower()
        self.stop()
        command = program("flower-superlink")
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._certify()
        self.port = self.port if self.port and _is_free(self.port) else _free_port()
        options = [
            *("--ssl-certfile", str(self._home / "loopback.pem")),
            *("--ssl-keyfile", str(self._home / "loopback.pem")),
            *("--ssl-ca-certfile", str(self._home / "loopback-root.pem")),
            *("--host", "127.0.0.1", "--port", str(self.port)),
            *("--enable-supernode-auth", "--disable-runtime-dependency-installation"),
        ]
        if self._database is not None:
            options += ["--database", str(self._database)]
        guardian = Path(__file__).with_name("guardian.py")
        self._child = subprocess.Popen(  # noqa: S603
            [sys.executable, "-S", "-E", str(guardian), command, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # an interrupt at the terminal is for this process to handle
            env=environment(self._home) | {_LOOK: str(self._look_s)},
            cwd=self._home,
        )
        self._noting = threading.Thread(target=self._note, args=(self._child,), daemon=True)
        self._noting.start()
        self._wait()

    def stop(self) -> None:
        child, self._child = self._child, None
        if child is None or child.stdin is None:
            return
        with suppress(OSError):
            child.stdin.write(b"end\n")
        with suppress(OSError):
            child.stdin.close()
        try:
            child.wait(8)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if self._noting is not None:
            self._noting.join(2)

    def _certify(self) -> None:
        authority = Authority.create("loopback")
        authority.issue("superlink", "server", ("127.0.0.1", "localhost"), days=3650).save(
            self._home / "loopback.pem", force=True
        )
        self.root = pem(authority.root.certificate)
        (self._home / "loopback-root.pem").write_bytes(self.root)

    def _wait(self) -> None:
        assert self._child is not None
        context = ssl.create_default_context(cadata=self.root.decode("ascii"))
        until = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < until:
            if (code := self._child.poll()) is not None:
                raise AegisError(
                    f"the SuperLink ended with code {code} when it was started",
                    f"its last words: {self.last_words()}",
                    f"All it said is in {self.log}",
                )
            try:
                with urllib.request.urlopen(
                    f"https://{self.address}/health", timeout=2, context=context
                ):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        self.stop()
        raise AegisError(
            f"the SuperLink did not answer within {STARTS_WITHIN_S:.0f} s",
            f"its last words: {self.last_words()}",
            f"All it said is in {self.log}",
        )

    def last_words(self, lines: int = 3) -> str:
        return " | ".join(list(self._words)[-lines:]) or "none"

    def _note(self, child: subprocess.Popen[bytes]) -> None:
        """Keeps what it says, without the line that each request makes."""
        assert child.stdout is not None
        handler = RotatingFileHandler(self.log, maxBytes=2_000_000, backupCount=2)
        with child.stdout, closing(handler):
            for raw in child.stdout:
                line = raw.decode(errors="replace").rstrip()
                if line and not any(word in line for word in _CHATTER):
                    self._words.append(line)
                    handler.emit(logging.makeLogRecord({"msg": line}))


def program(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise BadInput(
            f"the program {name} is not here, although Flower is",
            way_out="Install it again with: pip install --force-reinstall flwr",
        )
    return found


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FLWR_")}
    beside = str(Path(sys.executable).parent)
    return {
        **kept,
        **QUIET,
        "FLWR_HOME": str(home),
        "PATH": os.pathsep.join([beside, *os.get_exec_path()]),
        "PYTHONUNBUFFERED": "1",
    }


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except OSError:
        return False
