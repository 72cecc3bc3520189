"""Who only scores, and between whom fairness is asked: names that must fit the rest of the plan."""

from __future__ import annotations

from collections.abc import Iterator

from aegis.aggregation.conditions import GROUP
from aegis.errors import BadInput
from aegis.plan.faults import Edit, Fault
from aegis.plan.guards import NO_PRIVACY
from aegis.plan.plan import Plan

EVALUATE_ONLY = "federated.evaluate_only"
ATTRIBUTES = "fairness.attributes"


def roles(plan: Plan) -> Iterator[Fault]:
    names = plan.federated.evaluate_only
    if not names:
        return
    everybody = Edit({EVALUATE_ONLY: ()}, "every hospital then trains")
    trained = plan.federated.num_clients - len(set(names))
    least = 1 if plan.trust == "open" else GROUP
    if trained < least:
        yield Fault(
            (EVALUATE_ONLY, "federated.num_clients", "trust"),
            f"{EVALUATE_ONLY} leaves {max(trained, 0)} of {plan.federated.num_clients} hospitals "
            f"to train, and trust: {plan.trust} needs {least}",
            (everybody,),
        )
    if plan.privacy.enabled:
        yield Fault(
            (EVALUATE_ONLY, "privacy.enabled"),
            f"{EVALUATE_ONLY} is for plans without privacy: noise is shared out among hospitals "
            "that train",
            (everybody, NO_PRIVACY),
        )


def attributes(plan: Plan) -> Iterator[Fault]:
    """Attributes that the task's public schema cannot tell groups by."""
    from aegis.tasks.groups import groupings
    from aegis.tasks.task import find_task, task_names

    if plan.task not in task_names():
        return
    schema, sound = find_task(plan.task).schema, []
    problems = []
    for name in plan.fairness.attributes:
        try:
            groupings(schema, [name])
            sound.append(name)
        except BadInput as error:
            problems.append(str(error))
    for problem in problems:
        yield Fault((ATTRIBUTES,), problem.rstrip("."), (Edit({ATTRIBUTES: tuple(sound)}),))
