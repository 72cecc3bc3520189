"""What this version cannot do yet: one table. Who builds a row's capability deletes the row.

A plan that asks for such a thing is refused with the nearest thing that exists and what that
costs; it is never run without what it asked for.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from aegis.plan.faults import Edit, Fault
from aegis.plan.plan import Plan
from aegis.plan.sentences import show


@dataclass(frozen=True)
class Later:
    """``key`` cannot take ``values`` yet; ``instead`` is the nearest thing that exists."""

    key: str
    values: Container[Any]
    instead: Mapping[str, Any]
    note: str = ""


NOT_YET: Sequence[Later] = (
    Later("model.num_classes", range(101, 1001), {"model.num_classes": 100}),
)


def available(edit: Edit, later: Sequence[Later]) -> bool:
    """Whether this version can do what the edit asks for."""
    return not any(row.key in edit.changes and edit.changes[row.key] in row.values for row in later)


def not_yet(plan: Plan, later: Sequence[Later]) -> Iterator[Fault]:
    yield from _task(plan)
    values = plan.values
    for row in later:
        value = values[row.key]
        if value in row.values:
            problem = f"{row.key}: {show(value)} is not in this version yet"
            yield Fault((row.key,), problem, (Edit(row.instead, row.note),))
    yield from _model(plan, later)


def _task(plan: Plan) -> Iterator[Fault]:
    from aegis.tasks.task import task_names

    names = task_names()
    if plan.task in names:
        return
    problem = f"task: {show(plan.task)} is not a task; there are {', '.join(names) or 'none'}"
    near = get_close_matches(plan.task, names, 1, 0.5) or list(names[:1])
    yield Fault(("task",), problem, tuple(Edit({"task": name}) for name in near))


def _model(plan: Plan, later: Sequence[Later]) -> Iterator[Fault]:
    from aegis.tasks.models import HIDDEN
    from aegis.tasks.networks import NETWORKS

    name = plan.model.name
    names = [*HIDDEN, *NETWORKS]
    if name in names or any(row.key == "model.name" and name in row.values for row in later):
        return
    near = get_close_matches(name, names, 1, 0.5) or ["logistic"]
    problem = f"model.name: {show(name)} is not a model; there are {', '.join(names)}"
    yield Fault(("model.name",), problem, (Edit({"model.name": near[0]}),))
