"""How a hospital protects what local training makes: noise in every step, or on the whole update.

Nothing here comes from a message but the number of the round. Rate, steps and noise follow from
the plan and from this hospital's own rows and ledger: a null noise multiplier is the least with
which all planned rounds fit the run's budget. Before each round the orchestrator looks at what this
run has spent, and at what these data have spent over all runs; what it advises is the mechanism
that is used, and the mechanism is what is charged. Noise never sinks below what was planned or used
before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from aegis.errors import AegisError, BadInput, DataError
from aegis.hospital.release import Account
from aegis.messages import Refusal, Train, Vector
from aegis.plan import Plan
from aegis.plan.schedule import follows_noise_rule, noises_steps, noises_updates, sampled_steps
from aegis.privacy.accounting import Event, GaussianRelease, LaplaceRelease, PoissonGaussian
from aegis.privacy.budget import Accountant, Action, Advice, Orchestrator
from aegis.privacy.dpsgd import DpSgd, noise_multiplier_for
from aegis.privacy.filters import Cap, all_gaussian
from aegis.privacy.local_update import LocalUpdate
from aegis.privacy.noise import SystemNoise, off_grid
from aegis.training.trainer import Trained

Mechanism: TypeAlias = DpSgd | LocalUpdate

TRAIN, STATISTICS = "train", "statistics"  # what rounds are charged under

_SHOWN = 1 - 1e-6  # the figure that is shown is rounded up, and must be within the budget too
_GRAVITY = (Action.CONTINUE, Action.WARNING, Action.CRITICAL, Action.INCREASE_NOISE, Action.HALT)


def fault_of(plan: Plan) -> str | None:
    """Why a private plan could not be kept here, or nothing; asked before a hospital agrees."""
    privacy, scaling = plan.privacy, plan.data.standardize
    if follows_noise_rule(plan):
        return None
    if not (noises_steps(plan) or noises_updates(plan)):
        return (
            f"privacy.mechanism: {privacy.mechanism} with training.solver: {plan.training.solver} "
            "adds no noise here"
        )
    if scaling == "federated" or (scaling == "site" and noises_steps(plan)):
        return f"privacy.mechanism: {privacy.mechanism} does not cover data.standardize: {scaling}"
    if noises_updates(plan) and plan.server.optimizer == "scaffold":
        return "control variates would leave without noise"
    if privacy.max_grad_norm is None or plan.federated.num_rounds is None:
        return "only the noise rule can do without a clip and a number of rounds"
    return None


def built(plan: Plan, rows: int, multiplier: float) -> Mechanism:
    """The plan's mechanism at a hospital with so many training rows. ``multiplier`` is in the
    mechanism's own unit: its clip, or for whole updates its sensitivity."""
    privacy = plan.privacy
    if privacy.max_grad_norm is None:
        raise DataError("privacy.max_grad_norm: null bounds nothing")
    if noises_updates(plan):
        return LocalUpdate(privacy.max_grad_norm, multiplier, privacy.noise)
    return DpSgd(privacy.max_grad_norm, multiplier, *sampled_steps(plan, rows))


def planned_multiplier(plan: Plan, rows: int) -> float:
    """The noise of the first round: the plan's, else the least with which all rounds fit."""
    privacy, rounds = plan.privacy, plan.federated.num_rounds or 1
    given = privacy.noise_multiplier
    match built(plan, rows, 1.0):
        case LocalUpdate(clip=clip) as update:
            if given is not None:
                return given * clip / update.sensitivity  # a plan counts noise in clips
            budget = _SHOWN * privacy.epsilon_budget
            noise = (privacy.noise, budget, privacy.delta, rounds)
            return LocalUpdate.calibrated(clip, *noise).multiplier
        case DpSgd(sampling_rate=rate, steps=steps):
            if given is not None:
                return given
            return _calibrated(privacy.epsilon_budget, privacy.delta, rate, steps * rounds)


def first_charge(plan: Plan, rows: int) -> Event | None:
    """What the first round is charged here by the plan and the rows alone. None under the noise
    rule, which counts the others' rows too, and where there will be no training."""
    if not rows or not (noises_steps(plan) or noises_updates(plan)):
        return None
    try:
        return built(plan, rows, planned_multiplier(plan, rows)).event
    except AegisError:
        return None  # no noise is enough


# A thousand simulated hospitals ask in every round, and many are of one size.
_calibrated = lru_cache(maxsize=8192)(noise_multiplier_for)


def multiplier_of(event: Event) -> float:
    match event:
        case GaussianRelease(multiplier) | LaplaceRelease(multiplier) | PoissonGaussian(multiplier):
            return multiplier


def advised(
    plan: Plan,
    rows: int,
    round: int,
    of_run: Sequence[Event],
    of_data: Sequence[Event],
    cap: Cap,
) -> Advice:
    """What to do in this round. ``of_run`` is what the run was charged here so far, ``of_data``
    what these data ever were, ``cap`` the most they may spend."""
    try:
        at_first = planned_multiplier(plan, rows)
    except BadInput:
        at_first = math.inf
    privacy = plan.privacy
    terms = _Terms(
        built(plan, rows, 1.0),
        at_first,
        Cap(privacy.epsilon_budget, privacy.delta),
        plan.federated.num_rounds or 1,
        "rdp" if privacy.noise == "laplace" or noises_steps(plan) else "gdp",
    )
    return _advised(terms, round, tuple(of_run), tuple(of_data), cap)


@dataclass(frozen=True)
class _Terms:
    """All of a plan that advice follows from, at a hospital: the mechanism but for its noise."""

    mechanism: Mechanism
    at_first: float
    budget: Cap
    rounds: int
    accountant: Accountant

    def event(self, multiplier: float) -> Event:
        match self.mechanism:
            case LocalUpdate() as update:
                return replace(update, multiplier=multiplier).event
            case DpSgd() as steps:
                return replace(steps, noise_multiplier=multiplier).event

    def watching(self, budget: Cap, accountant: Accountant) -> Orchestrator:
        return Orchestrator(
            budget.epsilon, budget.delta, self.rounds, self.event, accountant=accountant
        )


@lru_cache(maxsize=256)  # those of one size and history are advised alike; a key is as long as it
def _advised(
    terms: _Terms, round: int, of_run: tuple[Event, ...], of_data: tuple[Event, ...], cap: Cap
) -> Advice:
    left = terms.rounds - round + 1
    if terms.at_first > Orchestrator.most_noise:
        reason = (
            f"a budget of {terms.budget.epsilon:g} is too little for {terms.rounds} rounds with "
            "any useful noise"
        )
        return Advice(Action.HALT, reason, 0.0, 0.0, None)
    in_use = max([terms.at_first, *map(multiplier_of, of_run)])
    advice = terms.watching(terms.budget, terms.accountant).advise(of_run, left, in_use)
    if advice.noise_multiplier is None:
        return advice
    exactly = terms.accountant == "gdp" and all_gaussian(of_data)
    watching = terms.watching(cap, "gdp" if exactly else "rdp")
    overall = watching.advise(of_data, left, advice.noise_multiplier)
    if overall.noise_multiplier is None:  # these data have no room: the others go on without them
        return replace(overall, action=Action.EXCLUDE)
    return max(
        advice,
        overall,
        key=lambda one: (_GRAVITY.index(one.action), one.noise_multiplier or math.inf),
    )


def charged(
    plan: Plan,
    request: Train,
    hospital: str,
    rows: int,
    account: Account,
    heard: Callable[[Advice], None],
) -> Mechanism | Refusal:
    """The mechanism of this round, its charge on disk; or why the hospital abstains.

    What was reserved before a crash is used again. ``heard`` is told the advice that is new.
    """
    run, ledger = request.run, account.ledger
    if noises_updates(plan) and request.control is not None:
        raise DataError("control variates would leave without noise")
    before = ledger.reserved(run, request.round, TRAIN)
    if before is None:
        of_run, of_data = ledger.events(run), ledger.events()
        advice = advised(plan, rows, request.round, of_run, of_data, account.cap)
        heard(advice)
        if advice.noise_multiplier is None:
            return Refusal(run, request.round, hospital, advice.reason)
        mechanism = built(plan, rows, advice.noise_multiplier)
    else:
        mechanism = built(plan, rows, multiplier_of(before))
    budget = Cap(plan.privacy.epsilon_budget, plan.privacy.delta)
    refusal = account.refused(run, request.round, TRAIN, hospital, mechanism.event, budget)
    return mechanism if refusal is None else refusal


def protected(mechanism: Mechanism, trained: Trained, noise: SystemNoise) -> Vector:
    """What may leave of what was trained: the only way out of a hospital with a mechanism."""
    match mechanism:
        case DpSgd():
            if trained.private != mechanism:
                raise DataError("this was not trained with the noise that was charged")
            return trained.vector
        case LocalUpdate():
            made = trained.vector
            # To abstain because training diverged would tell something that is not charged.
            finite = made if np.isfinite(made).all() else np.zeros_like(made)
            found: Vector = off_grid(mechanism.released(finite, noise)).astype(made.dtype)
            return found
