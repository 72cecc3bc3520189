"""Training at odds with itself: solver and model, rounds and quorum, choices and held-out rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aegis.plan.faults import Edit, Fault
from aegis.plan.layers import NOT_FOR_GRADIENT, NOT_FOR_NEWTON
from aegis.plan.plan import Plan
from aegis.plan.sentences import show


def solver(plan: Plan) -> Iterator[Fault]:
    solver = plan.training.solver
    if solver == "sgd":
        return
    sgd = Edit({"training.solver": "sgd"})
    if plan.model.name != "logistic":
        logistic = Edit({"model.name": "logistic", "model.hidden": None, "model.dropout": None})
        yield Fault(
            ("training.solver", "model.name"),
            f"training.solver: {solver} is exact for model.name: logistic only, "
            f"got {show(plan.model.name)}",
            (sgd, logistic),
        )
    unused = NOT_FOR_NEWTON if solver == "newton" else NOT_FOR_GRADIENT
    unset: dict[str, Any] = {k: v for k, v in unused.items() if plan.values[k] != v}
    if unset:
        got = ", ".join(f"{key}: {show(plan.values[key])}" for key in unset)
        yield Fault(
            ("training.solver", *unset),
            f"training.solver: {solver} has no use for {got}",
            (Edit(unset), sgd),
        )


def model(plan: Plan) -> Iterator[Fault]:
    from aegis.tasks.models import HIDDEN

    model = plan.model
    if model.name not in HIDDEN:
        return
    own = HIDDEN[model.name]
    if not own:
        for key, value in (("model.hidden", model.hidden), ("model.dropout", model.dropout)):
            if value:
                yield Fault(
                    (key, "model.name"),
                    f"{key} is for networks, and {model.name} has no hidden layer",
                    (Edit({key: None}), Edit({"model.name": "mlp"})),
                )
        return
    layers = len(model.hidden or own)
    if model.dropout and len(model.dropout) != layers:
        yield Fault(
            ("model.dropout", "model.hidden"),
            f"model.dropout must have one rate for each of the {layers} hidden layers, "
            f"got {len(model.dropout)}",
            (Edit({"model.dropout": None}),),
        )
    if model.init == "zeros":
        yield Fault(
            ("model.init", "model.name"),
            f"model.init: zeros keeps all units of {model.name} alike, so it cannot learn",
            (Edit({"model.init": "uniform"}),),
        )


def rounds(plan: Plan) -> Iterator[Fault]:
    federated = plan.federated
    n, quorum = federated.num_clients, federated.quorum
    if n < 2:
        yield Fault(
            ("federated.num_clients",),
            f"federated.num_clients must be at least 2, got {n}: one hospital needs no federation",
            (Edit({"federated.num_clients": 2}),),
        )
    if isinstance(quorum, int) and quorum > n:
        yield Fault(
            ("federated.quorum", "federated.num_clients"),
            f"federated.quorum: {quorum} can never be met by federated.num_clients: {n}",
            (Edit({"federated.quorum": "all"}), Edit({"federated.num_clients": min(quorum, 1000)})),
        )
    if federated.selection == "all" and federated.fraction_fit < 1:
        yield Fault(
            ("federated.selection", "federated.fraction_fit"),
            f"federated.selection: all asks everybody, and federated.fraction_fit: "
            f"{show(federated.fraction_fit)} only some",
            (Edit({"federated.selection": "random"}), Edit({"federated.fraction_fit": 1.0})),
        )


def choices(plan: Plan) -> Iterator[Fault]:
    """Whatever is decided on scores needs scores, and of rows that are not the test rows."""
    chosen = {
        "evaluation.keep": plan.evaluation.keep == "best",
        "evaluation.patience": plan.evaluation.patience is not None,
        "training.schedule": plan.training.schedule == "plateau",
        "evaluation.gate": plan.evaluation.gate is not None,
    }
    keys = tuple(key for key, wanted in chosen.items() if wanted)
    held_out = plan.data.test_fraction + plan.data.validation_fraction
    if keys and plan.data.validation_fraction == 0:
        wanted = ", ".join(f"{key}: {show(plan.values[key])}" for key in keys)
        yield Fault(
            (*keys, "data.validation_fraction"),
            f"{wanted} would choose by the test rows, since data.validation_fraction is 0",
            (Edit({"data.validation_fraction": 0.15}),),
        )
    if keys and plan.evaluation.every == 0:
        yield Fault(
            (*keys, "evaluation.every"),
            f"{keys[0]} needs scores along the way, and evaluation.every: 0 takes them at the end",
            (Edit({"evaluation.every": 1}),),
        )
    if held_out >= 1:
        fractions = {
            "data.test_fraction": 0.2,
            "data.validation_fraction": 0.15 if plan.data.validation_fraction else 0.0,
        }
        yield Fault(
            tuple(fractions),
            f"data.test_fraction and data.validation_fraction leave no row to train on: "
            f"together they are {show(round(held_out, 6))}",
            (Edit(fractions),),
        )
