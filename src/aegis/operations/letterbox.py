"""The letterbox: how hospitals of one machine enrol while nobody sits at a telephone.

LETTERBOX/
├── NAME.letter   from a hospital: its name and the fingerprint of its keys
└── NAME.code     from the coordinator: a join code for that name

It is the ordinary enrolment; what two people tell each other by telephone, the code one way and the
fingerprint the other, goes through a folder instead. So it is worth what that folder is worth:
whoever can write there can enrol as a hospital that has not enrolled yet. Mount it for the
coordinator and these hospitals, for nobody else, and only where one administrator owns them all.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from aegis.errors import AegisError, BadInput, DataError
from aegis.identity.identity import PublicIdentity, checked_name
from aegis.identity.join_code import JoinCode
from aegis.identity.keyfile import read_private, write_private

MOST = 1000
_LARGEST = 2**12


@dataclass(frozen=True, slots=True)
class Letter:
    name: str
    fingerprint: str


@dataclass(frozen=True)
class Letterbox:
    folder: Path

    def open(self) -> Letterbox:
        """Make the folder. Raises ``BadInput`` where other users of the machine may enter it."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = stat.S_IMODE(self.folder.stat().st_mode)
        if os.name == "posix" and mode & 0o077:
            raise BadInput(
                f"the letterbox {self.folder} is open to other users of this machine ({mode:o})",
                "whoever can write there can enrol as a hospital",
                f"Run: chmod 700 {self.folder}",
            )
        return self

    def post(self, identity: PublicIdentity) -> None:
        said = {"name": identity.name, "fingerprint": identity.fingerprint}
        write_private(self._letter(identity.name), json.dumps(said).encode(), replace=True)

    def letters(self) -> list[Letter]:
        """Those that can be read, by name; a spoilt one is nobody's."""
        found = []
        for path in sorted(self.folder.glob("*.letter"))[:MOST]:
            try:
                found.append(_read(path))
            except (AegisError, OSError, ValueError, KeyError, TypeError, RecursionError):
                continue
        return found

    def answer(self, name: str, code: JoinCode) -> None:
        write_private(self._code(name), code.text.encode(), replace=True)

    def code(self, name: str) -> JoinCode | None:
        """What was answered, if anything."""
        path = self._code(name)
        return JoinCode.read(read_private(path).decode("ascii")) if path.exists() else None

    def answered(self, name: str) -> float | None:
        """When the code for this name was put there (seconds since 1970)."""
        try:
            return self._code(name).stat().st_mtime
        except FileNotFoundError:
            return None

    def refuse(self, name: str) -> None:
        """Take a code away that did not serve; another one comes."""
        self._code(name).unlink(missing_ok=True)

    def clear(self, name: str) -> None:
        """Nothing more to say about this hospital."""
        self._letter(name).unlink(missing_ok=True)
        self.refuse(name)

    def _letter(self, name: str) -> Path:
        return self.folder / f"{checked_name(name)}.letter"

    def _code(self, name: str) -> Path:
        return self.folder / f"{checked_name(name)}.code"


def _read(path: Path) -> Letter:
    data = read_private(path)
    if len(data) > _LARGEST:
        raise DataError(f"{path} holds {len(data)} bytes", f"at most {_LARGEST}")
    said = json.loads(data)
    letter = Letter(checked_name(str(said["name"])), str(said["fingerprint"]))
    if path.name != f"{letter.name}.letter":
        raise DataError(f"{path} is from {letter.name}")
    return letter
