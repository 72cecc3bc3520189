"""Eleven rules against nine attacks: digits and heart, four ways of dealing rows, five seeds.

    make prove PART=robustness

Eleven hospitals, two of them dishonest; which two, the partition and all training follow from the
seed. Digits: softmax regression, 60 rounds of five steps (tests/prove/softmax.py). Heart: the
house's own federation, logistic regression, 20 rounds of one epoch. Figures are means over seeds of
the test accuracy of the last model; the least over the attacks is the figure to look at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aegis.aggregation.rules import Context, rule
from aegis.messages import Train
from aegis.plan import load_plan
from aegis.simulation.attacks import (
    ATTACKS,
    Attack,
    DishonestRoad,
    Scene,
    attack,
    drawn,
    trigger_for,
)
from aegis.simulation.attacks.road import generator
from aegis.simulation.attacks.trial import run_once, scene_of
from aegis.simulation.federation import Federation
from aegis.tasks.task import Dataset, Schema
from aegis.transport.transport import Transport
from tests.prove.softmax import CLASSES, INPUTS, SoftmaxHospitals, dealt, predicted

HOSPITALS, LIARS, ROUNDS, SEEDS = 11, 2, 60, 5
RULES = (
    "fedavg",
    "foolsgold",
    "krum",
    "bulyan",
    "median",
    "trimmed_mean",
    "multi_krum",
    "geometric_median",
    "bucketing",
    "nnm_trimmed_mean",
    "centered_clipping",
)
PARTITIONS: Mapping[str, float | None] = {
    "IID": None,
    "Dirichlet 1": 1.0,
    "Dirichlet 0.3": 0.3,
    "Dirichlet 0.1": 0.1,
}
SEARCHED = tuple(name for name, one in ATTACKS.items() if one.searched is not None)
NONE = "none"
Cell = dict[str, float]


def digits_cell(partition: str, rule_name: str, seed: int, adaptive: bool = False) -> list[Cell]:
    """Accuracy under each attack (``NONE`` first), and the trigger's success rates."""
    rows, test = dealt(HOSPITALS, PARTITIONS[partition], seed)
    scene = Scene(CLASSES, 0, trigger_for(Schema(()), test))
    liars = drawn(tuple(rows), LIARS, seed)
    accuracy: Cell = {}
    triggered: Cell = {}
    for one in chosen(adaptive):
        held = dict(rows)
        if one is not None and one.poison is not None:
            for name in liars:
                held[name] = one.poison(rows[name], scene, generator(seed, "rows", name))
        weights = learned(SoftmaxHospitals(held, seed), rule_name, one, liars, seed)
        name = NONE if one is None else one.name
        accuracy[name] = float((predicted(weights, test) == test.labels).mean())
        if name in (NONE, "backdoor"):
            assert scene.trigger is not None
            others = scene.trigger.on(test.take(test.labels != scene.target))
            triggered[name] = float((predicted(weights, others) == scene.target).mean())
    return [accuracy, triggered]


def chosen(adaptive: bool) -> list[Attack | None]:
    if adaptive:
        return [attack(name, adaptive=True) for name in SEARCHED]
    return [None, *ATTACKS.values()]


def learned(
    hospitals: SoftmaxHospitals,
    rule_name: str,
    one: Attack | None,
    liars: Sequence[str],
    seed: int,
    momentum: float = 0.0,
) -> np.ndarray:
    """The weights after all rounds; ``momentum`` is the server's."""
    combine = rule(rule_name, f=0 if rule_name in ("fedavg", "foolsgold") else LIARS, seed=seed)
    road: Transport = hospitals
    if one is not None:
        road = DishonestRoad(hospitals, one, liars, combine, seed)
    weights = np.zeros((INPUTS + 1) * CLASSES)
    velocity = np.zeros_like(weights)
    memory: Mapping[str, Any] = {}
    names = hospitals.hospitals()
    for round in range(1, ROUNDS + 1):
        request = Train("matrix", "", round, weights, 0.0, 0, len(names))
        answers = road.ask(dict.fromkeys(names, request), None)
        updates = np.stack([answers[name].vector for name in names])
        examples = np.array([answers[name].examples for name in names], dtype=np.float64)
        made = combine(updates, examples, Context(names, round, memory))
        memory = made.memory
        velocity = momentum * velocity + (1 - momentum) * made.vector
        weights = weights + velocity
    return weights


def heart_cell(
    dataset: Dataset, partition: str, rule_name: str, seed: int, adaptive: bool = False
) -> list[Cell]:
    """As ``digits_cell``; thirdly the recall. A run that was aborted has no patient right."""
    alpha = PARTITIONS[partition]
    robust = rule_name not in ("fedavg", "foolsgold")
    keys: dict[str, str] = {
        "task": "heart",
        "trust": "open",
        "seed": str(seed),
        "federated.num_clients": str(HOSPITALS),
        "federated.num_rounds": "20",
        "federated.partition.by": "iid" if alpha is None else "dirichlet",
        "federated.partition.alpha": str(alpha or 1.0),
        "training.solver": "sgd",
        "training.learning_rate": "0.1",
        "training.tolerance": "null",
        "training.l2": "0",
        "evaluation.every": "0",
        "robust_aggregation.enabled": str(rule_name != "fedavg").lower(),
        "robust_aggregation.method": rule_name,
        "robust_aggregation.num_byzantine": str(LIARS) if robust else "null",
    }
    federation = Federation.dealt(load_plan(None, keys).plan, dataset)
    liars = drawn(tuple(federation.sites), LIARS, seed)
    accuracy: Cell = {}
    triggered: Cell = {}
    recall: Cell = {}
    backdoor = scene_of(federation, ATTACKS["backdoor"])
    for one in chosen(adaptive):
        name = NONE if one is None else one.name
        scene = backdoor if name in (NONE, "backdoor") else Scene()
        outcome = run_once(federation, scene, one, liars if one is not None else ())
        measured = outcome.measured or {}
        accuracy[name] = float(measured.get("accuracy") or 0.0)
        recall[name] = float(measured.get("recall") or 0.0)
        if outcome.triggered is not None:
            triggered[name] = outcome.triggered
    return [accuracy, triggered, recall]
