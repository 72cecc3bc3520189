"""A plan as a hospital's people must be able to judge it: what leaves, what it costs, what changed.

Everything on the card follows from the plan, this hospital's policy and its own rows; nothing is
believed that the coordinator only says.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aegis.console.hospital.desk import HospitalDesk
from aegis.console.window.spoken import spoken
from aegis.errors import AegisError
from aegis.hospital.decisions import Proposal
from aegis.hospital.policy import Closed, Policy
from aegis.hospital.terms import fault_of_plan
from aegis.operations.hospital.alone import plan_here
from aegis.operations.hospital.rows import load
from aegis.plan import Plan
from aegis.plan.schedule import follows_noise_rule, schedule
from aegis.report.disclosure import LOUD_EPSILON, right_guesses
from aegis.report.spending import RECORD, UNITS
from aegis.report.tables import Table
from aegis.report.wording import counted
from aegis.tasks.bounded import Bounded
from aegis.tasks.models import network
from aegis.tasks.preparation import Preparation, tally, vocabulary, with_vocabulary
from aegis.tasks.task import Dataset, find_task

_TRUST = {
    "open": "The coordinator can read this hospital's own numbers.",
    "masked": "Masked, so that the coordinator can read only the sum over at least {least}.",
    "grouped": "Masked, so that the coordinator can read only sums over random groups.",
}
_SCORES = {
    "shared": "How well each model does on your held-out patients, as a histogram of scores.",
    "noisy": "How well each model does on your held-out patients: four counts with noise, "
    "charged to your budget for scores.",
    "summed": "How well each model does on your held-out patients, only inside a sum over "
    "hospitals.",
    "withheld": "",
}


@dataclass(frozen=True)
class Size:
    """``numbers`` is how many a hospital sends each round, ``rounds`` how many rounds are planned;
    None where it cannot be known beforehand."""

    numbers: int | None
    rounds: int | None

    @property
    def kilobytes(self) -> float | None:
        if self.numbers is None or self.rounds is None:
            return None
        return self.numbers * self.rounds * 8 / 1000


def size(plan: Plan, dataset: Dataset | None) -> Size:
    """Raises nothing: what cannot be worked out is left open."""
    rounds = plan.federated.num_rounds
    if dataset is None:
        return Size(None, rounds)
    with suppress(AegisError, ValueError, KeyError):
        schema = dataset.schema or find_task(plan.task).schema
        if follows_noise_rule(plan):
            prepared: Any = Bounded.of(schema)
            hospitals = plan.federated.num_clients or 1
            examples = len(dataset.rows) * hospitals
            rounds = schedule(plan, examples, hospitals, len(prepared.features)).rounds
        else:
            full = with_vocabulary(schema, vocabulary(schema, dataset.rows))
            prepared = Preparation.from_tally(full, tally(full, dataset.rows))
        model = network(plan.model, prepared.to_json())
        numbers = model.size
        if plan.training.solver == "newton":
            numbers += model.size * (model.size + 1) // 2
        return Size(numbers, rounds)
    return Size(None, rounds)


def card(desk: HospitalDesk, proposal: Proposal) -> dict[str, Any]:
    """What the page of one plan shows."""
    plan, policy = proposal.plan, desk.policy
    dataset = _dataset(desk)
    fault = policy.reason if isinstance(policy, Closed) else fault_of_plan(policy, plan)
    return {
        "proposal": proposal,
        "plan": plan,
        "title": _title(plan),
        "facts": facts(desk, plan, policy, dataset),
        "cost": cost(desk, plan),
        "words": plain_words(plan),
        "spoken": spoken(proposal.plan_sha256),
        "changes": changes(desk, proposal),
        "settings": _settings(plan),
        "fault": fault,
        "coordinator": _coordinator(desk),
        "can_sign": desk.identity is not None,
    }


def facts(
    desk: HospitalDesk, plan: Plan, policy: Policy | Closed, dataset: Dataset | None
) -> list[tuple[str, str]]:
    found = size(plan, dataset)
    members = desk.federation.roster.members if desk.federation else ()
    hospitals = plan.federated.num_clients or len(members)
    least = counted(plan.quorum(max(hospitals, 1)), "hospital")
    what = "gradient and curvature" if plan.training.solver == "newton" else "changes of the model"
    numbers = "The numbers of the model" if found.numbers is None else f"{found.numbers:,} numbers"
    leaves = f"{numbers} a round ({what}). {_TRUST[plan.effective_trust].format(least=least)}"
    if plan.privacy.enabled:
        leaves += " Noise is added before they leave."
    rounds = (
        "as many rounds as its rule allows" if found.rounds is None else f"{found.rounds} rounds"
    )
    kilobytes = found.kilobytes
    leaves += f" At most {rounds}" + (
        "."
        if kilobytes is None
        else f", {_about(kilobytes)} of numbers in all, with keys and signatures beside them."
    )
    also = "The number of your training and test patients, the names of your columns as a digest."
    if isinstance(policy, Policy) and _SCORES[policy.scores]:
        also += f" {_SCORES[policy.scores]}"
    if plan.data.standardize == "federated" and not plan.privacy.enabled:
        also += " Once, sums of each column (count, total, total of squares), in the same way."
    also += " When your node was online."
    rows = "not readable now" if dataset is None else counted(len(dataset.rows), "row")
    columns = 0
    if dataset is not None:
        columns = len((dataset.schema or find_task(plan.task).schema).columns)
    uses = f"{_named(desk)}: {rows}" + (f", {counted(columns, 'column')}." if columns else ".")
    test = plan.data.test_fraction
    uses += f" {test:.0%} of them are held out for tests and never trained on."
    who = f"All {len(members)} members" if members else "All members"
    return [
        ("Leaves", leaves),
        ("Also leaves", also),
        (
            "Never leaves",
            "Patient rows, identifiers, dates, free text. There is no route on the coordinator "
            "that accepts them.",
        ),
        ("Uses", uses),
        ("Who gets the result", f"{who} of the federation. Model weights, not data."),
        (
            "If you stop later",
            "You can leave between rounds: stop your node, or sign a stricter policy. What was "
            "already added to a sum cannot be taken back.",
        ),
    ]


def cost(desk: HospitalDesk, plan: Plan) -> dict[str, Any]:
    """The budget bar with what this plan asks for hatched, and the sentence under it."""
    money = desk.money()
    cap, spent, delta = money["epsilon_total"], float(money["spent"]), money["delta"]
    asked = plan.privacy.epsilon_budget if plan.privacy.enabled else 0.0
    unit, relation = UNITS.get(plan.privacy.mechanism, RECORD)
    found: dict[str, Any] = {
        "asked": asked,
        "spent": spent,
        "cap": cap,
        "bar": None,
        "unit": f"per {unit}, delta {delta:g}, {relation}",
        "left": None if cap is None else max(0.0, cap - spent),
        "after": None,
        "short": False,
        "noise": plan.privacy.enabled,
    }
    if cap is not None:
        found["bar"] = bar(spent, cap, asked)
        found["after"] = max(0.0, cap - spent - asked)
        found["short"] = asked > cap - spent + 1e-9
    return found


def bar(spent: float, cap: float, reserved: float = 0.0) -> dict[str, Any]:
    """What the bar's macro draws."""
    left = max(0.0, cap - spent)
    share = min(100.0, 100 * spent / cap)
    said = f"{left:.2f} epsilon left"
    if left <= 1e-9:
        said = "exhausted: nothing that costs is sent"
    elif left <= 0.2 * cap:
        said += ", a fifth or less"
    return {
        "spent": spent,
        "cap": cap,
        "reserved": min(reserved, left),
        "spent_share": share,
        "reserved_share": min(100 - share, 100 * reserved / cap),
        "said": said,
        "low": left <= 0.2 * cap,
        "none": left <= 1e-9,
    }


def plain_words(plan: Plan) -> str:
    if not plan.privacy.enabled:
        return (
            "This plan adds no noise. Anyone who holds the model can run attacks that try to tell "
            "whether a given patient was in the training data, and nothing bounds how well they do."
        )
    epsilon = plan.privacy.epsilon_budget
    if epsilon >= LOUD_EPSILON:
        return (
            f"Epsilon {epsilon:g}: this bound alone promises little. Ask for the attack tests of "
            "the finished model."
        )
    return (
        "Someone who sees the final model and guesses whether one given patient was used is right "
        f"in at most {right_guesses(epsilon)} of 100 cases, against 50 of 100 by tossing a coin. "
        "What this hospital spent before adds to that."
    )


def changes(desk: HospitalDesk, proposal: Proposal) -> dict[str, Any] | None:
    """What differs from the plan of the same task before it; nothing where it is the first."""
    earlier = [
        one
        for one in desk.decisions.proposals()
        if one.asked < proposal.asked and one.plan.task == proposal.plan.task
    ]
    if not earlier:
        return None
    before, now = earlier[-1].plan.values, proposal.plan.values
    rows = tuple(
        (name, _shown(before.get(name)), _shown(now.get(name)))
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    )
    label = f"Plan {earlier[-1].plan_sha256[:8]}"
    columns = (("Setting", False), (label, False), ("This plan", False))
    return {"count": len(rows), "table": Table(f"Changes since {label.lower()}", columns, rows)}


def _settings(plan: Plan) -> Table:
    rows = tuple((name, _shown(value)) for name, value in plan.values.items())
    return Table("All settings of this plan", (("Setting", False), ("Value", False)), rows)


def _shown(value: Any) -> str:
    match value:
        case None:
            return "not set"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(str, value)) or "none"
        case _:
            return str(value)


def _title(plan: Plan) -> str:
    with suppress(AegisError):
        return find_task(plan.task).title
    return plan.task


def _about(kilobytes: float) -> str:
    return "less than 1 KB" if kilobytes < 1 else f"about {kilobytes:,.0f} KB"


def _named(desk: HospitalDesk) -> str:
    registered = desk.folder.registered
    if registered.path:
        from aegis.operations.hospital.uploads import uploads

        for one in uploads(desk.folder):
            if one.id in registered.path:
                return one.name
        return registered.path.replace("\\", "/").rpartition("/")[2]
    return f"Public data of {registered.task}" + (
        f" ({registered.site or registered.share})" if registered.site or registered.share else ""
    )


def _dataset(desk: HospitalDesk) -> Dataset | None:
    """The registered rows; read once for each registration."""
    registered = desk.folder.registered
    key = ("rows", registered.text())
    if key not in desk.kept:
        desk.kept.pop(desk.kept.get("rows key"), None)
        try:
            desk.kept[key] = load(registered, "all", 0)
        except (AegisError, OSError, ValueError):
            desk.kept[key] = None
        desk.kept["rows key"] = key
    found: Dataset | None = desk.kept[key]
    return found


def _coordinator(desk: HospitalDesk) -> str:
    federation = desk.federation
    return "the coordinator" if federation is None else f"the coordinator of {federation.name}"


named_data, rows_of = _named, _dataset

__all__ = [
    "bar",
    "card",
    "changes",
    "cost",
    "facts",
    "named_data",
    "plain_words",
    "plan_here",
    "rows_of",
    "size",
]
