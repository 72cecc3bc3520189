"""What a coordinator must have before anybody can join: keys, members, certificates, one process.

Everything is made at the first start and found again at each later one:

AEGIS_HOME/keys/   coordinator.key, authority.key, federation.json (the members)
AEGIS_HOME/tls/    root.tls, root.pem, coordinator.tls (renewed when two thirds of its time are over
                   or when a host name is added)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aegis.errors import BadInput
from aegis.identity.certificates import Authority, Certified, der, due, hosts_of, pem
from aegis.identity.identity import Identity
from aegis.identity.join_code import federation_sha256
from aegis.identity.registrar import Registrar
from aegis.store.handing_over import hand_over
from aegis.store.home import Home, held_alone, write_whole
from aegis.transport.carrier import Trust

COORDINATOR = "coordinator"
LOOPBACK = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Office:
    home: Home
    passphrase: str | None = None

    @property
    def registrar(self) -> Registrar:
        return Registrar(self.home.keys, self.passphrase)

    @property
    def tls(self) -> Path:
        return self.home.root / "tls"

    @property
    def trust(self) -> Trust:
        return Trust(self.tls / "root.pem", self.tls / "coordinator.tls")

    @property
    def authority(self) -> Authority:
        path = self.tls / "root.tls"
        if not path.exists():
            raise BadInput(
                f"{self.home.root} holds no federation yet", way_out="Start: aegis coordinator"
            )
        return Authority(Certified.load(path))

    @property
    def identity(self) -> Identity:
        return self.registrar.keys.read(COORDINATOR, self.passphrase)

    @property
    def fingerprint(self) -> bytes:
        """The digest by which the federation is known (``federation_sha256``)."""
        return federation_sha256(self.registrar.authority, self.root)

    @property
    def root(self) -> bytes:
        """The root certificate, DER."""
        return der(self.authority.root.certificate)

    @property
    def address(self) -> str:
        """Host and port of the console, as it was last announced; empty before that."""
        path = self.home.root / ".console"
        return path.read_text(encoding="ascii").strip() if path.exists() else ""

    def announce(self, address: str) -> None:
        write_whole(self.home.root / ".console", address.encode("ascii"))

    def hospitals(self) -> tuple[str, ...]:
        """Members that count, by name."""
        return tuple(name for name, _ in self.registrar.membership.roster.members)

    def open(self, federation: str, hosts: Sequence[str] = ()) -> Office:
        """Make what is missing."""
        self.home.prepare()
        registrar = self.registrar
        if not registrar.there:
            registrar.begin(federation)
        if not registrar.keys.path(COORDINATOR).exists():
            registrar.keys.write(Identity.generate(COORDINATOR), self.passphrase)
        identity = self.identity
        if registrar.membership.standing(COORDINATOR) is None:
            registrar.admit(identity.public, "coordinator")
        hand_over(self.home.audit_log, identity)
        if not (self.tls / "root.tls").exists():
            made = Authority.create(registrar.membership.federation)
            made.root.save(self.tls / "root.tls")
        write_whole(self.tls / "root.pem", pem(self.authority.root.certificate))
        self._certificate(hosts)
        return self

    def _certificate(self, hosts: Sequence[str]) -> None:
        path = self.tls / "coordinator.tls"
        wanted = dict.fromkeys([*LOOPBACK, *hosts])
        if path.exists():
            held = Certified.load(path).certificate
            known = set(hosts_of(held))
            if set(wanted) <= known and not due(held, datetime.now(UTC)):
                return
            wanted |= dict.fromkeys(hosts_of(held))
        self.authority.issue(COORDINATOR, "server", list(wanted)).save(path, force=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One coordinator for one data root; the lock ends with its process."""
        with held_alone(self.home.root / ".coordinator", self._held):
            yield

    def _held(self, by: str) -> BadInput:
        return BadInput(
            f"a coordinator runs on {self.home.root} already ({by})",
            "one data root has one coordinator",
            "Stop it, or set AEGIS_HOME to another folder",
        )
