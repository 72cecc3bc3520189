"""Noise and privacy spend round by round, as far as this machine can know it.

A hospital's ledger is the hospital's: a coordinator hears its total when the run has ended, and
nothing in between. The hospitals of a simulation keep theirs under the run's folder, so there each
charge is known with its round, and what it came to so far. What is not known has a reason.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from aegis.errors import AegisError
from aegis.plan import Plan
from aegis.privacy.accounting import (
    Event,
    GaussianRelease,
    LaplaceRelease,
    epsilon_of_curve,
    epsilon_rdp,
    event_from_json,
    renyi,
)
from aegis.privacy.gaussian import gdp_epsilon

MOST_LEDGERS = 200
CLOSE = 1e-9
NO_NOISE = "no noise is added in this run"
ELSEWHERE = (
    "each hospital charges its own ledger and tells the coordinator its total when the run has "
    "ended"
)
NOTHING_YET = "no round has been charged yet"


@dataclass(frozen=True)
class Spending:
    """``noise`` is the multiplier (of the sensitivity) by round, ``epsilon`` what had been spent
    after it, round 0 being the statistics; ``where`` is the hospital that spent most, in words.
    ``how`` says by which account. Both are empty where ``reason`` says why."""

    noise: Mapping[int, float] = field(default_factory=dict)
    epsilon: Mapping[int, float] = field(default_factory=dict)
    where: str = ""
    how: str = ""
    reason: str = ""
    noise_reason: str = ""


def spending_by_round(
    folder: Path, run: str, plan: Plan, sees: Callable[[str], bool] = lambda hospital: True
) -> Spending:
    """``folder`` is the run's; of its ledgers those that ``sees`` allows are looked at."""
    if not plan.privacy.enabled:
        return Spending(reason=NO_NOISE, noise_reason=NO_NOISE)
    charged: dict[str, list[tuple[int, Event]]] = {}
    for path in sorted((folder / "ledgers").glob("*.db"))[:MOST_LEDGERS]:
        if sees(path.stem):
            charged[path.stem] = _charges(path, run)
    delta = plan.privacy.delta
    totals = {
        name: epsilon_rdp((event for _, event in events), delta)
        for name, events in charged.items()
        if events
    }
    if not totals:
        return _unknown(plan, NOTHING_YET if charged else ELSEWHERE)
    most = max(totals, key=lambda name: (totals[name], name))
    alike = len(totals) > 1 and max(totals.values()) - min(totals.values()) < CLOSE
    where = "every hospital, for all spent the same" if alike else f"{most}, which spent most"
    epsilon, how = _spent(charged[most], delta)
    noise = {round: _multiplier(event) for round, event in charged[most] if round > 0}
    return Spending(noise, epsilon, where, how)


def _unknown(plan: Plan, why: str) -> Spending:
    """The plan may fix the multiplier; then that is what every round has."""
    fixed = plan.privacy.noise_multiplier
    said = why if fixed is None else f"the plan fixes it at {fixed:g} for every round"
    return Spending(reason=why, noise_reason=said)


def _charges(path: Path, run: str) -> list[tuple[int, Event]]:
    """(round, charge) in order; nothing of a file that cannot be read."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            rows = db.execute(
                "SELECT round, detail FROM rows WHERE kind='reserved' AND run=? ORDER BY number",
                (run,),
            ).fetchall()
        return [(int(round), _event(detail)) for round, detail in rows]
    except (sqlite3.Error, AegisError, ValueError):
        return []


_event = lru_cache(maxsize=4096)(event_from_json)  # a ledger repeats itself


def _spent(charged: Sequence[tuple[int, Event]], delta: float) -> tuple[dict[int, float], str]:
    found: dict[int, float] = {}
    if all(isinstance(event, GaussianRelease) for _, event in charged):
        square = 0.0
        for round, event in charged:
            square += event.mu**2 if isinstance(event, GaussianRelease) else 0.0
            found[round] = gdp_epsilon(math.sqrt(square), delta)
        return found, "exact, all noise being Gaussian"
    total = None
    for round, event in charged:
        total = renyi(event) if total is None else total + renyi(event)
        found[round] = epsilon_of_curve(total, delta)
    return found, "by Renyi divergence, which states a little more than the truth"


def _multiplier(event: Event) -> float:
    match event:
        case GaussianRelease(sigma_over_sensitivity=found):
            return found
        case LaplaceRelease(scale_over_sensitivity=found):
            return found
        case _:
            return event.noise_multiplier
