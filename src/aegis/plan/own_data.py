"""Keys for data of one's own: label, positive class and patient are named where the task cannot
name them itself, and nowhere else; a key that nothing would read is not taken."""

from __future__ import annotations

from collections.abc import Iterator

from aegis.plan.faults import Edit, Fault
from aegis.plan.plan import Plan
from aegis.plan.sentences import show

NAMING = {
    "data.label": "",
    "data.positive": "",
    "data.group": "rows are then split one by one",
}


def naming(plan: Plan) -> Iterator[Fault]:
    """Tasks that know their label are told no other."""
    from aegis.tasks.task import find_task, task_names

    if plan.task not in task_names():
        return
    schema = find_task(plan.task).schema
    if not schema.columns and schema.image is None:
        return
    for key, cost in NAMING.items():
        value = plan.values[key]
        if value is not None:
            yield Fault(
                (key, "task"),
                f"{key}: {show(value)} is for task: table, and {plan.task} knows its own columns",
                (Edit({key: None}, cost),),
            )


def positive(plan: Plan) -> str:
    """What a positive label means, in words for a page."""
    from aegis.tasks.task import find_task

    if plan.data.positive is None:
        return find_task(plan.task).positive
    return f"{plan.data.label or 'label'} {plan.data.positive}"
