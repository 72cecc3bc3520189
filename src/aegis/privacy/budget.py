"""A budget that is kept: noise calibrated to the planned rounds, watched, and re-planned in time.

``least_noise`` finds the noise with which a plan costs exactly what may be spent. The orchestrator
looks at each hospital before each round: what is spent, what the rounds to come will cost with the
noise in use, and what follows. It never admits a round that would end above the budget; more noise
for the rounds that are left comes first, an end with a reason comes last. The advice depends on
counts and charges only, never on a model or a score, and the noise it names is what the mechanism
must be built with: advice and mechanism share the event.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeAlias

from aegis.errors import BadInput
from aegis.privacy.accounting import (
    Event,
    composed,
    epsilon_gdp,
    epsilon_of_curve,
    epsilon_pld,
    epsilon_rdp,
)

Accountant: TypeAlias = Literal["gdp", "rdp", "pld"]

LEAST_NOISE, MOST_NOISE = 0.05, 1e5
WARNING_AT, CRITICAL_AT = 0.75, 0.9

_CLOSE, _AIM = 1 - 1e-4, 1 - 2e-5
_ROUNDING = 1e-9  # a plan calibrated to the budget itself must fit it


class Action(Enum):
    CONTINUE = "continue"
    WARNING = "warning"
    CRITICAL = "critical"
    INCREASE_NOISE = "increase_noise"
    HALT = "halt"
    EXCLUDE = "exclude"


@dataclass(frozen=True)
class Advice:
    """``noise_multiplier`` is what the next round must use; None where there is none to come.
    ``spent`` is an epsilon, ``share`` its part of the budget."""

    action: Action
    reason: str
    spent: float
    share: float
    noise_multiplier: float | None

    @property
    def goes_on(self) -> bool:
        return self.noise_multiplier is not None


def least_noise(
    events: Callable[[float], Sequence[Event]],
    epsilon: float,
    delta: float,
    spent: Sequence[Event] = (),
    accountant: Accountant = "rdp",
) -> float:
    """The least noise multiplier with which ``spent`` and ``events(multiplier)`` together cost at
    most (epsilon, delta), and at least 99.99 per cent of it. ``BadInput`` where no noise will do.
    """
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise BadInput(
            f"privacy.epsilon_budget must be finite and above 0, got {epsilon}",
            way_out="To switch privacy off, set privacy.mechanism: none",
        )
    before = composed(spent)

    def cost(multiplier: float) -> float:
        match accountant:
            case "gdp":
                return epsilon_gdp([*spent, *events(multiplier)], delta)
            case "rdp":
                return epsilon_of_curve(before + composed(events(multiplier)), delta)
            case "pld":
                return epsilon_pld([*spent, *events(multiplier)], delta)

    low, high = LEAST_NOISE, MOST_NOISE
    if accountant == "pld":  # what fits by the Renyi bound fits, and is nearly right already
        high = least_noise(events, epsilon, delta, spent)
        low = 0.7 * high
    below, above = cost(high), cost(low)
    if below > epsilon:
        raise BadInput(
            f"no noise up to {MOST_NOISE:g} fits a budget of {epsilon:g} at delta {delta:g}",
            f"{epsilon_rdp(spent, delta):.4g} of it is spent already",
            "Raise the budget or plan fewer rounds",
        )
    while above <= epsilon:
        if low <= LEAST_NOISE:
            return low
        high, below, low = low, above, low / 2
        above = cost(low)
    for turn in range(200):
        if below >= _CLOSE * epsilon or high <= low * (1 + 1e-12):
            break
        # Cost falls about as a power of the noise; halving by turns keeps the worst case short.
        share = math.log(above / (_AIM * epsilon)) / math.log(above / below) if below else 0.5
        share = min(max(share, 0.02), 0.98) if turn % 3 else 0.5
        middle = low * (high / low) ** share
        found = cost(middle)
        if found <= epsilon:
            high, below = middle, found
        else:
            low, above = middle, found
    return high


@dataclass(frozen=True)
class Orchestrator:
    """``round_event(noise_multiplier)`` is what one round is charged at one hospital. Beyond
    ``most_noise`` a round is not worth taking: the answer is HALT. ``accountant`` is the one that
    the budget is counted by."""

    epsilon: float
    delta: float
    rounds: int
    round_event: Callable[[float], Event]
    most_noise: float = 1e3
    accountant: Accountant = "rdp"

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise BadInput(f"a budget is planned for at least one round, got {self.rounds}")

    def planned_noise(self, already: Sequence[Event] = ()) -> float:
        """The multiplier with which all rounds fit, after ``already`` (the statistics round)."""
        return self._needed(already, self.rounds)

    def advise(self, spent: Sequence[Event], rounds_left: int, noise_multiplier: float) -> Advice:
        """What to do before the next round, for a run or for one hospital in it.

        ``spent`` is everything charged so far, lost rounds included.
        """
        epsilon = self._cost(spent)
        share = epsilon / self.epsilon
        told = f"{epsilon:.3g} of {self.epsilon:g} is spent ({share:.0%})"
        if rounds_left < 1:
            return Advice(Action.HALT, f"all rounds are done; {told}", epsilon, share, None)
        if self._cost(spent, rounds_left, noise_multiplier) > self.epsilon * (1 + _ROUNDING):
            try:
                raised = self._needed(spent, rounds_left)
            except BadInput:
                raised = math.inf
            if raised > self.most_noise:
                reason = f"{told}, too little for {rounds_left} more rounds with any useful noise"
                return Advice(Action.HALT, reason, epsilon, share, None)
            reason = (
                f"{told}; with noise {noise_multiplier:.4g} the {rounds_left} rounds left would "
                f"end above it, with {raised:.4g} they fit"
            )
            return Advice(Action.INCREASE_NOISE, reason, epsilon, share, raised)
        if share >= CRITICAL_AT:
            return Advice(Action.CRITICAL, told, epsilon, share, noise_multiplier)
        if share >= WARNING_AT:
            return Advice(Action.WARNING, told, epsilon, share, noise_multiplier)
        return Advice(Action.CONTINUE, told, epsilon, share, noise_multiplier)

    def advise_hospital(self, name: str, spent: Sequence[Event], noise_multiplier: float) -> Advice:
        """Whether one hospital can take part in the next round with the run's noise: EXCLUDE where
        its own budget has no room, so that the others can go on without it."""
        epsilon = self._cost(spent)
        share = epsilon / self.epsilon
        after = self._cost(spent, 1, noise_multiplier)
        if after > self.epsilon:
            reason = (
                f"{name} has spent {epsilon:.3g} of {self.epsilon:g}; another round would make it "
                f"{after:.3g}, so it abstains"
            )
            return Advice(Action.EXCLUDE, reason, epsilon, share, None)
        return Advice(
            Action.CONTINUE, f"{name} has room for the round", epsilon, share, noise_multiplier
        )

    def _needed(self, spent: Sequence[Event], rounds: int) -> float:
        return least_noise(
            lambda multiplier: [self.round_event(multiplier)] * rounds,
            self.epsilon,
            self.delta,
            spent,
            self.accountant,
        )

    def _cost(self, spent: Sequence[Event], rounds: int = 0, multiplier: float = 1.0) -> float:
        """Of ``spent`` and so many rounds more."""
        more = [self.round_event(multiplier)] if rounds else []
        match self.accountant:
            case "rdp":
                return epsilon_of_curve(composed(spent) + rounds * composed(more), self.delta)
            case "gdp":
                return epsilon_gdp([*spent, *more * rounds], self.delta)
            case "pld":
                return epsilon_pld([*spent, *more * rounds], self.delta)
