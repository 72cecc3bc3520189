"""Hospitals that train in Spark, beside hospitals that do not: one federation, one model.

    make prove PART=spark

Needs a Java runtime (17 or newer) and the extra ``spark``; without them it skips and says so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aegis.hospital.site import VolatileMemory
from aegis.plan import load_plan
from aegis.simulation.federation import Federation
from aegis.simulation.local import run
from aegis.simulation.stacked import StackedHospitals
from aegis.store.journal import Forgetful
from aegis.training.engines import close_engines
from aegis.wiring import federate
from tests.training.test_engines import spark_or_skip

pytestmark = [
    pytest.mark.prove,
    pytest.mark.engine,
    pytest.mark.filterwarnings("ignore"),  # PySpark's own
]
MIXED = {"hospital_04": "spark", "hospital_05": "spark"}
FULL = {"training.solver": "gradient", "training.learning_rate": "0.5", "trust": "open"}
PLANS = {
    "full gradients": (FULL, 1e-9),
    "full gradients, masked": (FULL | {"trust": "masked"}, 1e-9),
    "Newton": ({"trust": "open"}, 1e-9),
    "mini-batches": ({"training.solver": "sgd", "trust": "open"}, 0.0),
    "a network": ({"model.name": "mlp", "training.solver": "sgd", "trust": "open"}, 0.0),
    "SCAFFOLD": (
        {"training.solver": "sgd", "server.optimizer": "scaffold", "trust": "open"},
        1e-9,
    ),
}


@pytest.fixture(autouse=True, scope="module")
def _spark():
    spark_or_skip()
    yield
    close_engines()


def weights(keys: dict[str, str], engines: dict[str, str]) -> tuple[np.ndarray, int, Any]:
    """The final weights, the rounds it took, and the plan's hash."""
    asked = {"task": "breast_cancer", "federated.num_clients": "5", "federated.num_rounds": "8"}
    plan = load_plan(None, asked | keys).plan
    federation = Federation.of(plan, None).with_engines({"*": "numpy"} | engines)
    road = StackedHospitals(federation.nodes(VolatileMemory()))
    final = federate(federation.study, "run", road, Forgetful())
    return final.progress.weights, final.progress.round, plan.sha256


@pytest.mark.parametrize("name", PLANS)
def test_three_numpy_and_two_spark_hospitals_end_where_five_numpy_hospitals_do(name, measured):
    keys, allowed = PLANS[name]

    def compared() -> dict[str, Any]:
        from aegis.training.spark import spark_trainer

        plain, rounds, plan = weights(keys, {})
        before = len(spark_trainer().spark.done)
        mixed, mixed_rounds, same_plan = weights(keys, MIXED)
        done = spark_trainer().spark.done[before:]
        return {
            "apart": float(np.abs(plain.astype(float) - mixed.astype(float)).max()),
            "moved": float(np.abs(plain).max()),
            "rounds": [rounds, mixed_rounds],
            "same plan": plan == same_plan,
            "jobs": sum(len(one.jobs) for one in done),
            "trainings in Spark": len(done),
            "succeeded": all(one.succeeded for one in done),
        }

    found = measured(name, compared)
    print(f"\n{name}: {found}")
    assert found["apart"] <= allowed
    assert found["moved"] > 0.01
    assert found["same plan"]
    assert found["rounds"][0] == found["rounds"][1]
    assert found["succeeded"]
    assert found["trainings in Spark"] == 2 * found["rounds"][1], "a round was not trained in Spark"
    assert found["jobs"] >= found["trainings in Spark"]


def test_scikit_learn_numpy_and_spark_hospitals_share_one_model(measured):
    def compared() -> float:
        plain, *_ = weights(FULL, {})
        engines = {"hospital_01": "sklearn", "hospital_02": "sklearn", **MIXED}
        mixed, *_ = weights(FULL, engines)
        return float(np.abs(plain - mixed).max())

    apart = measured("three engines", compared)
    print(f"\nsklearn + numpy + Spark against numpy: {apart:.1e}")
    assert apart <= 1e-9


@pytest.mark.parametrize(
    ("mechanism", "solver"),
    [
        ("distributed", "gradient"),
        ("dp_sgd", "gradient"),
        ("dp_sgd", "sgd"),
        ("local_update", "sgd"),
    ],
)
def test_a_private_plan_is_charged_alike_in_spark(mechanism, solver, tmp_path, measured):
    """Noise differs from run to run; what is spent and that Spark was used do not."""

    def compared() -> dict[str, Any]:
        asked = {
            "task": "breast_cancer",
            "federated.num_clients": "5",
            "privacy.enabled": "true",
            "privacy.mechanism": mechanism,
            "privacy.epsilon_budget": "8",
            "federated.num_rounds": "5",
            "training.solver": solver,
        }
        plan = load_plan(None, asked).plan
        found = {}
        for name, engines in (("numpy", {"*": "numpy"}), ("mixed", MIXED)):
            home = tmp_path / mechanism / name
            done = run(plan, home=home, engines=engines, compare=False, audit=False, files=False)
            spent = [h["epsilon"] for h in done.document["hospitals"]]
            found[name] = {"epsilon": spent, "auc": done.document["global"]["auc"]}
            found[name]["spark"] = done.document.get("spark")
        return found

    found = measured(f"private {mechanism}, {solver}", compared)
    print(f"\n{mechanism}: {found}")
    assert found["mixed"]["epsilon"] == pytest.approx(found["numpy"]["epsilon"])
    assert max(found["mixed"]["epsilon"]) <= 8
    assert found["mixed"]["spark"]["succeeded"]
    assert found["mixed"]["spark"]["jobs"] >= 10
    if solver == "gradient":  # the noise of five small hospitals' updates drowns the rest
        assert found["mixed"]["auc"] > 0.9


def test_a_hospital_whose_rows_spark_reads_gives_the_same_model(tmp_path, measured):
    """CSV files read by the house, and the same rows as a Parquet folder that Spark wrote."""
    from tests.tasks.test_table import lines

    def compared() -> float:
        from aegis.training.spark import spark_trainer

        session = spark_trainer().spark.session()
        asked = {"task": "table", "data.label": "class", "data.positive": "ckd", "trust": "open"}
        asked |= {"federated.num_clients": "3", "federated.partition.by": "site"}
        found = []
        for kind in ("csv", "spark"):
            folder = tmp_path / kind
            folder.mkdir()
            for seed, name in enumerate(("north", "south", "west")):
                path = folder / f"{name}.csv"
                path.write_text(lines(seed, 80))
                if kind == "spark" and name != "west":
                    session.read.csv(str(path), header=True).coalesce(1).write.parquet(
                        str(folder / "warehouse" / name)
                    )
                    path.unlink()
                    source = f'kind = "spark"\nsource = "warehouse/{name}"\n'
                    (folder / f"{name}.toml").write_text(source)
            plan = load_plan(None, asked | {"data.path": str(folder)}).plan
            engines = {"north": "spark", "south": "spark"} if kind == "spark" else {"*": "numpy"}
            federation = Federation.of(plan, None).with_engines(engines)
            road = StackedHospitals(federation.nodes(VolatileMemory()))
            found.append(federate(federation.study, "run", road, Forgetful()).progress.weights)
        return float(np.abs(found[0] - found[1]).max())

    apart = measured("a Parquet folder", compared)
    print(f"\nread by Spark and trained in Spark against CSV and numpy: {apart:.1e}")
    assert apart <= 1e-9
