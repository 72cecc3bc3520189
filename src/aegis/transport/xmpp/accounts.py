"""Who may speak at the server: one account per agent, with a password that nobody chose.

FOLDER/accounts.json                             0600   the passwords, by agent
DATA/HOST/accounts/AGENT.dat                     0600   what the server keeps: SCRAM-SHA-256 keys

The server reads an account's file whenever somebody logs in, so an account that is written here
counts at once; no password is ever an argument of a command or leaves in clear. A password is 32
random bytes, so the few iterations of RFC 7677 are enough.

For a server of one's own: python -m aegis.transport.xmpp.accounts FOLDER HOST DATA NAME...
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from aegis.errors import BadInput, DataError
from aegis.identity.identity import checked_name
from aegis.identity.keyfile import write_private

COORDINATOR = "coordinator"
ITERATIONS = 4096


def account(name: str) -> str:
    """The local part of an address: those know no capitals, names do."""
    return re.sub("[A-Z]", lambda found: "+" + found[0].lower(), name)


class Accounts:
    """The accounts of one federation at ``host``. ``data`` is the server's data folder where this
    process may write there; without it, each account must exist in ``folder``'s file."""

    def __init__(self, folder: Path, host: str, data: Path | None = None) -> None:
        self._file, self._host, self._data = folder / "accounts.json", host, data
        self._lock = threading.Lock()
        self._passwords = self._read()

    @property
    def hospitals(self) -> Mapping[str, str]:
        """Their names by address, without resource."""
        with self._lock:
            names = [name for name in self._passwords if name != COORDINATOR]
        return {f"{account(name)}@{self._host}": name for name in names}

    def hospital(self, name: str) -> str:
        """The password of a hospital; a new account where it has none."""
        if account(checked_name(name)) == COORDINATOR:
            raise BadInput(
                f"{name} is the coordinator's own name on this road", way_out="Choose another name"
            )
        return self._password(name)

    def coordinator(self) -> str:
        return self._password(COORDINATOR)

    def expel(self, name: str) -> None:
        """From now on nobody logs in as this hospital, and what still comes is dropped."""
        with self._lock:
            if self._passwords.pop(name, None) is not None:
                self._save()
            if self._data is not None:
                self._path(self._data, name).unlink(missing_ok=True)

    def write_all(self) -> None:
        """Give the server every account that is known here."""
        with self._lock:
            if self._data is not None:
                for name, password in self._passwords.items():
                    self._give(self._data, name, password)

    def _password(self, name: str) -> str:
        with self._lock:
            known = self._passwords.get(name)
            if known is None:
                if self._data is None:
                    raise BadInput(
                        f"{name} has no account at {self._host}",
                        f"{self._file} names those that exist there",
                        "Make it where that server's data lies: "
                        f"python -m aegis.transport.xmpp.accounts FOLDER {self._host} DATA {name}",
                    )
                known = self._passwords[name] = secrets.token_urlsafe(32)
                self._save()
            if self._data is not None and not self._path(self._data, name).exists():
                self._give(self._data, name, known)
            return known

    def _read(self) -> dict[str, str]:
        if not self._file.exists():
            return {}
        try:
            found = json.loads(self._file.read_text("utf-8"))
            if not (
                isinstance(found, dict) and all(isinstance(value, str) for value in found.values())
            ):
                raise ValueError("not a password for each name")
        except (OSError, ValueError) as error:
            raise DataError(f"{self._file} cannot be read ({error})") from error
        return found

    def _save(self) -> None:
        write_private(self._file, json.dumps(self._passwords, indent=1).encode(), replace=True)

    def _path(self, data: Path, name: str) -> Path:
        return data / _encoded(self._host) / "accounts" / f"{_encoded(account(name))}.dat"

    def _give(self, data: Path, name: str, password: str) -> None:
        """The file belongs to whom the folder belongs to: the server's own user."""
        path = self._path(data, name)
        owner = data.stat()
        for folder in (path.parent.parent, path.parent):
            if folder.is_symlink():
                raise DataError(f"{folder} is a link", "the server's own folder")
            if not folder.exists():
                folder.mkdir(mode=0o700)
                _handed(folder, owner)
        # The server may write in this folder, and is believed nothing: its links are not followed.
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(8)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        handle = os.open(temporary, flags, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(scram(password))
            file.flush()
            _handed(file.fileno(), owner)
        os.replace(temporary, path)


def scram(password: str, salt: str | None = None, iterations: int = ITERATIONS) -> str:
    """An account as the server stores it (RFC 5802, section 3): neither password nor anything that
    logs in elsewhere."""
    salt = salt or secrets.token_hex(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    fields = {
        "stored_key": hashlib.sha256(client_key).hexdigest(),
        "server_key": hmac.digest(salted, b"Server Key", "sha256").hex(),
        "salt": salt,
    }
    lines = [f'\t["{key}"] = "{value}";' for key, value in fields.items()]
    lines.append(f'\t["iteration_count"] = {iterations};')
    return "return {\n" + "\n".join(lines) + "\n};\n"


def _encoded(name: str) -> str:
    """As the server names its files."""
    return re.sub(r"[^A-Za-z0-9]", lambda found: f"%{ord(found[0]):02x}", name)


def _handed(place: Path | int, owner: os.stat_result) -> None:
    """``place`` is a folder, or an open file."""
    if not (hasattr(os, "geteuid") and os.geteuid() == 0):
        return
    if isinstance(place, int):
        os.fchown(place, owner.st_uid, owner.st_gid)
    else:
        os.chown(place, owner.st_uid, owner.st_gid, follow_symlinks=False)


def main(arguments: list[str]) -> int:
    if len(arguments) < 4:
        print(__doc__, file=sys.stderr)
        return 2
    folder, host, data, *names = arguments
    accounts = Accounts(Path(folder), host, Path(data))
    accounts.coordinator()
    for name in names:
        accounts.hospital(name)
    print(f"{len(names)} hospitals and the coordinator have accounts at {host}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
