"""What a hospital lets be learned and asked about its patients, and at what price: its own word,
no plan's.

A policy is a frozen value that checks itself, and every default is the strict one: a policy that
says nothing lets nobody in. Where there is none, or none that can be trusted, a hospital is
``Closed`` and says why. Answers carry noise and are charged to the hospital's ledger; only data
that everybody may see anyway may be counted without, and then small cells stay in the hospital.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from aegis.errors import BadInput
from aegis.messages import Sharing
from aegis.plan.keys import Mechanism, Trust
from aegis.privacy.filters import Cap
from aegis.tasks.preparation import MINIMUM_CELL
from aegis.tasks.question import KINDS, QuestionKind

LEAST_EPSILON = 1e-4
LEAST_SUM = 3  # of a sum of two, each hospital knows the other's part
ANY = "any"
_ONE_OF: Mapping[str, tuple[str, ...]] = {
    "approval": ("person", "automatic"),
    "queries": ("allowed", "refused"),
    "scores": get_args(Sharing),
}
_SOME_OF: Mapping[str, tuple[str, ...]] = {
    "kinds": KINDS,
    "trust": get_args(Trust),
    "mechanisms": get_args(Mechanism),
}


@dataclass(frozen=True)
class Policy:
    """Who may learn what, and for how much.

    ``tasks`` names what may be learned here (``any`` alone: everything), ``plugins`` the tasks
    among them that did not come with Aegis. A plan is let in by a person (``approval``), or by its
    hash in ``plans``, or where ``approval`` is automatic by keeping within the rest. ``trust``
    lists what a coordinator may see, ``mechanisms`` the noise that is enough (``none``: no noise).
    ``commitments`` lets this hospital sign for what it puts into a sealed sum; without, it is in
    none.

    All releases together may spend ``epsilon_total`` at ``delta``, the training and statistics of
    one run ``epsilon_per_run`` (None: whatever the account at hand allows). Fewer rows than
    ``minimum_rows`` take no part, a sealed sum has ``minimum_hospitals`` or more, a sum under
    ``minimum_cell`` is not to be shown.

    ``kinds`` are the questions answered where ``queries`` is allowed; all of them may spend
    ``epsilon_cap``, one of them ``per_question_epsilon_max``. ``scores`` is what leaves when a
    model is scored here: shared as they are, noisy (``score_epsilon`` each, ``epsilon_cap`` in a
    run), summed (inside a sealed sum only), or withheld. ``demonstration`` says that these rows
    are public and may be counted without noise where there is no ledger."""

    tasks: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()
    approval: Literal["person", "automatic"] = "person"
    trust: tuple[Trust, ...] = ("masked", "grouped")
    mechanisms: tuple[Mechanism, ...] = ("dp_sgd", "local_update", "distributed")
    commitments: bool = True
    epsilon_total: float | None = 1.0
    epsilon_per_run: float | None = 1.0
    delta: float = 1e-5
    minimum_rows: int = 20
    minimum_hospitals: int = LEAST_SUM
    minimum_cell: int = MINIMUM_CELL
    queries: Literal["allowed", "refused"] = "refused"
    kinds: tuple[QuestionKind, ...] = KINDS
    epsilon_cap: float = 1.0
    per_question_epsilon_max: float = 0.5
    scores: Sharing = "noisy"
    score_epsilon: float = 0.1
    demonstration: bool = False

    def __post_init__(self) -> None:
        faults = list(self._faults())
        if faults:
            raise BadInput("; ".join(faults))

    def _faults(self) -> Iterator[str]:
        for name, known in _ONE_OF.items():
            if getattr(self, name) not in known:
                yield _wrong(name, _listed(known), getattr(self, name))
        for name, known in _SOME_OF.items():
            for word in self._words(name):
                if word not in known:
                    yield f"policy.{name} are {', '.join(known)}, got {word!r}"
        for name in ("tasks", "plugins", "plans", "kinds", "trust", "mechanisms"):
            words = getattr(self, name)
            if not isinstance(words, tuple) or not all(isinstance(w, str) and w for w in words):
                yield _wrong(name, "a list of words", words)
        for name in ("tasks", "plugins"):
            words = self._words(name)
            if ANY in words and len(words) > 1:
                yield f"policy.{name} is a list of tasks, or {ANY} alone, got {', '.join(words)}"
        for plan in self._words("plans"):
            if not _is_hash(plan):
                yield _wrong("plans", "a list of plans' SHA-256, 64 small digits each", plan)
        for name in ("commitments", "demonstration"):
            if not isinstance(getattr(self, name), bool):
                yield _wrong(name, "true or false", getattr(self, name))
        for name, least in (
            ("minimum_rows", 0),
            ("minimum_hospitals", LEAST_SUM),
            ("minimum_cell", MINIMUM_CELL),
        ):
            count = getattr(self, name)
            if isinstance(count, bool) or not isinstance(count, int) or count < least:
                yield f"policy.{name} must be {least} or more, got {count!r}"
        for name in (
            "epsilon_total",
            "epsilon_per_run",
            "epsilon_cap",
            "per_question_epsilon_max",
            "score_epsilon",
        ):
            value = getattr(self, name)
            none = value is None and name in ("epsilon_total", "epsilon_per_run")
            if not none and not (_number(value) and value >= LEAST_EPSILON):
                yield f"policy.{name} must be {LEAST_EPSILON:g} or more, got {value!r}"
        if not (_number(self.delta) and 0 < self.delta <= 1e-5):
            yield f"policy.delta must be above 0 and at most 1e-5, got {self.delta!r}"

    def _words(self, name: str) -> tuple[str, ...]:
        words = getattr(self, name)
        good = isinstance(words, tuple) and all(isinstance(word, str) for word in words)
        return words if good else ()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Canonical: equal policies give equal text."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), allow_nan=False)

    @property
    def cap(self) -> Cap | None:
        """The most that all releases together may spend; None where the account says."""
        return None if self.epsilon_total is None else Cap(self.epsilon_total, self.delta)

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


@dataclass(frozen=True)
class Closed:
    """No policy, or none that can be trusted: every request gets ``reason``, and nothing else."""

    reason: str = "this hospital has no policy, and without one it takes part in nothing"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _is_hash(word: str) -> bool:
    return len(word) == 64 and set(word) <= set("0123456789abcdef")


def _wrong(name: str, need: str, got: Any) -> str:
    return f"policy.{name} must be {need}, got {got!r}"


def _listed(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
