"""What travels when hospitals learn together: five requests, five answers, a refusal.

The coordinator asks, a hospital answers; a hospital that says nothing is an ``Absence``, which
only the road can report. Every message names its run and round, so that an answer can never be
counted for another question. Vectors are flat: a model of d parameters is one array of d numbers
(float32 for networks, float64 for linear models), and what a hospital returns is one array too.

    Invite      -> Enrolled    who is there, with how many rows
    Ask         -> Counts      before any training: how many patients, noise included
    Statistics  -> Tally       round 0: sums that standardisation and vocabularies follow from
    Train       -> Update      one hospital's contribution to one round
    Evaluate    -> Scores      counts of a score histogram on held-out rows
    any         -> Refusal     a gate said no, and why
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.floating]
Part: TypeAlias = Literal["validation", "test"]
Sharing: TypeAlias = Literal["shared", "noisy", "summed", "withheld"]

WITHHELD = -1  # in place of a count


@dataclass(frozen=True, slots=True)
class Invite:
    """``members`` is the federation's signed list of members as it stands, where the road is one
    between real hospitals: it is how each of them learns of the others' keys."""

    run: str
    plan_sha256: str
    plan_json: str
    round: int = 0
    members: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question about counts as canonical JSON, and what its asker wants it to cost."""

    run: str
    plan_sha256: str
    question_json: str
    epsilon: float
    delta: float
    round: int = 0


@dataclass(frozen=True, slots=True)
class Statistics:
    """With ``vocabulary`` absent the question is for words only, where a schema leaves categories
    open; with it (maybe empty) for the sums, laid out over these words."""

    run: str
    plan_sha256: str
    vocabulary: Mapping[str, tuple[str, ...]] | None = None
    total_examples: int = 0
    hospitals: int = 0
    round: int = 0


@dataclass(frozen=True, slots=True)
class Train:
    """``weights`` and ``control`` (SCAFFOLD) are flat, d long. ``preparation`` is the canonical
    JSON of what the statistics round gave; empty where the task needs none."""

    run: str
    plan_sha256: str
    round: int
    weights: Vector
    learning_rate: float
    total_examples: int
    hospitals: int
    preparation: str = ""
    control: Vector | None = None


@dataclass(frozen=True, slots=True)
class Evaluate:
    """``groups`` asks for the counts by group of patients too, once, at the end."""

    run: str
    plan_sha256: str
    round: int
    weights: Vector
    part: Part
    preparation: str = ""
    groups: bool = False


@dataclass(frozen=True, slots=True)
class Enrolled:
    """``schema_sha256`` is the digest of the table the hospital holds, ``resources`` what it
    declares for resource-based selection (a relative speed, above 0), ``identity`` its public
    signing key in hexadecimal, ``anchor`` the end of its hash chain where groups are drawn,
    ``scores`` how its policy lets scores out, ``approval`` who let the plan in."""

    run: str
    round: int
    hospital: str
    examples: int
    held_out: int
    schema_sha256: str
    policy_sha256: str = ""
    resources: float = 1.0
    identity: str = ""
    anchor: bytes = b""
    scores: Sharing = "shared"
    approval: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """``cells`` in the shape of the question, int64: with noise of standard deviation ``noise_sd``
    (they may be negative), or, where that is 0, exact and ``WITHHELD`` below ``minimum_cell``. No
    sum of a cell under ``minimum_cell`` is to be shown. ``examples`` is all rows that were asked.
    """

    run: str
    round: int
    hospital: str
    cells: NDArray[np.int64]
    examples: int
    noise_sd: float
    minimum_cell: int


@dataclass(frozen=True, slots=True)
class Tally:
    """``sums`` follows the layout that the schema fixes; ``vocabulary`` lists, for each column
    without public categories, the values that stand in at least the minimum cell of rows."""

    run: str
    round: int
    hospital: str
    sums: Vector
    examples: int
    vocabulary: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Update:
    """``vector`` is the flat change of the parameters (or, for Newton, gradient and curvature).

    Sensitive: one hospital's raw update; never logged.
    """

    run: str
    round: int
    hospital: str
    vector: Vector
    examples: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    control: Vector | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """``histogram`` is (2, bins): how many negatives and positives scored in each bin. Noisy
    scores have two bins only, which may be negative, and no loss; ``noise_sd`` is the standard
    deviation of the noise in each count, in patients. Where K > 2 classes are told apart it is the
    tableau (K, K + 1002) of ``aegis.evaluation.classes``. ``groups`` is laid out as
    ``aegis.assurance.groups``."""

    run: str
    round: int
    hospital: str
    histogram: NDArray[np.int64]
    loss_sum: float | None
    examples: int
    groups: NDArray[np.int64] | None = None
    noise_sd: float = 0.0


@dataclass(frozen=True, slots=True)
class Refusal:
    run: str
    round: int
    hospital: str
    reason: str


@dataclass(frozen=True, slots=True)
class Absence:
    """Told by the road, never by a hospital: nothing came back, and why."""

    hospital: str
    reason: str
