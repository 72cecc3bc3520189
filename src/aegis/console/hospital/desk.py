"""What every route of a hospital's window works with: one folder, and what may be done with it.

The node may run in this process, in another one or not at all; both share the folder, whose
databases and files are made for that. The key is there where a person opened it at the start:
without it the pages show everything and sign nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from aegis.console.people.roles import Person
from aegis.errors import AegisError, BadInput, RunAborted
from aegis.hospital.decisions import Decisions, Proposal
from aegis.hospital.policy import Closed, Policy
from aegis.hospital.policy_file import PolicyFile
from aegis.identity.identity import Identity
from aegis.operations.hospital.acts import Acts
from aegis.operations.hospital.alone import Own, train_alone
from aegis.operations.hospital.federation import Federation
from aegis.operations.hospital.folder import HospitalFolder
from aegis.operations.hospital.process import budget
from aegis.operations.hospital.standing import Standing, standing


class Training:
    """Own training, one at a time, in a thread of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.done, self.of, self.error = 0, 0, ""

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self, work: Callable[[Callable[[int, int], None]], Own]) -> None:
        """Raises ``RunAborted`` where one goes on."""
        with self._lock:
            if self.running:
                raise RunAborted("own training goes on already", way_out="Wait until it has ended")
            self.done, self.of, self.error = 0, 0, ""
            self._thread = threading.Thread(
                target=self._run, args=(work,), name="own training", daemon=True
            )
            self._thread.start()

    def wait(self, seconds: float | None = None) -> None:
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self, work: Callable[[Callable[[int, int], None]], Own]) -> None:
        def told(done: int, of: int) -> None:
            self.done, self.of = done, of

        try:
            work(told)
        except AegisError as error:
            self.error = str(error)
        except Exception as error:  # its words may quote a row
            self.error = f"own training failed: an unforeseen {type(error).__name__}"


@dataclass
class HospitalDesk:
    """``identity`` is None where nobody opened the key. ``kept`` holds what pages worked out, by
    what it was worked out of."""

    folder: HospitalFolder
    identity: Identity | None = None
    training: Training = field(default_factory=Training)
    kept: dict[Any, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.registered  # noqa: B018  (says what is missing)
        self.decisions = Decisions(self.folder.decisions)
        self.acts = Acts(self.folder.root)
        key = self.folder.keys.public(self.folder.name).signing
        self._policy = PolicyFile(self.folder.policy, self.folder.name, key, self.decisions)

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def standing(self) -> Standing:
        return standing(self.folder.root)

    @property
    def policy(self) -> Policy | Closed:
        return self._policy.current()

    @property
    def federation(self) -> Federation | None:
        with suppress(AegisError):
            return Federation.load(self.folder.federation)
        return None

    def signer(self) -> Identity:
        """Raises ``RunAborted`` where nobody opened this hospital's key."""
        if self.identity is None:
            raise RunAborted(
                "this hospital's key is not open here, and what people decide is signed with it",
                way_out="Start again with --passphrase-file, or set AEGIS_KEY_PASSPHRASE",
            )
        return self.identity

    def act(self, person: Person, act: str, about: str = "", said: str = "") -> None:
        self.acts.record(self.signer().signing, person.name, act, about, said)

    def money(self) -> dict[str, Any]:
        """``budget`` of the hospital's process; the same until ledger or policy change."""
        state = tuple(
            path.stat().st_mtime_ns if path.exists() else 0
            for path in (
                self.folder.ledger,
                self.folder.ledger.with_name(self.folder.ledger.name + "-wal"),
                self.folder.policy,
            )
        )
        found = self.kept.get("money")
        if found is None or found[0] != state:
            found = self.kept["money"] = (state, budget(self.folder))
        money: dict[str, Any] = found[1]
        return money

    def proposal(self, sha256: str) -> Proposal:
        """Raises ``BadInput`` where no such plan was proposed here."""
        for one in self.decisions.proposals():
            if one.plan_sha256 == sha256:
                return one
        raise BadInput("no such plan was proposed to this hospital", way_out="See /plans")

    def train(self) -> None:
        self.training.start(lambda told: train_alone(self.folder, told))

    def close(self) -> None:
        self.decisions.close()
        self.acts.close()


def desk_of(request: Request) -> HospitalDesk:
    found: HospitalDesk = request.app.state.desk
    return found
