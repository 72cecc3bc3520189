"""What a run spent of each hospital's privacy budget, from the releases that its ledger holds.

Shown is the figure of the privacy-loss distribution (``pld``); beside it stands Renyi's (``rdp``),
by which a hospital counts over all runs where not all noise is Gaussian. Hospitals hold different
patients, so what one patient is exposed to is the largest figure, not their sum; where a patient
may be in two hospitals, theirs add.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aegis.plan import Plan
from aegis.privacy.accounting import Event, epsilon_pld, epsilon_rdp

UNITS = {
    "local_update": ("everything one hospital sends", "replace one hospital's update"),
}
RECORD = ("patient record at one hospital", "add or remove one")
SCORES = "scores of the shared model on held-out patients, overall and by group"
NOT_COVERED = (
    "the number of training and test rows of each hospital",
    "which hospitals took part, and when",
)
WHOLE_PATIENT = "a patient as a whole, whose rows' epsilons add, since the bound is for one"


def row_of(plan: Plan) -> str:
    """What a row is where it is less than a patient, in the task's words; empty where it is one."""
    from aegis.tasks.task import find_task

    return str(getattr(find_task(plan.task), "unit", ""))


def privacy_of(
    plan: Plan,
    releases: Mapping[str, Sequence[Event]],
    scored: Mapping[str, Sequence[Event]] | None = None,
) -> dict[str, Any]:
    """The ``privacy`` section of a result. ``releases`` holds each hospital's charged events,
    ``scored`` what real hospitals charged for noisy scores; None where they are simulated."""
    if not plan.privacy.enabled:
        return {
            "mechanism": "none",
            "epsilon": None,
            "reason": "no noise was added in this run, so no privacy loss can be bounded",
            "delta": None,
            "unit": None,
            "neighbouring": None,
            "accountant": None,
        }
    delta = plan.privacy.delta
    spent = spent_by(releases, delta)
    unit, neighbouring = UNITS.get(plan.privacy.mechanism, RECORD)
    uncovered = [_of_scores(releases, scored, delta), *NOT_COVERED]
    if unit == RECORD[0] and (row := row_of(plan)):
        unit = f"{row} at one hospital"
        uncovered.insert(0, f"{WHOLE_PATIENT} {row}")
    return {
        "mechanism": plan.privacy.mechanism,
        "epsilon": max((one["pld"] for one in spent.values()), default=0.0),
        "epsilon_rdp": max((one["rdp"] for one in spent.values()), default=0.0),
        "budget": plan.privacy.epsilon_budget,
        "delta": delta,
        "unit": unit,
        "neighbouring": neighbouring,
        "accountant": "pld",
        "assumes": "no patient is in two hospitals; where one is, that patient's epsilons add",
        "releases": max((len(events) for events in releases.values()), default=0),
        "not_covered": uncovered,
        "ledger": "simulation" if scored is None else "each hospital's own",
    }


def _of_scores(
    releases: Mapping[str, Sequence[Event]],
    scored: Mapping[str, Sequence[Event]] | None,
    delta: float,
) -> str:
    if scored is None:
        return f"{SCORES} (counts; simulated hospitals, public data)"
    if not any(scored.values()):
        return f"{SCORES}, where a hospital's policy lets them out"
    both = {name: [*releases.get(name, ()), *events] for name, events in scored.items()}
    most = max(one["pld"] for one in spent_by(both, delta).values())
    return (
        f"{SCORES}: noised, and charged to the hospitals' ledgers beside the training; with them "
        f"this run spent epsilon {most:.3g} at most"
    )


def spent_by(releases: Mapping[str, Sequence[Event]], delta: float) -> dict[str, dict[str, float]]:
    """``pld`` and ``rdp`` for each hospital; hospitals with equal releases are worked out once."""
    known: dict[tuple[Event, ...], dict[str, float]] = {}
    found = {}
    for hospital, events in releases.items():
        key = tuple(events)
        if key not in known:
            none = {"pld": 0.0, "rdp": 0.0}
            known[key] = (
                {"pld": epsilon_pld(key, delta), "rdp": epsilon_rdp(key, delta)} if key else none
            )
        found[hospital] = known[key]
    return found
