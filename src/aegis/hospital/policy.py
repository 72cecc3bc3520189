"""What a hospital lets be asked about its patients, and at what price: its own word, no plan's.

A policy is a frozen value that checks itself. Without one nothing is answered. Answers carry noise
and are charged to the hospital's ledger; only data that everybody may see anyway may be counted
without, and then small cells stay in the hospital.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import Literal

from aegis.errors import BadInput
from aegis.tasks.preparation import MINIMUM_CELL
from aegis.tasks.question import KINDS, QuestionKind

LEAST_EPSILON = 1e-4


@dataclass(frozen=True)
class Policy:
    """``kinds`` are the questions answered where ``queries`` is allowed. All questions together may
    spend ``epsilon_cap`` at ``delta``, one of them ``per_question_epsilon_max``. A sum under
    ``minimum_cell`` is not to be shown. ``demonstration`` says that these rows are public and may
    be counted without noise where there is no ledger. ``scores`` is what leaves when a model is
    scored here, ``score_epsilon`` what one noisy release of them costs."""

    queries: Literal["allowed", "refused"] = "refused"
    kinds: tuple[QuestionKind, ...] = KINDS
    minimum_cell: int = MINIMUM_CELL
    epsilon_cap: float = 1.0
    delta: float = 1e-5
    per_question_epsilon_max: float = 0.5
    demonstration: bool = False
    scores: Literal["shared", "noisy", "withheld"] = "noisy"
    score_epsilon: float = 0.1

    def __post_init__(self) -> None:
        if self.queries not in ("allowed", "refused"):
            raise BadInput(f"policy.queries is allowed or refused, got {self.queries!r}")
        for kind in self.kinds:
            if kind not in KINDS:
                raise BadInput(f"policy.kinds are {', '.join(KINDS)}, got {kind!r}")
        cell = self.minimum_cell
        if isinstance(cell, bool) or not isinstance(cell, int) or cell < MINIMUM_CELL:
            raise BadInput(f"policy.minimum_cell must be {MINIMUM_CELL} or more, got {cell!r}")
        if self.scores not in ("shared", "noisy", "withheld"):
            raise BadInput(f"policy.scores is shared, noisy or withheld, got {self.scores!r}")
        for name in ("epsilon_cap", "per_question_epsilon_max", "score_epsilon"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= LEAST_EPSILON):
                raise BadInput(f"policy.{name} must be {LEAST_EPSILON:g} or more, got {value!r}")
        if not 0 < self.delta <= 1e-5:
            raise BadInput(f"policy.delta must be above 0 and at most 1e-5, got {self.delta!r}")

    @property
    def sha256(self) -> str:
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def refuses(self, kind: QuestionKind | None = None) -> str | None:
        """Why no question, or none of this kind, is answered; or nothing."""
        if self.queries == "refused":
            return "this hospital's policy answers no questions"
        if kind is not None and kind not in self.kinds:
            return f"this hospital's policy answers no {kind} questions"
        return None

    def refuses_price(self, epsilon: float, delta: float) -> str | None:
        """Why a question is not answered at this price, or nothing."""
        if not (math.isfinite(epsilon) and epsilon >= LEAST_EPSILON):
            return f"a question costs an epsilon of {LEAST_EPSILON:g} or more, got {epsilon:g}"
        if epsilon > self.per_question_epsilon_max:
            return (
                f"epsilon {epsilon:g} is above {self.per_question_epsilon_max:g}, the most this "
                "hospital's policy lets one question cost"
            )
        if not 0 < delta <= self.delta:
            return f"delta {delta:g} is not within {self.delta:g}, this hospital's policy"
        return None
