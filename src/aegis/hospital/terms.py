"""The terms of a policy: which plans a hospital may take part in, by what the plan promises."""

from __future__ import annotations

from functools import lru_cache

from aegis.aggregation.conditions import GROUP
from aegis.hospital.policy import ANY, Policy
from aegis.plan import Plan, guards
from aegis.tasks.plugins import is_plugin
from aegis.tasks.task import canonical, task_names

_UNSOUND = (guards.trust, guards.privacy, guards.statistics)
_SLACK = 1 + 1e-9


@lru_cache(maxsize=256)
def fault_of_plan(policy: Policy, plan: Plan) -> str | None:
    """Why a hospital with this policy takes no part in such a plan, or nothing. Whether a person
    has approved it is another question."""
    own = "this hospital's policy"
    if not {ANY, plan.task} & set(policy.tasks):
        allowed = ", ".join(policy.tasks) or "nothing"
        return f"the task {plan.task} is not among those of {own}: {allowed}"
    if canonical(plan.task) not in task_names():
        return f"there is no task {plan.task} at this hospital"
    if is_plugin(canonical(plan.task)) and not {ANY, plan.task} & set(policy.plugins):
        return f"the task {plan.task} is a plug-in, and not among those of {own}"
    for rule in _UNSOUND:
        for fault in rule(plan):
            return f"the plan is not sound: {fault.problem}"
    if plan.trust not in policy.trust:
        wanted = " or ".join(policy.trust) or "no trust mode at all"
        return f"trust: {plan.trust} is not enough for {own}, which asks for {wanted}"
    privacy = plan.privacy
    mechanism = privacy.mechanism if privacy.enabled else "none"
    if mechanism not in policy.mechanisms:
        wanted = " or ".join(policy.mechanisms) or "no mechanism at all"
        return f"privacy.mechanism: {mechanism} is not enough for {own}, which asks for {wanted}"
    most = policy.epsilon_per_run
    if privacy.enabled and most is not None and privacy.epsilon_budget > most * _SLACK:
        return (
            f"privacy.epsilon_budget: {privacy.epsilon_budget:g} is above {most:g}, the most that "
            f"{own} lets one run spend"
        )
    if privacy.enabled and most is not None and privacy.delta > policy.delta:
        return f"privacy.delta: {privacy.delta:g} is above {policy.delta:g}, {own}"
    if plan.trust != "open" and not policy.commitments:
        return f"{own} signs for nothing that it puts into a sum, and a sealed sum asks for that"
    if plan.trust == "masked":
        return fault_of_sum(policy, plan.quorum(plan.federated.num_clients))
    if plan.trust == "grouped":
        return fault_of_sum(policy, GROUP)
    return None


def fault_of_rows(policy: Policy, rows: int) -> str | None:
    """Why a hospital with so many training rows takes no part, or nothing."""
    if rows >= policy.minimum_rows:
        return None
    return (
        f"this hospital's policy asks for {policy.minimum_rows} training rows or more, and there "
        "are fewer"
    )


def fault_of_sum(policy: Policy, hospitals: int) -> str | None:
    """Why a sealed sum over so many is refused, or nothing."""
    if hospitals >= policy.minimum_hospitals:
        return None
    return (
        f"a sum over {hospitals} hospitals; this hospital's policy asks for "
        f"{policy.minimum_hospitals}"
    )
