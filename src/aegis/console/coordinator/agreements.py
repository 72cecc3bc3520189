"""Which plans need two people before somebody starts them here.

Leaving masked mode shows the coordinator more than one sum of all hospitals; a budget above that of
every earlier run of the task spends more of patients' privacy than anybody agreed to so far. Either
way two people agree to exactly one plan, by its digest.
"""

from __future__ import annotations

import json
from typing import Any

from aegis.console.coordinator.desk import Desk
from aegis.console.people.two_persons import Kind
from aegis.plan import Plan
from aegis.report.wording import significant

WORDS = {
    Kind.PROMOTE_MODEL: "Use another model",
    Kind.LEAVE_MASKED: "Let a plan leave masked mode",
    Kind.RAISE_BUDGET: "Let a plan spend more privacy budget",
}


def needed(desk: Desk, plan: Plan) -> list[dict[str, Any]]:
    """Which agreements of two people a plan needs before people may start it."""
    found: list[dict[str, Any]] = []
    common: dict[str, Any] = {"task": plan.task, "plan_sha256": plan.sha256}
    if plan.effective_trust != "masked":
        payload = common | {"trust": plan.effective_trust}
        said = f"The next plan would run in {plan.effective_trust} mode."
        found.append({"kind": Kind.LEAVE_MASKED.value, "payload": payload, "said": said})
    before = largest_budget(desk, plan.task)
    budget = plan.privacy.epsilon_budget if plan.privacy.enabled else None
    if before is not None and budget is not None and budget > before:
        more: dict[str, Any] = {"epsilon_budget": float(budget), "before": before}
        payload = common | more
        said = (
            f"The next plan may spend epsilon {significant(budget)}; the most that a run of "
            f"{plan.task} could spend so far is {significant(before)}."
        )
        found.append({"kind": Kind.RAISE_BUDGET.value, "payload": payload, "said": said})
    return [one | {"title": WORDS[Kind(one["kind"])]} for one in found]


def largest_budget(desk: Desk, task: str) -> float | None:
    """The largest epsilon that a private run of this task was allowed at hospitals; None before the
    first. A rehearsal spends nobody's budget."""
    if not desk.home.database.exists():
        return None
    budgets = []
    with desk.reading.journal() as journal:
        for run in journal.runs():
            row = journal.row(run)
            if row.get("task") == task and "transport" in json.loads(row["options"]):
                privacy = Plan.from_json(row["plan"]).privacy
                if privacy.enabled and privacy.epsilon_budget is not None:
                    budgets.append(float(privacy.epsilon_budget))
    return max(budgets, default=None)
