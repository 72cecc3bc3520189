"""Which role may do what, as one table, and whose figures a person may see.

A person may do what any of its roles may. A person who belongs to a hospital is bound to it
whatever the roles: of figures that exist once per hospital it sees its own only. The others are
withheld from lists (``seen``) and do not exist by name (``of_hospital`` is False, the route says
404), so that nobody learns from an answer whether a hospital of that name takes part.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


class Role(StrEnum):
    ADMIN = "admin"
    RESEARCHER = "researcher"
    HOSPITAL_OPERATOR = "hospital-operator"
    PRIVACY_OFFICER = "privacy-officer"
    AUDITOR = "auditor"
    VIEWER = "viewer"


class Right(StrEnum):
    ACCOUNT = "account"  # one's own password, second factor and sessions
    READ = "read"  # pages and results
    LOG_READ = "log_read"  # a run's own log lines
    METRICS = "metrics"  # Prometheus
    AUDIT_READ = "audit_read"  # the audit log, its checkpoints, verify now
    START = "start"  # start a run
    STEER = "steer"  # pause, resume, stop, reset
    CONFIGURE = "configure"  # change the plan of the next run
    ASK = "ask"  # a question that is charged to every hospital's budget
    PROMOTE = "promote"  # propose or confirm another serving model (two persons)
    ROLL_BACK = "roll_back"  # back to the model served before
    BUDGET = "budget"  # propose or confirm a larger budget, or leaving masked mode (two persons)
    APPROVE_PLAN = "approve_plan"  # a hospital says yes or no to a plan
    UPLOAD = "upload"  # a table, at a hospital's own console
    TRAIN_ALONE = "train_alone"  # on a hospital's own rows only
    PREDICT = "predict"  # with a hospital's own rows
    PEOPLE = "people"  # add, disable, change roles
    HOSPITALS = "hospitals"  # invite, admit, revoke


_EVERYBODY = frozenset({Right.ACCOUNT, Right.READ})
RIGHTS: dict[Role, frozenset[Right]] = {
    Role.VIEWER: _EVERYBODY,
    Role.AUDITOR: _EVERYBODY | {Right.AUDIT_READ, Right.LOG_READ, Right.METRICS},
    Role.HOSPITAL_OPERATOR: _EVERYBODY
    | {Right.LOG_READ, Right.UPLOAD, Right.TRAIN_ALONE, Right.PREDICT},
    Role.RESEARCHER: _EVERYBODY
    | {
        Right.AUDIT_READ,
        Right.LOG_READ,
        Right.METRICS,
        Right.START,
        Right.STEER,
        Right.CONFIGURE,
        Right.ASK,
        Right.PROMOTE,
        Right.ROLL_BACK,
    },
    Role.PRIVACY_OFFICER: _EVERYBODY
    | {
        Right.AUDIT_READ,
        Right.LOG_READ,
        Right.METRICS,
        Right.STEER,
        Right.BUDGET,
        Right.APPROVE_PLAN,
        Right.PROMOTE,
        Right.ROLL_BACK,
    },
    Role.ADMIN: _EVERYBODY
    | {
        Right.AUDIT_READ,
        Right.LOG_READ,
        Right.METRICS,
        Right.STEER,
        Right.PEOPLE,
        Right.HOSPITALS,
    },
}

Way = Literal["session", "token", "machine"]


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks. ``csrf`` is the session's synchroniser token, empty for scripts (a browser adds
    no Authorization header by itself); ``way`` is how the person proved who it is."""

    name: str
    roles: frozenset[Role]
    hospital: str | None = None
    csrf: str = field(default="", repr=False)
    way: Way = "session"

    @property
    def rights(self) -> frozenset[Right]:
        return rights_of(self.roles)

    def can(self, right: Right) -> bool:
        return right in self.rights


def rights_of(roles: Iterable[Role]) -> frozenset[Right]:
    return frozenset().union(*(RIGHTS[role] for role in roles))


def of_hospital(person: Person, name: str) -> bool:
    """Whether this person may see what exists once per hospital, for the hospital ``name``.

    An operator without a hospital sees no hospital's figures.
    """
    if person.hospital is not None:
        return person.hospital == name
    return bool(person.roles - {Role.HOSPITAL_OPERATOR})


def seen(person: Person, names: Iterable[str]) -> tuple[str, ...]:
    """Of these hospitals, those whose figures this person may see, in the same order."""
    return tuple(name for name in names if of_hospital(person, name))


# Whoever may read AEGIS_HOME/keys could do all of this without a console.
THIS_MACHINE = Person("this machine", frozenset(Role), way="machine")
