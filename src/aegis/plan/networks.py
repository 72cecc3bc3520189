"""Networks of convolutions in a plan: what they need, what they have no use for, how they train.

``recipe`` is what a network's name says where nobody says otherwise; the figures behind it are in
``tests/prove/test_networks.py`` and ``tests/prove/test_ecg.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aegis.plan.faults import Edit, Fault
from aegis.plan.own_data import of_images
from aegis.plan.plan import Plan
from aegis.plan.sentences import show

_IMAGES: Mapping[str, Any] = {
    "federated.num_rounds": 30,
    "training.solver": "sgd",
    "training.optimizer": "adam",
    "training.batch_size": 64,
    "training.learning_rate": 0.003,
    "training.learning_rate_decay": 0.93,
}
_SIGNALS: Mapping[str, Any] = {
    "federated.num_rounds": 8,
    "training.solver": "sgd",
    "training.optimizer": "adam",
    "training.batch_size": 64,
    "training.learning_rate": 0.003,
    "training.learning_rate_decay": 0.85,
    "training.weight_decay": 0.001,
}
_PRIVATE: Mapping[str, Any] = {
    "federated.num_rounds": 40,
    "training.solver": "sgd",
    "training.optimizer": "sgd",
    "training.batch_size": 1024,
    "training.local_steps": 1,
    "training.learning_rate": 2.0,
    "training.learning_rate_decay": 0.95,
    "server.optimizer": "fedavgm",
}
_LARGE_PRIVATE: Mapping[str, Any] = {
    "training.solver": "sgd",
    "training.optimizer": "sgd",
    "training.batch_size": 64,
    "training.learning_rate": 0.5,
}


def recipe(
    name: str, mechanism: str = "none", classes: Any = 2, own: bool = False
) -> Mapping[str, Any]:
    """The plan keys that this model sets where a plan is silent; ``mechanism`` is its privacy's.
    Noisy steps are tuned as a whole: who says anything of the training (``own``) says all of it."""
    from aegis.tasks.networks import FOR_IMAGES, NETWORKS, SMALL

    if name not in NETWORKS:
        return {}
    if mechanism not in ("none", "local_update"):
        # Signals that are bounded keep gradients within the clip (Papernot et al. 2021).
        tuned = _PRIVATE if name in SMALL else _LARGE_PRIVATE
        activation = {"model.activation": "tanh"} if name in SMALL else {}
        return {**({"training.solver": "sgd"} if own else tuned), **activation}
    if name not in FOR_IMAGES:
        return _SIGNALS
    return {**_IMAGES, "training.local_odds": classes == 2 and mechanism == "none"}


def networks(plan: Plan) -> Iterator[Fault]:
    from aegis.tasks.networks import NETWORKS, SMALL

    model = plan.model
    if model.name in NETWORKS:
        yield from _shape(plan)
        yield from _data(plan)
    elif model.freeze_backbone:
        yield Fault(
            ("model.freeze_backbone", "model.name"),
            f"model.freeze_backbone is for {', '.join(NETWORKS)}, got {show(model.name)}",
            (Edit({"model.freeze_backbone": False}),),
        )
    if model.activation is not None and model.name not in SMALL:
        yield Fault(
            ("model.activation", "model.name"),
            f"model.activation is for {' and '.join(SMALL)}, got {show(model.name)}",
            (Edit({"model.activation": None}),),
        )
    yield from _odds(plan)


def _shape(plan: Plan) -> Iterator[Fault]:
    model = plan.model
    if model.hidden is not None:
        yield Fault(
            ("model.hidden", "model.name"),
            f"model.hidden: {model.name} has layers of its own",
            (Edit({"model.hidden": None}),),
        )
    if model.dropout is not None and len(model.dropout) > 1:
        yield Fault(
            ("model.dropout", "model.name"),
            f"model.dropout: {model.name} has one rate, before its last layer, "
            f"got {len(model.dropout)}",
            (Edit({"model.dropout": model.dropout[:1]}),),
        )
    if model.init == "zeros":
        yield Fault(
            ("model.init", "model.name"),
            f"model.init: zeros keeps all units of {model.name} alike, so it cannot learn",
            (Edit({"model.init": "uniform"}),),
        )


def _data(plan: Plan) -> Iterator[Fault]:
    from aegis.errors import BadInput
    from aegis.tasks.networks import FOR_IMAGES
    from aegis.tasks.networks.signals import leads
    from aegis.tasks.task import find_task, task_names

    if plan.task not in task_names():
        return
    name, schema = plan.model.name, find_task(plan.task).schema
    unset = {
        "model.dropout": None,
        "model.activation": None,
        "model.freeze_backbone": False,
        "training.local_odds": False,
    }
    values = plan.values
    changed = {key: value for key, value in unset.items() if values[key] != value}
    logistic = Edit({"model.name": "logistic", **changed})
    keys = ("model.name", "task")
    if name in FOR_IMAGES and schema.columns and not of_images(plan):
        problem = f"model.name: {name} takes images, and the rows of {plan.task} are a table's"
        yield Fault(keys, problem, (logistic, Edit({"task": "pneumonia"})))
    if name in FOR_IMAGES or not (schema.columns or of_images(plan)):
        return
    try:
        leads(schema.names)
    except BadInput:
        problem = f"model.name: {name} takes a signal, and {plan.task} has none"
        yield Fault(keys, problem, (logistic, Edit({"task": "ecg"})))


def _odds(plan: Plan) -> Iterator[Fault]:
    from aegis.tasks.networks import FOR_IMAGES

    if not plan.training.local_odds:
        return
    key, off = "training.local_odds", Edit({"training.local_odds": False})
    if plan.model.name not in FOR_IMAGES:
        names = ", ".join(FOR_IMAGES)
        yield Fault((key, "model.name"), f"{key} is for {names}, got {plan.model.name}", (off,))
    if plan.model.num_classes != 2:
        yield Fault((key, "model.num_classes"), f"{key} is for two classes", (off,))
    if plan.privacy.enabled:
        problem = f"{key} tells how many are ill at each hospital, which no noise covers"
        yield Fault((key, "privacy.enabled"), problem, (off,))
