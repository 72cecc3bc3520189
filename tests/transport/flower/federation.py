"""A certificate authority, a coordinator's courier and hospitals' lines, on this machine."""

from __future__ import annotations

import threading
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from aegis.identity.certificates import Authority, Certified, pem
from aegis.transport.carrier import Line, Trust


class Certificates:
    def __init__(self, folder: Path, name: str = "federation") -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.authority = Authority.create(name)
        self.root = folder / "root.pem"
        self.root.write_bytes(pem(self.authority.root.certificate))

    def server(self) -> Trust:
        own = self.folder / "coordinator.pem"
        self.authority.issue("coordinator", "server", ("localhost", "127.0.0.1")).save(
            own, force=True
        )
        return Trust(self.root, own)

    def client(self, name: str) -> Trust:
        own = self.folder / f"{name}.pem"
        self.authority.issue(name, "client").save(own, force=True)
        return Trust(self.root, own)


def public_key(trust: Trust) -> bytes:
    assert trust.own is not None
    key = Certified.load(trust.own).key.public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def echo(line: Line, mark: bytes = b"") -> threading.Thread:
    """A hospital that answers what it was sent, until its line is closed."""

    def work() -> None:
        while line.status != "closed":
            parcel = line.receive(0.2)
            if parcel is not None:
                line.reply(parcel, mark + parcel.data)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
