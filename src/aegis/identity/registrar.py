"""The registrar: where a coordinator keeps the list of members and the key that signs it.

AEGIS_HOME/keys/authority.key     signs the list, nothing else; every hospital pins its public half
AEGIS_HOME/keys/federation.json   the list

Two commands at once would each sign a next version of their own; a lock makes them queue.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aegis.errors import BadInput, RunAborted
from aegis.identity.identity import Identity, PublicIdentity, Rotation
from aegis.identity.keyfile import Keys
from aegis.identity.keys import PublicKey, SigningKey
from aegis.identity.membership import Membership, MembershipFile, Role

AUTHORITY = "authority"
LIST = "federation.json"
_PATIENCE_S = 10.0


@dataclass(frozen=True)
class Registrar:
    """``folder`` is AEGIS_HOME/keys."""

    folder: Path
    passphrase: str | None = None

    @property
    def keys(self) -> Keys:
        return Keys(self.folder)

    @property
    def there(self) -> bool:
        return self.keys.path(AUTHORITY).exists() and (self.folder / LIST).exists()

    @property
    def authority(self) -> PublicKey:
        """Without the passphrase."""
        return self.keys.public(AUTHORITY).signing

    @property
    def file(self) -> MembershipFile:
        return MembershipFile(self.folder / LIST, self.authority)

    @property
    def membership(self) -> Membership:
        """Raises ``BadInput`` where no federation has begun here."""
        if not self.there:
            raise BadInput(
                f"{self.folder} holds no federation",
                "the list of members is kept where its authority's key is",
                "Begin one here: aegis keys admit NAME.public.json; or run this at the coordinator",
            )
        return self.file.membership

    def begin(self, federation: str) -> Membership:
        """A new federation of nobody, with a new authority."""
        if not self.keys.path(AUTHORITY).exists():
            self.keys.write(Identity.generate(AUTHORITY), self.passphrase)
        if not (self.folder / LIST).exists():
            self.file.write(Membership(federation), self._signing())
        return self.membership

    def admit(self, identity: PublicIdentity, role: Role = "hospital") -> Membership:
        if identity.name == AUTHORITY:
            raise BadInput(f"{AUTHORITY} is the name of the key that signs the list of members")
        return self._changed(lambda before: before.admitted(identity, role))

    def accept(self, *rotations: Rotation) -> Membership:
        return self._changed(lambda before: before.rotated(*rotations))

    def revoke(self, name: str, reason: str) -> Membership:
        return self._changed(lambda before: before.revoked_member(name, reason, int(time.time())))

    def _signing(self) -> SigningKey:
        return self.keys.read(AUTHORITY, self.passphrase).signing

    def _changed(self, change: Callable[[Membership], Membership]) -> Membership:
        with self._alone():
            before = self.membership
            after = change(before)
            if after != before:
                after.check_follows(before)
                self.file.write(after, self._signing())
            return after

    @contextmanager
    def _alone(self) -> Iterator[None]:
        path = self.folder / f".{LIST}.lock"
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                break
            except FileExistsError as error:
                if time.monotonic() > deadline:
                    raise RunAborted(
                        "another command is changing the list of members",
                        way_out=f"If none is running, remove {path}",
                    ) from error
                time.sleep(0.05)
            except FileNotFoundError:
                self.membership  # says what is missing  # noqa: B018
                raise
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
