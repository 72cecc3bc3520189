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
import json
import logging
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from aegis.errors import BadInput, RunAborted
from aegis.transport.carrier import Trust

log = logging.getLogger("aegis.xmpp")

PORT, FILES_PORT = 5222, 5281
LARGEST_FILE = 256 * 2**20
STANZA = 512 * 1024
KEPT_S = 600.0
_PREFIX = "aegis-prosody-"
_START_S, _LOOK_S, _BACKOFF_S, _LONGEST_S = 15.0, 0.2, 0.25, 10.0

_MODULES = ("roster", "saslauth", "tls", "disco", "ping", "smacks", "http_file_share")


@dataclass(frozen=True)
class Server:
    """Where it listens, and by which name it is called: the certificate must have that one."""

    host: str = "localhost"
    port: int = PORT
    files_port: int = FILES_PORT
    listen: tuple[str, ...] = ("127.0.0.1", "::1")
    largest_file: int = LARGEST_FILE
    address: str = ""  # where to connect, if the name leads elsewhere from here

    @property
    def from_here(self) -> Server:
        """As this machine reaches its own server: by the same name, but never around the world."""
        anywhere = {"0.0.0.0": "127.0.0.1", "*": "127.0.0.1", "::": "::1"}  # noqa: S104
        return replace(self, address=anywhere.get(self.listen[0], self.listen[0]))

    @property
    def files(self) -> str:
        """The beginning of each file's address."""
        return f"https://{self.host}:{self.files_port}/"


def here(folder: Path, host: str, port: int, called: str) -> Server:
    """A server of our own. Hospitals keep the ports that they were told, so ports that were chosen
    once are written down in ``folder``."""
    listen = {"127.0.0.1": ("127.0.0.1", "::1"), "0.0.0.0": ("0.0.0.0", "::")}  # noqa: S104
    ports = (port, FILES_PORT if port == PORT else port + 1) if port else _kept_ports(folder, host)
    return Server(called, *ports, listen=listen.get(host, (host,)))


def elsewhere(text: str) -> Server:
    """From HOST, HOST:PORT or xmpp://HOST:PORT. Raises ``BadInput``."""
    rest = text.removeprefix("xmpp://").rstrip("/")
    host, _, port = rest.partition(":")
    if not host or "/" in rest or (port and not port.isdigit()):
        raise BadInput(
            f"{text!r} is no XMPP server", way_out="Say HOST, HOST:PORT or xmpp://HOST:PORT"
        )
    return Server(host, int(port or PORT))


def _kept_ports(folder: Path, host: str) -> tuple[int, int]:
    path = folder / "ports.json"
    try:
        one, other = json.loads(path.read_text("utf-8"))
        return int(one), int(other)
    except (OSError, ValueError, TypeError):
        pass
    with socket.socket(_family(host)) as first, socket.socket(_family(host)) as second:
        for probe in (first, second):
            probe.bind((host, 0))
        chosen = first.getsockname()[1], second.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(json.dumps(chosen), "utf-8")
    return chosen


def configuration(server: Server, folder: str, *, certificate: str, log_to: str) -> str:
    """Prosody's configuration; all paths as the server sees them."""
    listen = _listed(server.listen)
    tls = f'{{ certificate = "{certificate}", key = "{certificate}", protocol = "tlsv1_2+" }}'
    return f"""-- The Aegis message broker: TLS only, SCRAM only, no registration, no other servers.
data_path = {_quoted(folder)}
pidfile = {_quoted(folder + "/prosody.pid")}
log = {{ {{ levels = {{ min = "info" }}, {log_to} }} }}

modules_enabled = {_listed(_MODULES)}
modules_disabled = {{ "s2s", "offline" }}
plugin_paths = {{}}

interfaces = {listen}
c2s_ports = {{ {server.port} }}
c2s_direct_tls_ports = {{}}
s2s_ports = {{}}
http_ports = {{}}
http_interfaces = {{}}
https_ports = {{ {server.files_port} }}
https_interfaces = {listen}
component_ports = {{}}

ssl = {tls}
c2s_ssl = {tls}
https_ssl = {tls}
c2s_require_encryption = true
allow_unencrypted_plain_auth = false
authentication = "internal_hashed"
password_hash = "SHA-256"
disable_sasl_mechanisms = {{ "PLAIN", "DIGEST-MD5", "OAUTHBEARER", "ANONYMOUS", "EXTERNAL" }}
allow_registration = false
storage = "internal"

-- a pause after each partial TLS read would cost 80 % of the rate, Nagle's wait 40 ms each way
network_settings = {{ min_wait = 0, nagle = false }}
network_default_read_size = 262144
c2s_stanza_size_limit = {STANZA}
c2s_timeout = 30 -- a peer that does not finish its login is put out
smacks_hibernation_time = 60
smacks_max_queue_size = 200

http_file_share_size_limit = {server.largest_file}
http_file_share_daily_quota = {2**40}
http_file_share_expires_after = 86400
http_max_content_size = 65536 -- what is larger goes to the disk as it comes, not through memory
http_max_buffer_size = 1048576
http_external_url = {_quoted(server.files)}
http_default_host = {_quoted(server.host)}

VirtualHost {_quoted(server.host)}
"""


def _quoted(text: str) -> str:
    if any(mark in text for mark in '"\\\n\r'):
        raise BadInput(f"{text!r} cannot stand in the server's configuration")
    return f'"{text}"'


def _listed(values: tuple[str, ...]) -> str:
    return "{ " + ", ".join(_quoted(value) for value in values) + " }"


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
                env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8"},
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


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _exists(address: str) -> bool:
    try:
        with socket.socket(_family(address), socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _free(address: str, port: int) -> None:
    with socket.socket(_family(address), socket.SOCK_STREAM) as probe:
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
