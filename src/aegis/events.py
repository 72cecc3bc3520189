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
    """A run began with this plan, for at most so many ``rounds``."""

    run: str
    task: str
    plan_sha256: str
    seed: int
    rounds: int
    trust: str


@dataclass(frozen=True, slots=True)
class HospitalJoined:
    """``approval`` is who let the plan in there: a person, the policy by name, or nobody but the
    policy's own limits (automatic)."""

    run: str
    hospital: str
    examples: int
    held_out: int
    policy_sha256: str = ""
    approval: str = ""


@dataclass(frozen=True, slots=True)
class StatisticsReleased:
    """The summed statistics of round 0; ``sha256`` is the digest of what follows from them."""

    run: str
    hospitals: int
    examples: int
    sha256: str


@dataclass(frozen=True, slots=True)
class RoundOpened:
    """``asked`` are the hospitals that get the model with this digest to train; a round without
    quorum is opened again with the next ``attempt``."""

    run: str
    round: int
    attempt: int
    asked: tuple[str, ...]
    model_sha256: str
    learning_rate: float


@dataclass(frozen=True, slots=True)
class ReplyQuarantined:
    """A reply was set aside and not used, and why."""

    run: str
    round: int
    hospital: str
    reason: str


@dataclass(frozen=True, slots=True)
class HospitalAbsent:
    """A hospital that was asked gave no reply that counts: late, gone, or it declined, and why."""

    run: str
    round: int
    hospital: str
    reason: str


@dataclass(frozen=True, slots=True)
class SumOpened:
    """A sealed sum over ``survivors``, in groups of these ``sizes``; ``commitments`` are the
    digests of what each hospital put into it, ``signatures`` its own on them (hexadecimal). They
    are bound to run, round, purpose, plan and what stands last here."""

    run: str
    round: int
    purpose: str
    survivors: tuple[str, ...]
    sizes: tuple[int, ...]
    commitments: Mapping[str, str]
    signatures: Mapping[str, str] = field(default_factory=dict)
    attempt: int = 1
    roster_sha256: str = ""
    schema_sha256: str = ""


@dataclass(frozen=True, slots=True)
class RoundAggregated:
    """The updates of ``hospitals`` became one by ``rule``; ``change_norm`` is how far the model
    moved (L2)."""

    run: str
    round: int
    rule: str
    hospitals: tuple[str, ...]
    examples: int
    change_norm: float


@dataclass(frozen=True, slots=True)
class RoundClosed:
    """``metrics`` are the summed ones of all hospitals; ``hospitals`` only what policy releases.
    ``next_sha256`` is the model that the next round starts from, where it is another than the one
    that is released (the running average of private descent)."""

    run: str
    round: int
    model_sha256: str
    metrics: Mapping[str, float | None]
    hospitals: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    learning_rate: float = 0.0
    part: str = "test"
    next_sha256: str = ""


@dataclass(frozen=True, slots=True)
class RoundRejected:
    """The gate: the validation loss is above its limit, and the model stays as it was."""

    run: str
    round: int
    log_loss: float
    limit: float


@dataclass(frozen=True, slots=True)
class RunEnded:
    """``status`` is completed, stopped or aborted; ``round`` is the one the model comes from."""

    run: str
    status: str
    reason: str
    rounds: int
    round: int
    model_sha256: str


@dataclass(frozen=True, slots=True)
class RosterFixed:
    """Public signing keys, hexadecimal: of whoever signs this run's checkpoints, and of hospitals;
    ``witnesses`` are those that are asked to cosign."""

    run: str
    coordinator: str
    hospitals: Mapping[str, str]
    witnesses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeyChanged:
    """``signature`` is the old key's on the new one; ``name`` a hospital, or empty for the
    coordinator. Keys and signature are hexadecimal."""

    run: str
    name: str
    before: str
    after: str
    signature: str


@dataclass(frozen=True, slots=True)
class HospitalFlagged:
    """``detector`` found this hospital's update unlike the others, by ``score``; in words, why. In
    grouped mode ``hospital`` names all members of the group."""

    run: str
    round: int
    hospital: str
    detector: str
    score: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WitnessRefused:
    """A hospital did not cosign a checkpoint of this log, and why."""

    run: str
    round: int
    hospital: str
    reason: str


@dataclass(frozen=True, slots=True)
class BudgetSpent:
    """What a hospital's ledger says this run spent there, and how far the ledger had come."""

    run: str
    hospital: str
    epsilon: float
    epsilon_rdp: float
    delta: float
    releases: int
    ledger_rows: int
    ledger_sha256: str


@dataclass(frozen=True, slots=True)
class ModelStored:
    """``parent`` is the version that training started from, or empty; ``card_sha256`` covers the
    model's card, preparation of its inputs included."""

    run: str
    model_sha256: str
    parent: str
    card_sha256: str


@dataclass(frozen=True, slots=True)
class MembershipAudited:
    """``auc`` is that of the strongest attack."""

    run: str
    model_sha256: str
    verdict: str
    auc: float | None


@dataclass(frozen=True, slots=True)
class FairnessAssessed:
    """``violations`` names each measure that passed its threshold."""

    run: str
    model_sha256: str
    violations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelPromoted:
    """From now on this version is the one in use, instead of ``before``; a rollback is the
    promotion of an older one."""

    run: str
    model_sha256: str
    before: str
    reason: str


@dataclass(frozen=True, slots=True)
class ConfigChanged:
    """``what`` was changed; the digests are of its canonical text."""

    run: str
    what: str
    before_sha256: str
    after_sha256: str


@dataclass(frozen=True, slots=True)
class Exported:
    """``what`` left the data root as a file with this digest."""

    run: str
    what: str
    sha256: str


@dataclass(frozen=True, slots=True)
class RunSealed:
    """A run's log is complete: its size, its root, and the digests of its last checkpoint, of its
    result, and of its row in the coordinator's database."""

    run: str
    size: int
    root: str
    checkpoint_sha256: str
    result_sha256: str
    database_sha256: str


Event: TypeAlias = (
    RunStarted
    | HospitalJoined
    | StatisticsReleased
    | RoundOpened
    | ReplyQuarantined
    | HospitalAbsent
    | SumOpened
    | RoundAggregated
    | RoundClosed
    | RoundRejected
    | RunEnded
    | RosterFixed
    | KeyChanged
    | HospitalFlagged
    | WitnessRefused
    | BudgetSpent
    | ModelStored
    | MembershipAudited
    | FairnessAssessed
    | ModelPromoted
    | ConfigChanged
    | Exported
    | RunSealed
)
Listener: TypeAlias = Callable[[Event], None]


def as_json(event: Event) -> dict[str, Any]:
    """The event as plain JSON values, with its kind."""
    fields = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
    return {"event": type(event).__name__, **fields}
