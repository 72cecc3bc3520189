"""Who belongs to the federation, changed at the console: invite, admit, revoke.

Each change of the members goes into the coordinator's own log, with the name of who made it.
"""

from __future__ import annotations

from aegis.console.coordinator.desk import Desk
from aegis.console.coordinator.records import own_log
from aegis.console.people.roles import Person
from aegis.errors import BadInput, RunAborted
from aegis.events import ConfigChanged
from aegis.identity.membership import Membership, Standing
from aegis.operations.coordinator.coordinator import Coordinator

LONGEST_REASON = 300


def running(desk: Desk) -> Coordinator:
    """Raises ``RunAborted`` where only finished runs are shown."""
    if desk.coordinator is None:
        raise RunAborted(
            "no coordinator runs in this process", way_out="Start one: aegis coordinator"
        )
    return desk.coordinator


def standing(desk: Desk, name: str) -> Standing | None:
    if desk.coordinator is None:
        return None
    return desk.coordinator.office.registrar.membership.standing(name)


def invite(desk: Desk, name: str, address: str, trusted: bool) -> str:
    """The text of a join code for one hospital, good once and for 15 minutes."""
    coordinator = running(desk)
    where = coordinator.office.address or address
    return coordinator.desk.invite(name, where, trusted).text


def admit(desk: Desk, name: str, fingerprint: str, person: Person) -> None:
    """Raises ``CheckFailed`` where another fingerprint was read out."""
    coordinator = running(desk)
    before = coordinator.office.registrar.membership
    after = coordinator.desk.confirm(name, fingerprint)
    _record(coordinator, f"{name} admitted by {person.name}", before, after)


def revoke(desk: Desk, name: str, reason: str, person: Person) -> None:
    """Close the road for a hospital for good; under new keys it may be admitted again."""
    why = " ".join(reason.split())
    if not why or len(why) > LONGEST_REASON:
        raise BadInput(
            f"a reason of {len(why)} characters", f"one of 1 to {LONGEST_REASON} characters"
        )
    coordinator = running(desk)
    registrar = coordinator.office.registrar
    before = registrar.membership
    after = registrar.revoke(name, why)
    coordinator.look_at_members()
    _record(coordinator, f"{name} revoked by {person.name}: {why}", before, after)


def _record(coordinator: Coordinator, what: str, before: Membership, after: Membership) -> None:
    if before == after:
        return
    told = ConfigChanged("", f"members: {what}", before.sha256, after.sha256)
    own_log.tell(coordinator.office.home, told)
