"""What one person alone may not do: raise a budget, leave masked mode, promote a model.

One proposes, with a reason; within a day another person with the same right confirms exactly what
was proposed, by its digest. Each proposal is used once. Proposing, confirming and refusing each are
an entry in the coordinator's own log before they hold: no entry, no act. This machine's own token
is nobody in particular and counts as neither of the two.

Two accounts are two people as far as whoever hands accounts out sees to it. An administrator who
resets somebody's account could come in as that person; that person's password then fails, and the
table of changes says who did it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, TypeVar

from aegis.console.people.book import Book, Row
from aegis.console.people.roles import Person, Right
from aegis.errors import AegisError, BadInput, CheckFailed
from aegis.events import ConfigChanged
from aegis.identity.identity import canonical

LIFETIME_S = 24 * 3600.0
LONGEST_REASON, LARGEST_PAYLOAD, MOST_OPEN = 500, 2**16, 100
Telling = Callable[[ConfigChanged], None]
State = Literal["open", "done", "withdrawn", "refused", "failed"]
T = TypeVar("T")


class Kind(StrEnum):
    RAISE_BUDGET = "raise_budget"
    LEAVE_MASKED = "leave_masked"
    PROMOTE_MODEL = "promote_model"


NEEDS: dict[Kind, Right] = {
    Kind.RAISE_BUDGET: Right.BUDGET,
    Kind.LEAVE_MASKED: Right.BUDGET,
    Kind.PROMOTE_MODEL: Right.PROMOTE,
}
_SELECT = (
    "SELECT number, kind, payload, sha256, proposer, reason, made, expires, state, second, closed,"
    " outcome FROM proposals"
)


@dataclass(frozen=True, slots=True)
class Proposal:
    """Times are seconds since 1970. ``second`` is who confirmed, refused or withdrew it; ``sha256``
    is that of the payload's canonical JSON."""

    number: int
    kind: Kind
    payload: dict[str, Any]
    sha256: str
    proposer: str
    reason: str
    made: float
    expires: float
    state: State
    second: str
    closed: float | None
    outcome: str

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class Proposals:
    """``tell`` enters an event in the coordinator's own audit log, and raises where it cannot;
    ``still`` says whether somebody of this name has a right now."""

    def __init__(
        self,
        book: Book,
        tell: Telling,
        lifetime_s: float = LIFETIME_S,
        still: Callable[[str, Right], bool] = lambda name, right: True,
    ) -> None:
        self.book, self._tell, self.lifetime_s, self._still = book, tell, lifetime_s, still

    def find(self, number: int) -> Proposal:
        """Raises ``BadInput`` where there is none of that number."""
        row = self.book.row(_SELECT + " WHERE number=?", number)
        if row is None:
            raise BadInput(f"there is no proposal {number}")
        return _proposal(row)

    def waiting(self, kind: Kind | None = None) -> list[Proposal]:
        """Those that another person may still confirm, oldest first."""
        rows = self.book.rows(
            _SELECT + " WHERE state='open' AND expires > ? ORDER BY number",
            self.book.clock(),
        )
        found = [_proposal(row) for row in rows]
        return [one for one in found if kind is None or one.kind is kind]

    def past(self, most: int = 100) -> list[Proposal]:
        """Newest first, whatever became of them."""
        rows = self.book.rows(_SELECT + " ORDER BY number DESC LIMIT ?", most)
        return [_proposal(row) for row in rows]

    def propose(
        self, kind: Kind, payload: Mapping[str, Any], person: Person, reason: str
    ) -> Proposal:
        """Raises ``CheckFailed`` without the right, ``BadInput`` without a reason, or where the
        same waits already."""
        _may(person, kind)
        why = " ".join(reason.split())
        if not why or len(why) > LONGEST_REASON:
            raise BadInput(
                f"a reason of {len(why)} characters",
                f"a proposal needs its reason, of at most {LONGEST_REASON}",
            )
        text, sha256 = _canonical(payload)
        now = self.book.clock()
        with self.book.whole():
            waiting = self.waiting()
            if any((one.kind, one.sha256) == (kind, sha256) for one in waiting):
                raise BadInput(
                    "the same is proposed already", way_out="Another person may confirm it"
                )
            if len(waiting) >= MOST_OPEN:
                raise BadInput(f"{MOST_OPEN} proposals wait already", way_out="Close some of them")
            self._tell(_event(kind, f"proposed by {person.name}: {why}", "", sha256))
            self.book.write(
                "INSERT INTO proposals (kind, payload, sha256, proposer, reason, made, expires,"
                " state) VALUES (?,?,?,?,?,?,?,'open')",
                kind.value, text, sha256, person.name, why, now, now + self.lifetime_s,
            )  # fmt: skip
            row = self.book.row("SELECT MAX(number) FROM proposals")
            assert row is not None
            return self.find(int(row[0]))

    def confirm(
        self,
        number: int,
        person: Person,
        seen_sha256: str,
        now_payload: Mapping[str, Any],
        act: Callable[[Proposal], T],
    ) -> T:
        """Does ``act`` once, as the second person. ``seen_sha256`` is what the person was shown,
        ``now_payload`` what the same act would be as things stand now: both must be what was
        proposed. Raises ``CheckFailed`` or ``BadInput``; an act that fails uses the proposal up."""
        with self.book.whole():
            one = self._closable(number)
            _may(person, one.kind)
            if person.name == one.proposer:
                raise CheckFailed(
                    f"{person.name} proposed this",
                    "another person with the right confirms it",
                )
            if not self._still(one.proposer, NEEDS[one.kind]):
                raise CheckFailed(
                    f"{one.proposer}, who proposed this, may not any more",
                    "two people with the right",
                    "Refuse it; somebody else may propose the same",
                )
            if _canonical(now_payload)[1] != one.sha256 or seen_sha256 != one.sha256:
                raise CheckFailed(
                    "what was proposed is not what would be done now",
                    f"the digest {one.sha256[:12]}",
                    "Look at it again; withdraw it and propose it anew",
                )
            told = f"proposed by {one.proposer}, confirmed by {person.name}: {one.reason}"
            self._tell(_event(one.kind, told, one.sha256, one.sha256))
            self._close(one, "done", person.name, "")
        try:
            return act(one)
        except Exception as error:
            why = str(error) if isinstance(error, AegisError) else type(error).__name__
            self._close(one, "failed", person.name, why[:LONGEST_REASON])
            self._tell(_event(one.kind, f"confirmed by {person.name}, failed", one.sha256, ""))
            raise

    def refuse(self, number: int, person: Person, reason: str = "") -> Proposal:
        """No, by somebody with the right; the proposer withdraws it so."""
        with self.book.whole():
            one = self._closable(number)
            _may(person, one.kind)
            state: State = "withdrawn" if person.name == one.proposer else "refused"
            why = " ".join(reason.split())[:LONGEST_REASON]
            self._tell(_event(one.kind, f"{state} by {person.name}: {why}", one.sha256, ""))
            self._close(one, state, person.name, why)
            return self.find(number)

    def _closable(self, number: int) -> Proposal:
        one = self.find(number)
        if one.state != "open":
            raise BadInput(f"proposal {number} is {one.state} already", "each is used once")
        if self.book.clock() >= one.expires:
            raise BadInput(
                f"proposal {number} has expired",
                f"it is confirmed within {self.lifetime_s / 3600:.0f} hours",
                "Propose it anew",
            )
        return one

    def _close(self, one: Proposal, state: State, second: str, outcome: str) -> None:
        self.book.write(
            "UPDATE proposals SET state=?, second=?, closed=?, outcome=? WHERE number=?",
            state, second, self.book.clock(), outcome, one.number,
        )  # fmt: skip


def _may(person: Person, kind: Kind) -> None:
    if person.way == "machine":
        raise CheckFailed(
            "this machine's token is nobody in particular",
            "the rule of two persons needs two people who have logged in",
        )
    if not person.can(NEEDS[kind]):
        raise CheckFailed(f"{person.name} may not '{NEEDS[kind].value}'", "a role that may")


def _canonical(payload: Mapping[str, Any]) -> tuple[str, str]:
    try:
        json.dumps(payload, allow_nan=False)
        data = canonical(dict(payload))
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInput("a proposal that is no JSON object") from error
    if len(data) > LARGEST_PAYLOAD:
        raise BadInput(f"a proposal of {len(data)} bytes", f"at most {LARGEST_PAYLOAD}")
    return data.decode(), hashlib.sha256(data).hexdigest()


def _event(kind: Kind, told: str, before: str, after: str) -> ConfigChanged:
    return ConfigChanged("", f"{kind.value}: {told}", before, after)


def _proposal(row: Row) -> Proposal:
    number, kind, payload, *rest = row
    return Proposal(number, Kind(kind), json.loads(payload), *rest)
