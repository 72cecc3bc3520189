"""The server of the XMPP road: a Prosody of our own, as a child of this process.

It reads nothing of the machine's own configuration and keeps nothing: configuration, certificate
and data lie in a folder that is made when it starts and removed when it stops; the accounts are
written into it from the coordinator's file. It speaks TLS with the federation's certificate only,
knows nobody but those accounts, talks to no other server, and offers what is too large for one
message a place over HTTPS for a while. Where this process is root, it runs as the user
``prosody``. A server that dies is started again; one that outlives this process does not exist on
Linux, because the kernel ends it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

from aegis.errors import BadInput, RunAborted
from aegis.transport.carrier import Trust
from aegis.transport.xmpp.server import Server, configuration, family

log = logging.getLogger("aegis.xmpp")

KEPT_S = 600.0
_PREFIX = "aegis-prosody-"
_START_S, _LOOK_S, _BACKOFF_S, _LONGEST_S = 15.0, 0.2, 0.25, 10.0


class Prosody:
    """``trust.own`` is the server's certificate with its key."""

    def __init__(self, server: Server, trust: Trust) -> None:
        self.server, self._trust = server, trust
        self._folder: Path | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._started: threading.Event | None = None
        self._watch: threading.Thread | None = None
        self._command: list[str] = []
        self._next_sweep = 0.0

    @property
    def data(self) -> Path:
        if self._folder is None:
            raise RunAborted("the XMPP server was not prepared")
        return self._folder / "data"

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child is not None else None

    def prepare(self) -> None:
        """Make the folder. Raises ``BadInput`` where no server is installed, the certificate is
        missing, or a port is taken."""
        program = _program()
        if self._trust.own is None:
            raise BadInput("the XMPP server has no certificate of its own")
        for port in (self.server.port, self.server.files_port):
            for address in self._addresses():
                _free(address, port)
        _forget_the_dead()
        folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        (folder / "data").mkdir(mode=0o700)
        certificate = folder / "server.pem"
        descriptor = os.open(certificate, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(self._trust.own.read_bytes())
        text = configuration(
            self._reachable(),
            str(folder / "data"),
            certificate=str(certificate),
            log_to=f'to = "file", filename = "{folder}/prosody.log"',
        )
        (folder / "prosody.cfg.lua").write_text(text, "utf-8")
        if _is_root():
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, "prosody", "prosody")
        self._folder, self._command = folder, _command(program, folder / "prosody.cfg.lua")

    def start(self) -> None:
        """Returns when it answers on both ports. Raises ``RunAborted`` with the last lines of its
        log where it does not within seconds."""
        self._stopping.clear()
        self._started = threading.Event()
        self._watch = threading.Thread(target=self._watched, name="aegis-prosody", daemon=True)
        self._watch.start()
        end = time.monotonic() + _START_S
        self._started.wait(_START_S)
        while time.monotonic() < end:
            child = self._child
            if child is None or child.poll() is not None:
                break
            if self._answers():
                return
            time.sleep(0.02)
        said = self._last_words()
        self.stop()
        raise RunAborted("the XMPP server did not start", said, "Its configuration is ours: report")

    def stop(self) -> None:
        self._stopping.set()
        child = self._child
        if child is not None and child.poll() is None:
            child.terminate()
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
        if self._watch is not None and self._watch is not threading.current_thread():
            self._watch.join(10)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = self._child = None

    def _watched(self) -> None:
        """Starts it, again and again, from one thread: the kernel ends the child with the thread
        that made it."""
        pause = _BACKOFF_S
        while not self._stopping.is_set():
            began = time.monotonic()
            self._child = subprocess.Popen(  # noqa: S603
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={"PATH": os.defpath, "LANG": "C.UTF-8"},
            )
            if self._started is not None:
                self._started.set()
            while self._child.poll() is None and not self._stopping.wait(_LOOK_S):
                self._sweep()
            if self._stopping.is_set():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._child.wait(5)
                return
            log.warning("the XMPP server ended (%s); it is started again", self._child.returncode)
            self._stopping.wait(pause)
            pause = _BACKOFF_S if time.monotonic() - began > 30 else min(2 * pause, _LONGEST_S)

    def _sweep(self) -> None:
        """Files that nobody fetched in time go; they are ciphertext, but they fill the disk."""
        now = time.time()
        if now < self._next_sweep or self._folder is None:
            return
        self._next_sweep = now + KEPT_S / 20
        for path in (self._folder / "data").glob("*/http_file_share/**/*.bin*"):
            with contextlib.suppress(OSError):
                if now - path.stat().st_mtime > KEPT_S:
                    path.unlink()

    def _answers(self) -> bool:
        for port in (self.server.port, self.server.files_port):
            try:
                socket.create_connection((self._addresses()[0], port), 0.5).close()
            except OSError:
                return False
        return True

    def _addresses(self) -> tuple[str, ...]:
        """Those of the wanted addresses that this machine has."""
        return tuple(address for address in self.server.listen if _exists(address))

    def _reachable(self) -> Server:
        return replace(self.server, listen=self._addresses())

    def _last_words(self) -> str:
        if self._folder is None:
            return ""
        try:
            lines = (self._folder / "prosody.log").read_text("utf-8").splitlines()
        except OSError:
            return "it wrote no log"
        wrong = [line for line in lines if "error" in line or "warn" in line] or lines
        return "it says: " + " / ".join(line[:200] for line in wrong[-3:])


def _forget_the_dead() -> None:
    """A process that was killed leaves its folder behind, and in it a copy of a key."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        pid = folder.name.removeprefix(_PREFIX).split("-")[0]
        if pid.isdigit() and Path("/proc").is_dir() and not Path("/proc", pid).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _program() -> str:
    found = shutil.which("prosody") or shutil.which("prosody", path="/usr/bin:/usr/local/bin")
    if found is None:
        raise BadInput(
            "Prosody, the server of the XMPP road, is not installed",
            way_out="Install it (apt-get install prosody), or name a server with XMPP_SERVER",
        )
    return found


def _command(program: str, config: Path) -> list[str]:
    command = [program, "-F", "--config", str(config)]
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        if _is_root():
            raise BadInput(
                "Prosody does not run as root, and setpriv is missing",
                way_out="Install util-linux, or start the coordinator as another user",
            )
        return command
    before = [setpriv, "--pdeathsig", "TERM"]
    if _is_root():
        before += ["--reuid", "prosody", "--regid", "prosody", "--clear-groups", "--no-new-privs"]
    return [*before, "--", *command]


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _exists(address: str) -> bool:
    try:
        with socket.socket(family(address), socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _free(address: str, port: int) -> None:
    with socket.socket(family(address), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise BadInput(
                f"port {port} of {address} is taken ({error.strerror})",
                "the XMPP road needs it",
                "Stop what uses it (Debian starts a Prosody of its own: systemctl disable --now "
                "prosody), or choose another port",
            ) from error
