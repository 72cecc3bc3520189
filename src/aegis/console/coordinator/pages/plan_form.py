"""The plan as a form: one field for each key, made of the plan's own schema.

What was typed is never lost: a field that is refused shows it again with its fault. A key counts as
said where its field was changed, or was said before; all others go on following from the task and
from each other. So another task brings its own recipe with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from aegis.console.coordinator.desk import Desk
from aegis.console.coordinator.runs.next_plan import Draft, Faults, drafted, kinds_of, read_text
from aegis.console.window.formats import seconds
from aegis.console.window.spoken import spoken
from aegis.errors import PlanError
from aegis.plan import Plan
from aegis.plan.keys import Keys
from aegis.plan.layers import defaults
from aegis.plan.sentences import need, schema_of, show
from aegis.report.disclosure import coordinator_saw
from aegis.report.wording import NBSP, number
from aegis.tasks.task import task_names

COMMON = (
    "task",
    "trust",
    "federated.num_clients",
    "federated.num_rounds",
    "model.name",
    "training.solver",
    "training.local_epochs",
    "training.batch_size",
    "training.learning_rate",
    "privacy.enabled",
    "privacy.mechanism",
    "privacy.epsilon_budget",
    "privacy.noise_multiplier",
    "privacy.max_grad_norm",
)
USUAL: Mapping[str, str] = {
    "federated.num_clients": "Usually 2 to 10.",
    "federated.num_rounds": "Usually 1 to 200.",
    "privacy.epsilon_budget": "Usually 1 to 200; from 5 up the bound alone promises little.",
    "privacy.noise_multiplier": "Usually 0.1 to 5.",
    "privacy.max_grad_norm": "Usually 0.1 to 10.",
    "training.local_epochs": "Usually 1 to 10.",
    "training.batch_size": "Usually 8 to 512.",
}
_WORDS = {
    "num_clients": "hospitals",
    "num_rounds": "rounds",
    "num_classes": "classes",
    "l2": "L2 penalty",
    "proximal_mu": "proximal mu (FedProx)",
    "fraction_fit": "share of hospitals asked",
    "max_grad_norm": "clipping norm",
    "epsilon_budget": "budget of epsilon",
    "deadline_s": "deadline",
    "privacy.enabled": "differential privacy",
    "model.name": "model",
    "trust": "trust mode",
    "federated.partition.by": "rows are dealt by",
}


@dataclass(frozen=True)
class Field:
    """``choices`` are (value, word); without any it is typed. ``said``: somebody set this key."""

    key: str
    id: str
    label: str
    unit: str
    help: str
    value: str
    choices: tuple[tuple[str, str], ...]
    numeric: bool
    said: bool
    origin: str
    fault: str = ""


@dataclass(frozen=True)
class Group:
    name: str
    title: str
    fields: tuple[Field, ...]

    @property
    def open(self) -> bool:
        return any(one.fault for one in self.fields)

    @property
    def said(self) -> int:
        return sum(one.said for one in self.fields)


@dataclass(frozen=True)
class Change:
    """A value that will be another than its field shows."""

    key: str
    value: str
    origin: str


def id_of(key: str) -> str:
    """The id of a key's field."""
    return "f-" + key.replace(".", "-")


def groups(draft: Draft, typed: Mapping[str, str] | None = None) -> tuple[Group, ...]:
    """The usual keys first, then each section of the plan. ``typed`` stands in the fields as it
    was typed."""
    faults = dict(reversed(draft.faults))
    made = {
        key: _field(key, value, draft, (typed or {}).get(key), faults.get(key, ""))
        for key, value in draft.plan.values.items()
    }
    first = Group("usual", "The usual settings", tuple(made[key] for key in COMMON))
    rest: dict[str, list[Field]] = {}
    for key, one in made.items():
        if key not in COMMON:
            rest.setdefault(_section(key), []).append(one)
    others = [Group(name, _title(name), tuple(fields)) for name, fields in rest.items()]
    return (first, *others)


def _section(key: str) -> str:
    return key.rpartition(".")[0] or "general"


def _title(section: str) -> str:
    return section.replace(".", ": ").replace("_", " ").capitalize()


def _field(key: str, value: Any, draft: Draft, typed: str | None, fault: str) -> Field:
    label, unit, help_text = _described(key)
    return Field(
        key,
        id_of(key),
        label,
        unit,
        help_text,
        written(value) if typed is None else typed,
        _choices(key),
        bool(kinds_of(key) & {"number", "integer"}),
        key in draft.said,
        draft.origins.get(key, ""),
        fault,
    )


@cache
def _described(key: str) -> tuple[str, str, str]:
    """Its label, its unit where the label does not say it, and what it means and takes."""
    schema, leaf = schema_of(key), key.rsplit(".", 1)[-1]
    said, wanted = str(schema.get("description", "")), need(schema)
    word = _WORDS.get(key) or _WORDS.get(leaf) or leaf.replace("_", " ")
    label, unit = word[:1].upper() + word[1:], _unit(key)
    help_text = said if _choices(key) else f"{said} {wanted[:1].upper()}{wanted[1:]}."
    help_text = f"{help_text} {USUAL.get(key, '')}".strip().replace("null", "empty")
    return label, unit if unit != label.lower() else "", help_text


def _unit(key: str) -> str:
    place: Any = Keys
    for name in key.split(".")[:-1]:
        place = place.model_fields[name].annotation
    extra = place.model_fields[key.rsplit(".", 1)[-1]].json_schema_extra
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""


def _choices(key: str) -> tuple[tuple[str, str], ...]:
    if key == "task":  # one may be dropped in while this runs
        return tuple((name, name.replace("_", " ")) for name in task_names())
    return _listed(key)


@cache
def _listed(key: str) -> tuple[tuple[str, str], ...]:
    parts = list(schema_of(key).get("anyOf", [schema_of(key)]))
    if any(one.get("type") == "boolean" for one in parts):
        return (("true", "on"), ("false", "off"))
    listed = [value for one in parts for value in one.get("enum", ())]
    if not listed or any(one.get("type") in ("integer", "number") for one in parts):
        return ()
    nothing = [("", "follows by itself")] if {"type": "null"} in parts else []
    return (*nothing, *((str(value), str(value)) for value in listed))


def written(value: Any) -> str:
    """A value as its field shows it."""
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(show(one) for one in value)
    return value if isinstance(value, str) else show(value)


def posted(base: Draft, typed: Mapping[str, str]) -> Draft:
    """What a form says that showed ``base``."""
    said, wrong = dict(base.said), {}
    for key, text in typed.items():
        if key not in defaults() or text.strip() == written(base.plan.values[key]):
            continue
        try:
            value = read_text(key, text)
        except PlanError as error:
            wrong[key] = str(error)
            continue
        if value is None and "null" not in kinds_of(key):
            said.pop(key, None)
        else:
            said[key] = value
    return drafted(said, wrong)


def following(draft: Draft, typed: Mapping[str, str], most: int = 12) -> tuple[Change, ...]:
    """What will be otherwise than the form shows, for it follows from what was changed."""
    values = draft.plan.values
    found = [
        Change(key, written(values[key]) or "null", draft.origins.get(key, ""))
        for key, text in typed.items()
        if key in values and key not in draft.said and text.strip() != written(values[key])
    ]
    return tuple(found[:most])


def estimate(desk: Desk, plan: Plan, where: str) -> tuple[tuple[str, str], ...]:
    """What the run will take and cost, as far as it is known before."""
    federated, privacy = plan.federated, plan.privacy
    rounds = federated.num_rounds
    often = "as many as the noise rule finds worth it" if rounds is None else f"at most {rounds}"
    spends = (
        f"at most {privacy.epsilon_budget:g}{NBSP}epsilon per record at each hospital, over all "
        f"rounds and statistics (delta {privacy.delta:g})"
        if privacy.enabled
        else "no noise is added, so differential privacy bounds nothing"
    )
    saw = coordinator_saw({"trust": plan.effective_trust, "privacy": privacy.model_dump()})
    return (
        ("Rounds", often),
        ("Hospitals", _hospitals(desk, plan, where)),
        ("Privacy", spends),
        ("The coordinator sees", saw.split(". ")[0].rstrip(".").replace("saw", "will see")),
        ("Time", _time(desk, plan, where)),
        ("Approved", _approved(desk, plan)),
        ("Fingerprint of the plan", spoken(plan.sha256)),
    )


def _hospitals(desk: Desk, plan: Plan, where: str) -> str:
    wanted = plan.federated.num_clients
    needed = plan.quorum(wanted)
    if where == "rehearsal":
        return f"{wanted} simulated here, on public data; {needed} must answer in a round"
    members = desk.state()["hospitals"]
    there = sum(one["present"] for one in members)
    return f"{there} of {len(members)} members are connected; {needed} must answer in a round"


def _time(desk: Desk, plan: Plan, where: str) -> str:
    """By the latest ended run of the same task on the same road."""
    for line in desk.reading.lines(20):
        same = line.task == plan.task and (line.transport == "inprocess") == (where == "rehearsal")
        if not (same and line.over and line.round):
            continue
        took = number(desk.reading.document(line.run).get("seconds"))
        if took:
            each = took / line.round
            rounds = plan.federated.num_rounds or line.round
            return (
                f"about {seconds(each * rounds)}, by the last run of this task "
                f"({seconds(each)} a round)"
            )
    return "not known: no run of this task has ended here"


def _approved(desk: Desk, plan: Plan) -> str:
    """By the latest run of this very plan; before it nobody was asked."""
    for line in desk.reading.lines(50):
        if line.plan_sha256 != plan.sha256:
            continue
        joined = [
            event
            for _, _, event in desk.reading.events(line.run)
            if event["event"] == "HospitalJoined"
        ]
        if joined:
            names = {str(event["hospital"]) for event in joined}
            return f"{len(names)} hospitals let this very plan in before (run {line.run})"
    return "each hospital is asked when the run begins; none has seen this very plan yet"


def shown_faults(draft: Draft) -> Faults:
    """(id of the field, sentence)."""
    return tuple((id_of(key) if key in defaults() else "", said) for key, said in draft.faults)
