"""What needs two people, in words, and which plans need them before somebody starts them here.

Leaving masked mode shows the coordinator more than one sum of all hospitals; a budget above that of
every earlier run of the task spends more of patients' privacy than anybody agreed to so far. Either
way two people agree to exactly one plan, by its digest.
"""

from __future__ import annotations

import json
from typing import Any

from aegis.console.coordinator.desk import Desk
from aegis.console.people.two_persons import Kind, Proposal
from aegis.console.window.formats import utc
from aegis.plan import Plan
from aegis.report.wording import significant
from aegis.tasks.task import canonical

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
            same = canonical(str(row.get("task"))) == canonical(task)
            if same and "transport" in json.loads(row["options"]):
                privacy = Plan.from_json(row["plan"]).privacy
                if privacy.enabled and privacy.epsilon_budget is not None:
                    budgets.append(float(privacy.epsilon_budget))
    return max(budgets, default=None)


def title(one: Proposal) -> str:
    words = WORDS.get(one.kind, one.kind.value)
    if one.kind is Kind.PROMOTE_MODEL:
        return f"Use v{one.payload.get('version')} for {one.payload.get('task')}"
    return f"{words}: {one.payload.get('task', 'plan')}"


def facts(one: Proposal) -> list[tuple[str, str]]:
    labels = {
        "task": "Task",
        "version": "Version",
        "sha256": "Model",
        "instead_of": "Instead of",
        "plan_sha256": "Plan",
        "trust": "Trust mode",
        "epsilon_budget": "Budget of the run",
        "before": "Largest so far",
    }
    found = []
    for key, value in one.payload.items():
        said = "none in use" if value is None else str(value)
        if isinstance(value, float):
            said = f"epsilon {significant(value)}"
        elif key == "version":
            said = f"v{value}"
        found.append((labels.get(key, key.replace("_", " ")), said))
    found.append(("Proposed by", f"{one.proposer}, {utc(one.made)}"))
    found.append(("Reason", one.reason))
    found.append(("May be confirmed until", utc(one.expires)))
    found.append(("Digest of this proposal", one.sha256))
    return found


def what(one: Proposal) -> str:
    match one.kind:
        case Kind.PROMOTE_MODEL:
            return (
                "From then on this version is the one in use for its task. Its files, its log, the "
                "membership audit and the fairness check are looked at again first; if one does "
                "not hold, nothing happens."
            )
        case Kind.LEAVE_MASKED:
            return (
                "This plan may then be started once, within a day. The coordinator will see more "
                "than one sum of all hospitals: in open mode each hospital’s update. Each hospital "
                "still decides by its own policy whether it takes part."
            )
        case Kind.RAISE_BUDGET:
            return (
                "This plan may then be started once, within a day, though it may spend more "
                "epsilon than any run of this task before. Each hospital’s own ledger and cap "
                "still hold: this raises none of them."
            )
