"""Which version of a task is in use: promoted by two persons, after its checks, or rolled back to.

The first person proposes, a second one promotes; each may sign with a key of the data root's key
folder, and then the same key never counts twice. Nothing overrides a check that did not hold. A
rollback needs one person: it only ever goes back to what was in use before. Every act is a row that
is never changed, and a promotion is an entry in the coordinator's log before it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from aegis.errors import BadInput, CheckFailed
from aegis.events import ModelPromoted
from aegis.identity.identity import canonical, checked_name
from aegis.identity.keys import PublicKey, SigningKey
from aegis.store.journal import Journal
from aegis.store.registry import Registry, Version

PROMOTION = "aegis/promotion/v1"
Kind = Literal["proposed", "promoted", "rolled_back"]
Telling = Callable[[ModelPromoted], None]


@dataclass(frozen=True)
class Gate:
    name: str
    passed: bool
    reason: str


@dataclass(frozen=True)
class Person:
    """``key`` is None for somebody who is known by name only."""

    name: str
    key: SigningKey | None = None

    def __post_init__(self) -> None:
        checked_name(self.name)


@dataclass(frozen=True)
class Act:
    number: int
    kind: Kind
    task: str
    version: int
    sha256: str
    person: str
    key: str
    signature: str
    reason: str
    time: str

    @property
    def signed(self) -> bool:
        """Whether its signature is that of its key on this very act."""
        if not (self.key and self.signature):
            return False
        text = _statement(self.kind, self.task, self.sha256, self.person, self.reason)
        try:
            public = PublicKey(bytes.fromhex(self.key))
            return public.verifies(PROMOTION, text, bytes.fromhex(self.signature))
        except (CheckFailed, ValueError):
            return False

    @property
    def who(self) -> str:
        if not self.key:
            return f"{self.person} (by name only)"
        return f"{self.person} ({PublicKey(bytes.fromhex(self.key)).fingerprint[:14]})"

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "task": self.task,
            "version": f"v{self.version}",
            "sha256": self.sha256,
            "person": self.person,
            "key": self.key or None,
            "signed": self.signed,
            "reason": self.reason,
            "time": self.time,
        }


def gates(registry: Registry, version: Version, log: Sequence[str]) -> list[Gate]:
    """What has to hold before a version is used. ``log`` holds the faults of its run's audit log,
    empty where it was verified."""
    card = version.card
    attacked, fairness = card.get("membership_audit") or {}, card.get("fairness") or {}
    try:
        registry.verify(version)
        intact = Gate("files", True, "weights and card are those that were stored")
    except CheckFailed as error:
        intact = Gate("files", False, str(error))
    if attacked.get("passed"):
        audit = Gate("membership audit", True, str(attacked.get("reason")))
    else:
        verdict = attacked.get("verdict") or "not made"
        audit = Gate("membership audit", False, f"{verdict}: {attacked.get('reason')}")
    fair = fairness.get("fair")
    said = fairness.get("sentence") or fairness.get("reason") or "nothing was compared"
    return [
        intact,
        Gate("audit log", not log, log[0] if log else "verified"),
        audit,
        Gate("fairness", fair is True, str(said)),
    ]


@dataclass(frozen=True)
class Promotions:
    journal: Journal
    registry: Registry

    def acts(self, task: str | None = None) -> list[Act]:
        """Oldest first."""
        found = [Act(*row) for row in self.journal.promotions()]
        return [act for act in found if task is None or act.task == task]

    def in_use(self, task: str) -> Version | None:
        acts = [act for act in self.acts(task) if act.kind != "proposed"]
        return self._version(acts[-1].version) if acts else None

    def proposal(self, version: Version) -> Act | None:
        """The one that waits for a second person; a promotion in between ends it."""
        found = None
        for act in self.acts(version.task):
            if act.kind != "proposed":
                found = None
            elif act.version == version.number:
                found = act
        return found

    def promote(
        self, version: Version, person: Person, reason: str, checks: Sequence[Gate], tell: Telling
    ) -> Act:
        """Propose, or promote what another person proposed. Raises ``CheckFailed`` with the reasons
        where a gate is shut, ``BadInput`` where the second person is the first."""
        shut = [gate for gate in checks if not gate.passed]
        if shut:
            raise CheckFailed(
                f"{version.name} ({version.sha256[:12]}) is not promoted: "
                + "; ".join(f"{gate.name}: {gate.reason.rstrip('.')}" for gate in shut),
                "every check must hold",
                f"See: aegis models show {version.name}",
            )
        current = self.in_use(version.task)
        if current is not None and current.number == version.number:
            raise BadInput(f"{version.name} is in use for {version.task} already")
        first = self.proposal(version)
        if first is None:
            return self._act("proposed", version, person, reason)
        mine = person.key.public.hex if person.key else ""
        if person.name == first.person or (mine and mine == first.key):
            raise BadInput(
                f"{first.person} has proposed {version.name} already",
                "another person must promote it",
                f"For example: aegis models promote {version.name} --by SECOND_PERSON",
            )
        if first.key and not first.signed:
            raise CheckFailed(
                f"the proposal of {first.person} does not carry that person's signature",
                "somebody changed the database",
                "Verify the log: aegis audit verify",
            )
        told = f"proposed by {first.who}, promoted by {person.name}: {reason or first.reason}"
        before = "" if current is None else current.sha256
        tell(ModelPromoted(version.run, version.sha256, before, told))
        return self._act("promoted", version, person, reason)

    def roll_back(self, task: str, person: Person, reason: str, tell: Telling) -> Act:
        """Use again what was in use before. Raises ``BadInput`` where nothing was, ``CheckFailed``
        where its files are damaged."""
        stack: list[int] = []  # the versions in use, one on the other
        for act in self.acts(task):
            if act.kind == "promoted":
                stack.append(act.version)
            elif act.kind == "rolled_back":
                stack.pop()
        if len(stack) < 2:
            raise BadInput(
                f"no version of {task} was in use before",
                "a rollback goes back to one that was",
                "See: aegis models list",
            )
        if not reason.strip():
            raise BadInput("a rollback needs its reason", way_out="Add --reason TEXT")
        version = self._version(stack[-2])
        self.registry.verify(version)
        now = self._version(stack[-1])
        told = f"rolled back by {person.name}: {reason}"
        tell(ModelPromoted(version.run, version.sha256, now.sha256, told))
        return self._act("rolled_back", version, person, reason)

    def _act(self, kind: Kind, version: Version, person: Person, reason: str) -> Act:
        text = _statement(kind, version.task, version.sha256, person.name, reason)
        key = person.key.public.hex if person.key else ""
        signature = person.key.sign(PROMOTION, text).hex() if person.key else ""
        row = (kind, version.task, version.number, version.sha256, person.name, key, signature)
        self.journal.add_promotion(*row, reason)
        return self.acts(version.task)[-1]

    def _version(self, number: int) -> Version:
        return next(v for v in self.registry.versions() if v.number == number)


def _statement(kind: str, task: str, sha256: str, person: str, reason: str) -> bytes:
    document = {"kind": kind, "task": task, "sha256": sha256, "person": person, "reason": reason}
    return canonical(document)
