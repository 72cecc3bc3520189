"""Where a federation stands. Each state holds just what the next step needs, and nothing else.

    Registration -> Collecting (round 0) -> RoundSetup -> Collecting -> Aggregating -> Broadcasting
                                                ^                                         |
                                                +-------------- next round ---------------+
    Broadcasting -> Terminated        any state -> Failed

Where the coordinator may see sums only, ``Sealing`` stands around a state that collects: the five
stages of the protocol, with the running masked sum.

``Idle`` is the coordinator between two runs. A state that is saved is enough to go on: what must be
asked next follows from the state and the plan alone, so a crash between two saves costs time, never
a round. No state holds a single hospital's update; ``Aggregating`` holds their combination. What
comes nearest is FoolsGold's memory, each hospital's updates added up over all rounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.messages import Enrolled, Part, Vector
from aegis.secagg import sums


@dataclass(frozen=True, slots=True)
class Best:
    """The best round so far by the plan's metric on released validation figures."""

    round: int
    value: float
    weights: Vector


@dataclass(frozen=True, slots=True)
class Progress:
    """What every round inherits. ``round`` counts closed rounds of ``rounds``; ``memory`` is the
    server optimizer's; ``stale`` counts evaluations without improvement; ``lowest_loss`` is what a
    gate compares with."""

    run: str
    round: int
    hospitals: tuple[Enrolled, ...]
    preparation: str
    weights: Vector
    learning_rate: float
    rounds: int
    memory: Mapping[str, Vector] = field(default_factory=dict)
    participation: Mapping[str, int] = field(default_factory=dict)
    best: Best | None = None
    stale: int = 0
    lowest_loss: float | None = None


def released(progress: Progress) -> Vector:
    """The model that goes to whoever asks: the running average where the plan keeps one."""
    average = progress.memory.get("average")
    return progress.weights if average is None else average


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """A stored model to start from, with the preparation it was trained on."""

    model_sha256: str
    preparation: str
    weights: Vector


@dataclass(frozen=True, slots=True)
class Idle:
    """Between two runs."""


@dataclass(frozen=True, slots=True)
class Registration:
    run: str
    invited: tuple[str, ...]
    enrolled: tuple[Enrolled, ...] = ()
    start: StartingPoint | None = None
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Tallying:
    """Collecting, in round 0: the statistics."""

    run: str
    hospitals: tuple[Enrolled, ...]
    vocabulary: Mapping[str, tuple[str, ...]] | None = None
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class RoundSetup:
    progress: Progress
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Collecting:
    progress: Progress
    asked: tuple[str, ...]
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Aggregating:
    """``combined`` is the rule's result over all accepted updates, ``control`` SCAFFOLD's, and
    ``memory`` what the rule must know in the next round."""

    progress: Progress
    contributors: tuple[str, ...]
    absent: tuple[str, ...]
    combined: Vector
    examples: int
    control: Vector | None = None
    memory: Mapping[str, Vector] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SealedScores:
    """The summed scores of hospitals that let nothing smaller out. ``reason`` where there is no
    sum."""

    hospitals: tuple[str, ...]
    histogram: NDArray[np.int64] | None
    loss_sum: float | None
    reason: str = ""
    groups: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class Broadcasting:
    """The new model goes out to be scored. ``final``: the chosen model, on the test rows.
    ``sealed``: what the sealed sum of those hospitals' scores came to that share no more.
    ``before``: where the round began, while a gate may still send it back. ``known``: an earlier
    sum of the same model's scores, for where a final one cannot be had."""

    progress: Progress
    part: Part
    absent: tuple[str, ...] = ()
    final: bool = False
    reason: str = ""
    status: Literal["completed", "stopped"] = "completed"
    change: float = 0.0
    sealed: SealedScores | None = None
    attempt: int = 1
    before: Progress | None = None
    known: SealedScores | None = None


@dataclass(frozen=True, slots=True)
class Sealing:
    """``of`` is what the sum is for; ``combiner`` where the protocol stands."""

    of: Tallying | Collecting | Broadcasting
    combiner: sums.Combiner | sums.Opening


@dataclass(frozen=True, slots=True)
class Terminated:
    """``histograms`` and ``losses`` are the released scores of the final model, by hospital, and
    ``groups`` the counts by group of patients (``aegis.assurance.groups``); ``noise`` is the
    standard deviation in each count of the hospitals that add some: theirs may be negative."""

    progress: Progress
    status: Literal["completed", "stopped"]
    reason: str
    round: int
    histograms: Mapping[str, NDArray[np.int64]]
    losses: Mapping[str, float | None]
    sealed: SealedScores | None = None
    groups: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    noise: Mapping[str, float] = field(default_factory=dict)


CHECK_HOSPITALS = "Check the hospitals named"
"""The way out of a run that can go on; who conducts it adds the command."""


@dataclass(frozen=True, slots=True)
class Failed:
    """``progress`` is where the run can go on once the reason is gone."""

    run: str
    reason: str
    way_out: str = ""
    progress: Progress | None = None


State: TypeAlias = (
    Idle
    | Registration
    | Tallying
    | RoundSetup
    | Collecting
    | Aggregating
    | Broadcasting
    | Sealing
    | Terminated
    | Failed
)

NAMES: Mapping[type, str] = {Tallying: "Collecting"}
CLASSES: tuple[type, ...] = (
    Idle,
    Registration,
    Tallying,
    RoundSetup,
    Collecting,
    Aggregating,
    Broadcasting,
    Sealing,
    SealedScores,
    Terminated,
    Failed,
    Progress,
    Best,
    StartingPoint,
    Enrolled,
    *sums.CLASSES,
)


def name(state: State) -> str:
    """The state's public name, as the documents and the consoles call it."""
    inner = state.of if isinstance(state, Sealing) else state
    return NAMES.get(type(inner), type(inner).__name__)
