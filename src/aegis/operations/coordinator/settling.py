"""What each hospital's ledger says of a run, asked once at its end and by its own word.

It comes from outside: what no ledger of this run can hold is left out, with a warning, before it is
counted. A ledger charges each planned round at most once, the statistics once, with what the plan
and the hospital's rows make of a round, and never more than the plan's budget. Noise may rise from
round to round. Scores are charged by a policy that is not known here: that bound is a wide one.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping

from aegis.errors import AegisError, DataError
from aegis.messages import Settle, Settled
from aegis.plan import Plan
from aegis.plan.schedule import follows_noise_rule, noises_steps, noises_updates, sampled_steps
from aegis.privacy.accounting import (
    Event,
    GaussianRelease,
    LaplaceRelease,
    PoissonGaussian,
    event_from_json,
)
from aegis.privacy.filters import enforced_epsilon
from aegis.states import Terminated
from aegis.transport.road import Road

log = logging.getLogger("aegis")

_MOST_KINDS = 200  # of noise: each of them takes milliseconds to count
_MOST_BY_SCORES = 2000.0
_SLACK = 1 + 1e-6  # a hospital's machine may round otherwise
_UNREADABLE = (AegisError, ArithmeticError, ValueError, TypeError, KeyError, RecursionError)


def settled(
    road: Road, plan: Plan, final: Terminated
) -> tuple[dict[str, list[Event]], dict[str, Settled]]:
    """The charges of each hospital that answered, and its ledger's head."""
    run, number = final.progress.run, final.progress.round
    deadline_s = plan.federated.deadline_s
    if not plan.privacy.enabled:
        return {}, {}
    there = set(road.hospitals())
    rows = {h.hospital: h.examples for h in final.progress.hospitals}
    names = [name for name in rows if name in there]
    answers = road.ask(dict.fromkeys(names, Settle(run, plan.sha256, number)), deadline_s)
    releases: dict[str, list[Event]] = {}
    heads: dict[str, Settled] = {}
    for name, answer in answers.items():
        if not isinstance(answer, Settled):
            continue
        try:
            _check(answer, plan, final.progress.rounds, rows[name])
        except _UNREADABLE as error:
            reason = str(error) if isinstance(error, AegisError) else type(error).__name__
            log.warning("%s says what its ledger holds in no readable way (%s)", name, reason)
            continue
        releases[name], heads[name] = _charged(answer.events), answer
    return releases, heads


def charged_for_scores(heads: Mapping[str, Settled]) -> dict[str, list[Event]]:
    """What hospitals charged for the noise in their scores, beside the run's training."""
    return {name: _charged(one.scores) for name, one in heads.items()}


def _charged(events: tuple[str, ...]) -> list[Event]:
    return [event_from_json(text) for text in events]


def _check(answer: Settled, plan: Plan, rounds: int, rows: int) -> None:
    """Raises for what no ledger of this run holds, at a hospital with so many training rows."""
    if answer.rows > 0 and re.fullmatch("[0-9a-f]{64}", answer.sha256) is None:
        raise DataError("the head of its ledger is no digest")
    by_rule = follows_noise_rule(plan)
    _few(answer.events, rounds + by_rule, 2 if by_rule else _MOST_KINDS, "training")
    # Two parts of the rows after each round and before the first, and once groups of patients.
    _few(answer.scores, 2 * (rounds + 1) + 1, _MOST_KINDS, "scores")
    for event in map(event_from_json, set(answer.events)):
        if not _planned(event, plan, rows):
            raise DataError(f"{event} for training", "the plan charges something else")
    privacy = plan.privacy
    spent = enforced_epsilon(_charged(answer.events), privacy.delta)
    if not spent <= privacy.epsilon_budget * _SLACK:
        budget = f"the plan's budget is {privacy.epsilon_budget:g}"
        raise DataError(f"an epsilon of {spent:g} for training", budget)
    for event in map(event_from_json, set(answer.scores)):
        if not isinstance(event, GaussianRelease) or event.count != 1:
            raise DataError(f"{event} for scores", "each of them is one release with normal noise")
    spent = enforced_epsilon(_charged(answer.scores), privacy.delta)
    if not spent <= _MOST_BY_SCORES:
        raise DataError(f"an epsilon of {spent:g} for scores", f"at most {_MOST_BY_SCORES:g}")


def _few(events: tuple[str, ...], most: int, kinds: int, what: str) -> None:
    if len(events) > most:
        raise DataError(f"{len(events)} charges for {what}", f"this run has {most} at most")
    if len(set(events)) > kinds:
        found = f"{len(set(events))} different charges for {what}"
        raise DataError(found, f"a ledger of this run has {kinds} at most")


def _planned(event: Event, plan: Plan, rows: int) -> bool:
    """Whether the plan can charge this to a hospital with so many training rows."""
    if rows < 1:
        return False
    noise = plan.privacy.noise
    match event:
        case PoissonGaussian(_, rate, steps):
            planned = sampled_steps(plan, rows)
            same = steps == planned[1] and math.isclose(rate, planned[0], rel_tol=1e-9)
            return noises_steps(plan) and same
        case LaplaceRelease(_, count):
            return noises_updates(plan) and noise == "laplace" and count == 1
        case GaussianRelease(_, count):
            by_updates = noises_updates(plan) and noise == "gaussian"
            return (follows_noise_rule(plan) or by_updates) and count == 1
