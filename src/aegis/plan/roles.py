"""Who only scores, and between whom fairness is asked: names that must fit the rest of the plan."""

from __future__ import annotations

from collections.abc import Iterator

from aegis.aggregation.conditions import GROUP
from aegis.errors import BadInput
from aegis.plan.faults import Edit, Fault
from aegis.plan.guards import NO_PRIVACY
from aegis.plan.plan import Plan
from aegis.plan.sentences import show

EVALUATE_ONLY = "federated.evaluate_only"
ATTRIBUTES = "fairness.attributes"
MOST_NAMED = 12


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
    from aegis.tasks.groups import ALWAYS, groupings
    from aegis.tasks.task import find_task, task_names

    if plan.task not in task_names():
        return
    schema = find_task(plan.task).schema

    def told_apart(name: str) -> bool:
        try:
            groupings(schema, [name])
        except BadInput:
            return False
        return True

    asked = plan.fairness.attributes
    sound = tuple(name for name in asked if told_apart(name))
    known = [name for name in dict.fromkeys((*ALWAYS, *schema.names)) if told_apart(name)]
    more = ", ..." if len(known) > MOST_NAMED else ""
    for name in asked:
        if name not in sound:
            yield Fault(
                (ATTRIBUTES,),
                f"{ATTRIBUTES}: {show(name)} has no public groups in task: {plan.task}, there are "
                f"{', '.join(known[:MOST_NAMED])}{more}",
                (Edit({ATTRIBUTES: sound}),),
            )
