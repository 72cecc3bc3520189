"""How many classes: what the plan says and the labels hold must be one, and what holds for two only
says so.

The order of the classes is the schema's, whose digest every hospital names when it enrols: so label
7 is the same diagnosis everywhere, or the hospital is not let in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from aegis.plan.faults import Edit, Fault
from aegis.plan.own_data import of_images
from aegis.plan.plan import Plan, follows_noise_rule

if TYPE_CHECKING:
    from aegis.tasks.task import Schema

WEIGHTED = "training.class_weights"


def fault_of_classes(plan: Plan, schema: Schema) -> str | None:
    """Why the plan's model does not fit these labels, or nothing."""
    told, there = plan.model.num_classes, schema.label_count
    if told == there:
        return None
    return f"model.num_classes: {told}, and the labels of {plan.task} are {there} classes"


def classes(plan: Plan) -> Iterator[Fault]:
    yield from _of_the_task(plan)
    if plan.model.num_classes > 2:
        yield from _exact(plan)
        yield from _noise_rule(plan)
    yield from _weights(plan)


def _of_the_task(plan: Plan) -> Iterator[Fault]:
    schema = _schema(plan)
    if schema is None or _by_its_files(plan):
        return
    problem = fault_of_classes(plan, schema)
    if problem is not None:
        count = schema.label_count
        yield Fault(("model.num_classes", "task"), problem, (Edit({"model.num_classes": count}),))


def _exact(plan: Plan) -> Iterator[Fault]:
    """Newton sends half a matrix over all weights, which grows with the classes squared."""
    from aegis.tasks.image_features import COMPONENTS
    from aegis.tasks.models import MOST_CURVED

    schema = _schema(plan)
    if plan.training.solver != "newton" or plan.model.name != "logistic" or schema is None:
        return
    columns = sum(
        max(len(column.categories) - 1, 0) if column.kind == "category" else 1
        for column in schema.columns
    )
    if of_images(plan):
        columns = COMPONENTS
    size = (columns + 1) * plan.model.num_classes
    if size > MOST_CURVED:
        yield Fault(
            ("training.solver", "model.num_classes"),
            f"training.solver: newton sends {size * (size + 1) // 2:,} numbers for the {size:,} "
            f"weights of {plan.model.num_classes} classes; it takes up to {MOST_CURVED:,} weights",
            (Edit({"training.solver": "sgd"}),),
        )


def _noise_rule(plan: Plan) -> Iterator[Fault]:
    """Its clip, its travel and its number of rounds were worked out for one logit, whose error is
    1 at most; of several logits it is the root of 2, and nothing was measured."""
    if not follows_noise_rule(plan):
        return
    changes: dict[str, Any] = {"training.solver": "sgd"}
    if plan.privacy.mechanism == "distributed":
        changes["privacy.mechanism"] = "dp_sgd"
    yield Fault(
        ("training.solver", "privacy.mechanism", "model.num_classes"),
        "private full-batch descent is planned for two classes, and model.num_classes is "
        f"{plan.model.num_classes}",
        (
            Edit(changes, "each row's gradient is clipped and noised in every step"),
            Edit({"training.solver": "sgd", "privacy.mechanism": "local_update"}),
        ),
    )


def _weights(plan: Plan) -> Iterator[Fault]:
    weights = plan.training.class_weights
    if weights is None:
        return
    none = Edit({WEIGHTED: None}, "every row then counts the same")
    if len(weights) != plan.model.num_classes:
        yield Fault(
            (WEIGHTED, "model.num_classes"),
            f"{WEIGHTED} must be one number for each of {plan.model.num_classes} classes, "
            f"got {len(weights)}",
            (none,),
        )
    if follows_noise_rule(plan):
        yield Fault(
            (WEIGHTED, "training.solver"),
            f"{WEIGHTED} has no part in private full-batch descent, which counts every record once",
            (none,),
        )


def _by_its_files(plan: Plan) -> bool:
    """Whether the classes are known only once the files are read."""
    from aegis.tasks.task import find_task

    return getattr(find_task(plan.task), "several", False) is True


def _schema(plan: Plan) -> Schema | None:
    """The task's, where it is known before any file is read."""
    from aegis.tasks.task import find_task, task_names

    if plan.task not in task_names():
        return None
    schema = find_task(plan.task).schema
    return schema if schema.columns or schema.image is not None else None
