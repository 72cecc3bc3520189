"""A hospital's window as a stranger finds it, and everybody who may stand in front of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aegis.console.hospital.desk import HospitalDesk
from aegis.console.hospital.opening import HospitalWindow, hospital_window
from aegis.console.people.passwords import Passwords
from aegis.console.people.roles import Person, Role
from aegis.operations.hospital.folder import HospitalFolder


def opened(folder: HospitalFolder, monkeypatch: pytest.MonkeyPatch) -> HospitalWindow:
    """The real one, with its key open. Nobody waits at it, passwords are cheap, and own training
    begins nothing."""
    monkeypatch.setattr(HospitalDesk, "train", lambda desk: None)
    found = hospital_window(folder, folder.identity())
    many = 10**9
    found.door.rates = replace(
        found.door.rates, looking=many, asking=many, strangers=many, machine=many, proving=many
    )
    found.door.accounts.passwords = Passwords((1, 8, 1))
    return found


def everybody() -> dict[str, Person | None]:
    roles = {role.value: Person(f"the {role.value}", frozenset({role}), "north") for role in Role}
    elsewhere = Person("a stranger", frozenset({Role.HOSPITAL_OPERATOR}), "south")
    return {**roles, "nobody": None, "an operator of another hospital": elsewhere}
