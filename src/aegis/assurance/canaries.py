"""The canary audit: does the training keep the epsilon it declares? One run is enough.

Steinke, Nasr and Jagielski, "Privacy auditing with one (1) training run" (NeurIPS 2023): many
made-up patients (canaries) are put into the training, each by the toss of a coin; afterwards the
auditor guesses for some of them whether they were in. Under (epsilon, delta)-differential privacy
no auditor is right more often than a coin that falls right with e^epsilon / (1 + e^epsilon) (and
a little for delta). Being right more often than that refutes every smaller epsilon.

Each canary has a column of its own, 0 for everybody else: nothing but that canary moves the
model there, so what the model says about it is its own trace and the noise, and a table of few
columns holds a thousand canaries.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.assurance.patients import Fit, Floats, Patients, Predict, below
from aegis.errors import BadInput

CANARIES = 1000
GUESSES = 100
LARGEST = 50.0  # epsilon; no audit of fewer than 10^20 guesses reaches it


@dataclass(frozen=True)
class CanaryAudit:
    """``lower_bound`` holds with ``confidence``: epsilon is at least so large at ``delta``.
    ``declared`` is None where the training declares none."""

    canaries: int
    guesses: int
    correct: int
    lower_bound: float
    delta: float
    confidence: float
    declared: float | None

    @property
    def refuted(self) -> bool:
        """The training does not keep what it declares."""
        return self.declared is not None and self.lower_bound > self.declared

    @property
    def ceiling(self) -> float:
        """The bound if every guess had been right: what this audit could show at most."""
        return epsilon_lower_bound(
            self.guesses, self.guesses, self.delta, self.confidence, self.canaries
        )


@dataclass(frozen=True)
class Planted:
    """``patients`` are the real ones with the canaries that came in below, and one column per
    canary; ``canaries`` (m rows) are all of them, ``included`` (m,) those that came in."""

    patients: Patients
    canaries: Patients
    included: NDArray[np.bool_]


def plant(patients: Patients, count: int = CANARIES, seed: int = 0, size: float = 1.0) -> Planted:
    """Toss a coin for each of ``count`` canaries and put in those for which it falls so.

    A canary is ``size`` in its own column and 0 elsewhere; ``size`` should give a gradient at the
    clip (1 where records have norm 1). Labels are random, hospitals those of real patients.
    ``patients.design`` must be a table (n, d), as the training takes it.
    """
    if patients.design.ndim != 2:
        raise BadInput(
            f"a design of shape {patients.design.shape} has no columns to add",
            "canaries need a table",
        )
    if count < 1:
        raise BadInput(f"{count} canaries", "at least one is needed")
    rng = np.random.default_rng(seed)
    rows, columns = patients.design.shape
    labels = rng.permutation(np.arange(count, dtype=np.int64) % 2)
    design = np.hstack([np.zeros((count, columns)), size * np.eye(count)])
    canaries = Patients(design, labels, rng.choice(patients.hospitals, count))
    included = rng.random(count) < 0.5
    wide = np.hstack([patients.design, np.zeros((rows, count))])
    widened = Patients(wide, patients.labels, patients.hospitals)
    return Planted(below(widened, canaries.take(included)), canaries, included)


def traces(planted: Planted, predict: Predict) -> Floats:
    """How far the model moved towards the label of each canary, compared with a patient who is
    like it but for its own column: (m,)."""
    canaries = planted.canaries
    before = np.asarray(predict(np.zeros_like(canaries.design[:1])), dtype=np.float64)
    moved = np.asarray(predict(canaries.design), dtype=np.float64) - before
    if moved.ndim == 2:
        moved = moved[:, 1] - moved[:, 0] if moved.shape[1] > 1 else moved[:, 0]
    return np.asarray((2 * canaries.labels - 1) * moved)


def guess(scores: Floats, included: NDArray[np.bool_], guesses: int = GUESSES) -> int:
    """How many guesses are right: the higher half of them says in, the lower half out, and the
    auditor passes on all other canaries."""
    if not 2 <= guesses <= len(scores):
        raise BadInput(
            f"{guesses} guesses about {len(scores)} canaries",
            "guess about 2 at least and about all at most",
        )
    order = np.argsort(scores, kind="stable")
    half = guesses // 2
    return int(included[order[-(guesses - half) :]].sum() + (~included[order[:half]]).sum())


def audit_canaries(
    fit: Fit,
    patients: Patients,
    *,
    declared: float | None,
    delta: float,
    canaries: int = CANARIES,
    guesses: int = GUESSES,
    confidence: float = 0.95,
    size: float = 1.0,
    seed: int = 0,
) -> CanaryAudit:
    """Train once with canaries among ``patients`` and bound epsilon from below.

    ``fit`` must train with the declared noise, clip and rounds whatever the number of columns, and
    must not rescale columns from the data.
    """
    planted = plant(patients, canaries, seed, size)
    scores = traces(planted, fit(planted.patients, seed))
    if not np.isfinite(scores).all():
        raise BadInput("the model trained with canaries does not answer with finite numbers")
    correct = guess(scores, planted.included, guesses)
    bound = epsilon_lower_bound(correct, guesses, delta, confidence, canaries)
    return CanaryAudit(canaries, guesses, correct, bound, delta, confidence, declared)


def epsilon_lower_bound(
    correct: int,
    guesses: int,
    delta: float = 0.0,
    confidence: float = 0.95,
    canaries: int | None = None,
) -> float:
    """The largest epsilon that ``correct`` right guesses refute with ``confidence``.

    ``canaries`` is the number about which could be guessed (default: ``guesses``); it matters
    where delta is above 0. Raises ``BadInput`` for impossible counts.

    >>> round(epsilon_lower_bound(100, 100), 2)
    3.49
    """
    offered = guesses if canaries is None else canaries
    if not 0 <= correct <= guesses <= offered or guesses < 1:
        raise BadInput(
            f"{correct} right of {guesses} guesses about {offered} canaries",
            "0 <= right <= guesses <= canaries, and at least one guess",
        )
    if not 0 <= delta < 1 or not 0 < confidence < 1:
        raise BadInput(
            f"delta {delta}, confidence {confidence}", "0 <= delta < 1 and 0 < confidence < 1"
        )
    doubt = 1 - confidence
    if p_value(0.0, correct, guesses, delta, offered) > doubt:
        return 0.0
    low, high = 0.0, LARGEST
    for _ in range(60):
        middle = (low + high) / 2
        if p_value(middle, correct, guesses, delta, offered) <= doubt:
            low = middle
        else:
            high = middle
    return low


def p_value(epsilon: float, correct: int, guesses: int, delta: float, canaries: int) -> float:
    """The most probable it can be, under (epsilon, delta), to guess right so often (Theorem 5.2 of
    the paper): P[B >= correct] + 2 m delta max_i P[correct > B >= correct - i] / i for B binomial.
    """
    chances = _binomial(guesses, 1 / (1 + math.exp(-epsilon)))
    tail = float(chances[correct:].sum())
    if delta > 0 and correct > 0:
        below_it = np.cumsum(chances[:correct][::-1]) / np.arange(1, correct + 1)
        tail += 2 * canaries * delta * float(below_it.max())
    return min(tail, 1.0)


def _binomial(trials: int, p: float) -> Floats:
    """The probabilities of 0 to ``trials`` hits."""
    ways: NDArray[Any] = np.array(
        [-math.lgamma(k + 1) - math.lgamma(trials - k + 1) for k in range(trials + 1)]
    )
    hits = np.arange(trials + 1)
    misses = math.log1p(-p) if p < 1 else -math.inf
    rest = np.where(hits == trials, 0.0, (trials - hits) * misses)
    return np.asarray(np.exp(math.lgamma(trials + 1) + ways + hits * math.log(p) + rest))
