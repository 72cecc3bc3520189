"""Keys for data of one's own: label, positive class and patient are named where the task cannot
name them itself, and nowhere else; a key that nothing would read is not taken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from aegis.plan.faults import Edit, Fault
from aegis.plan.plan import Plan
from aegis.plan.sentences import show

if TYPE_CHECKING:
    from aegis.tasks.task import Schema

NAMING = {
    "data.label": "",
    "data.positive": "",
    "data.group": "rows are then split one by one",
}


def of_images(plan: Plan) -> bool:
    """Whether the plan's rows are images, as far as it says so itself."""
    from aegis.tasks.task import find_task

    return plan.data.pixels is not None or find_task(plan.task).schema.image is not None


def schema_of(plan: Plan) -> Schema:
    """What all parties know of the rows before any file is read: the task's schema, of images in
    the size that the plan says."""
    from aegis.tasks.task import Picture, Schema, find_task

    side = plan.data.pixels
    return find_task(plan.task).schema if side is None else Schema(image=Picture(side, side))


def naming(plan: Plan) -> Iterator[Fault]:
    """Tasks that know their label are told no other; pictures are labelled by who keeps them."""
    from aegis.tasks.task import find_task, task_names

    if plan.task not in task_names():
        return
    task = find_task(plan.task)
    if task.schema.image is None and plan.data.pixels is not None:
        if not getattr(task, "takes_images", False):
            problem = f"data.pixels: {plan.data.pixels} is for images, and {plan.task} has none"
            yield Fault(("data.pixels", "task"), problem, (Edit({"data.pixels": None}),))
        return
    if not task.schema.columns or task.schema.image is not None:
        return
    for key, cost in NAMING.items():
        value = plan.values[key]
        if value is not None:
            yield Fault(
                (key, "task"),
                f"{key}: {show(value)} is for task: table, and {plan.task} knows its own columns",
                (Edit({key: None}, cost),),
            )


def class_names(plan: Plan, schema: Schema) -> tuple[str, ...]:
    """The labels 0, 1, ... in words."""
    found = positive(plan)
    return schema.classes or (f"without {found}", found)


def positive(plan: Plan) -> str:
    """What a positive label means, in words for a page."""
    from aegis.tasks.task import find_task

    if plan.data.positive is None:
        return find_task(plan.task).positive
    return f"{plan.data.label or ('class' if of_images(plan) else 'label')} {plan.data.positive}"
