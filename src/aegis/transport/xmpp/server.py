"""Where the server of the XMPP road is, and its configuration: TLS and SCRAM only, no strangers.

The ports of a server that is ours stay what they were: hospitals keep what they were told.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, replace
from pathlib import Path

from aegis.errors import BadInput

PORT, FILES_PORT = 5222, 5281
LARGEST_FILE = 256 * 2**20
STANZA = 512 * 1024

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
    with socket.socket(family(host)) as first, socket.socket(family(host)) as second:
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


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
