"""Whether a plan's values go together, asked of whole plans whose values are legal one by one.

Each rule yields faults with their ways out. The first way out always leads to something plainer:
a plainer rule, a plainer solver, fewer protections at odds. It never asks for what another rule
would take away again, so following first ways out comes to an end, and ``suggest`` does so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aegis.errors import PlanError
from aegis.plan import classes, guards, learning, networks, own_data, robust, roles
from aegis.plan.faults import Fault
from aegis.plan.later import NOT_YET, Later, available, not_yet
from aegis.plan.plan import Plan

RULES = (
    guards.trust,
    robust.rules,
    robust.detection,
    guards.server,
    learning.solver,
    learning.model,
    classes.classes,
    networks.networks,
    learning.rounds,
    learning.choices,
    guards.privacy,
    guards.statistics,
    guards.noise_rule,
    roles.roles,
    roles.attributes,
    own_data.naming,
)


def find_faults(plan: Plan, later: Sequence[Later] = NOT_YET) -> tuple[Fault, ...]:
    """Everything that keeps this plan from running: impossible mixes, then what is not there yet.
    Ways out that this version cannot go are left out where there is another."""
    found = [fault for rule in RULES for fault in rule(plan)]
    found += not_yet(plan, later)
    return tuple(
        replace(fault, edits=tuple(e for e in fault.edits if available(e, later)) or fault.edits)
        for fault in found
    )


def check_plan(plan: Plan, later: Sequence[Later] = NOT_YET) -> None:
    """Raises ``PlanError`` with one sentence for each fault; a plan that can run passes."""
    faults = find_faults(plan, later)
    if faults:
        raise PlanError(*(fault.sentence() for fault in faults))
