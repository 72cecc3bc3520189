"""Which engine does a hospital's arithmetic: the hospital's own choice, not the plan's.

    numpy     the house's own trainers, many hospitals as one stack
    sklearn   scikit-learn's model, at one hospital
    spark     Spark jobs over a DataFrame, at one hospital

An engine changes how fast an update is made, never which one: hospitals with different engines sit
in one federation, and its model is the same to 1e-9. So the choice is no key of the plan, the
plan's hash does not know it, and no coordinator can make it. Noise stays the house's own in every
engine: where steps are noised one by one, the same private trainer takes them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.plan import Plan
from aegis.privacy.dpgd import INTERCEPT, gradient_sum
from aegis.tasks.models import Model
from aegis.training.choose import trainer_for
from aegis.training.trainer import Trainer

Engine = Literal["numpy", "sklearn", "spark"]
ENGINES: tuple[Engine, ...] = get_args(Engine)
GradientSum = Callable[
    [NDArray[np.floating], NDArray[np.int64], NDArray[np.float64], float], NDArray[np.int64]
]
_YES, _NO = ("true", "yes", "1", "on"), ("false", "no", "0", "off", "")


def engine_named(name: str) -> Engine:
    for engine in ENGINES:
        if engine == name:
            return engine
    raise BadInput(f"no engine is called {name}", f"there are {', '.join(ENGINES)}")


def standing_engine(environment: Mapping[str, str]) -> Engine:
    """What a hospital trains in where nobody says otherwise: Spark with ``USE_SPARK``."""
    said = environment.get("USE_SPARK", "").strip().casefold()
    if said not in (*_YES, *_NO):
        raise BadInput(f"USE_SPARK is {said!r}", "it is true or false")
    return "spark" if said in _YES else "numpy"


def engine_trainer(engine: Engine, model: Model, private: bool = False) -> Trainer:
    """The trainer of ``model`` in this engine, the same one in every round."""
    match engine:
        case "numpy":
            return trainer_for(model, private)
        case "sklearn":
            from aegis.training.scikit import ScikitTrainer

            return trainer_for(model, private) if private else ScikitTrainer()
        case "spark":
            from aegis.training.spark import spark_trainer

            return spark_trainer()


def engine_gradient(engine: Engine) -> GradientSum:
    """The sum of clipped gradients over (design, labels, weights, clip), on the grid of the noise:
    whole numbers, and so the same bits in every engine."""
    if engine == "spark":
        from aegis.training.spark import spark_trainer

        return spark_trainer().gradient_sum
    return clipped_gradient_sum


def clipped_gradient_sum(
    design: NDArray[np.floating],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    clip: float,
) -> NDArray[np.int64]:
    """(d + 1,) the sum over the rows of ``design`` (n, d) with the intercept's column beside it."""
    column = np.full((len(design), 1), INTERCEPT)
    records = np.hstack([np.asarray(design, dtype=np.float64), column])
    return gradient_sum(records, labels, weights, clip)


def fault_of_engine(engine: Engine, plan: Plan) -> str | None:
    """Why a hospital with this engine cannot train by such a plan, or nothing."""
    if engine != "numpy" and plan.model.num_classes > 2:
        return f"this hospital trains in {engine}, which tells two classes apart here"
    if engine != "numpy" and plan.training.class_weights is not None:
        return f"this hospital trains in {engine}, which takes no training.class_weights here"
    match engine:
        case "numpy":
            return None
        case "sklearn":
            from aegis.training.scikit import fault_of_training

            return fault_of_training(plan)
        case "spark":
            from aegis.training.java import fault_of_spark

            return fault_of_spark()


def close_engines() -> None:
    """Stop what was started outside this process; a later job starts it anew."""
    spark = sys.modules.get("aegis.training.spark")
    if spark is not None:
        spark.spark_trainer().close()


def spark_frames(source: str, most_rows: int) -> object:
    """An Arrow table of what Spark reads; Spark begins here if it has not yet."""
    from aegis.training.spark import read_frame

    return read_frame(source, most_rows)
