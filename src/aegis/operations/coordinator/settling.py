"""What each hospital's ledger says of a run, asked once at its end and by its own word.

It comes from outside: what no ledger holds is left out, with a warning, before it is counted.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

from aegis.errors import AegisError, DataError
from aegis.messages import Settle, Settled
from aegis.plan import Plan
from aegis.privacy.accounting import (
    Event,
    LaplaceRelease,
    PoissonGaussian,
    epsilon_rdp,
    event_from_json,
)
from aegis.states import Terminated
from aegis.transport.road import Road

log = logging.getLogger("aegis")

_MOST_EVENTS, _MOST_KINDS = 20_000, 500
_MOST_EPSILON, _LEAST_NOISE = 2000.0, 0.05  # beyond, the exact account needs gigabytes
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
    names = [h.hospital for h in final.progress.hospitals if h.hospital in there]
    answers = road.ask(dict.fromkeys(names, Settle(run, plan.sha256, number)), deadline_s)
    releases: dict[str, list[Event]] = {}
    heads: dict[str, Settled] = {}
    for name, answer in answers.items():
        if not isinstance(answer, Settled):
            continue
        try:
            _check(answer, plan.privacy.delta)
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


def _check(answer: Settled, delta: float) -> None:
    """Raises for what no ledger holds, of training and scores together: counting it could take all
    memory."""
    events = (*answer.events, *answer.scores)
    if len(events) > _MOST_EVENTS or len(set(events)) > _MOST_KINDS:
        raise DataError(f"{len(events)} charges", f"at most {_MOST_EVENTS} in one run")
    if answer.rows > 0 and re.fullmatch("[0-9a-f]{64}", answer.sha256) is None:
        raise DataError("the head of its ledger is no digest")
    charged = _charged(events)
    for event in charged:
        match event:
            case PoissonGaussian(noise_multiplier=noise):
                pass
            case LaplaceRelease(scale_over_sensitivity=noise):
                pass
            case _:
                continue
        if noise < _LEAST_NOISE:
            raise DataError(f"noise of {noise:g}", f"at least {_LEAST_NOISE:g}")
    epsilon = epsilon_rdp(charged, delta) if charged else 0.0
    if not epsilon <= _MOST_EPSILON:
        raise DataError(f"an epsilon of {epsilon:g}", f"at most {_MOST_EPSILON:g}")
