"""What happened: the one way out to the log, the database, the page and MLflow.

An event carries digests and counts; never an update, never a row. It is stored in the same
transaction as the state it belongs to and told to the listeners afterwards, so whoever listens
hears of nothing that a crash could undo.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class RunStarted:
    run: str
    task: str
    plan_sha256: str
    seed: int
    rounds: int
    trust: str


@dataclass(frozen=True, slots=True)
class HospitalJoined:
    run: str
    hospital: str
    examples: int
    held_out: int


@dataclass(frozen=True, slots=True)
class StatisticsReleased:
    """The summed statistics of round 0; ``sha256`` is the digest of what follows from them."""

    run: str
    hospitals: int
    examples: int
    sha256: str


@dataclass(frozen=True, slots=True)
class RoundOpened:
    run: str
    round: int
    attempt: int
    asked: tuple[str, ...]
    model_sha256: str
    learning_rate: float


@dataclass(frozen=True, slots=True)
class ReplyQuarantined:
    run: str
    round: int
    hospital: str
    reason: str


@dataclass(frozen=True, slots=True)
class HospitalAbsent:
    run: str
    round: int
    hospital: str
    reason: str


@dataclass(frozen=True, slots=True)
class RoundAggregated:
    run: str
    round: int
    rule: str
    hospitals: tuple[str, ...]
    examples: int
    change_norm: float


@dataclass(frozen=True, slots=True)
class RoundClosed:
    """``metrics`` are the summed ones of all hospitals; ``hospitals`` only what policy releases."""

    run: str
    round: int
    model_sha256: str
    metrics: Mapping[str, float | None]
    hospitals: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    learning_rate: float = 0.0
    part: str = "test"


@dataclass(frozen=True, slots=True)
class RunEnded:
    """``status`` is completed, stopped or aborted; ``round`` is the one the model comes from."""

    run: str
    status: str
    reason: str
    rounds: int
    round: int
    model_sha256: str


Event: TypeAlias = (
    RunStarted
    | HospitalJoined
    | StatisticsReleased
    | RoundOpened
    | ReplyQuarantined
    | HospitalAbsent
    | RoundAggregated
    | RoundClosed
    | RunEnded
)
Listener: TypeAlias = Callable[[Event], None]


def as_json(event: Event) -> dict[str, Any]:
    """The event as plain JSON values, with its kind."""
    fields = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
    return {"event": type(event).__name__, **fields}
