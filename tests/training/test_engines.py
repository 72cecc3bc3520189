"""Engines: another way of computing, the same update. Spark itself is started once."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from aegis.errors import BadInput, DataError, MissingExtra
from aegis.plan import Plan
from aegis.tasks.models import Perceptron
from aegis.training import java, trainer_for
from aegis.training.engines import (
    clipped_gradient_sum,
    engine_named,
    engine_trainer,
    fault_of_engine,
    standing_engine,
)
from aegis.training.java import check_spark
from aegis.training.linear import LinearTrainer
from aegis.training.scikit import ScikitTrainer
from aegis.training.trainer import Settings
from tests.training.jobs import furthest, jobs

MODEL = Perceptron(5)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(solver="newton", l2=2.0),
        Settings(solver="gradient", l2=2.0, weight_decay=0.1),
        Settings(batch_size=1, l2=2.0, local_epochs=3),
        Settings(batch_size=1, local_steps=7),
    ],
)
def test_scikit_learn_makes_the_same_update(settings):
    given = jobs(MODEL, settings, corrected=settings.solver == "gradient")
    found, expected = ScikitTrainer().train_many(given), LinearTrainer().train_many(given)
    assert furthest(found, expected) < 1e-12
    for one, other in zip(found, expected, strict=True):
        assert one.steps == other.steps
        assert one.loss == pytest.approx(other.loss, abs=1e-12)
        assert np.abs(other.vector).max() > 1e-4


def test_a_hospital_of_one_class_or_of_none_trains_with_scikit_learn_too():
    for settings in (Settings(solver="newton"), Settings(batch_size=1)):
        [job] = jobs(MODEL, settings, (40,))
        job = replace(job, labels=np.ones_like(job.labels))
        assert furthest([ScikitTrainer().train(job)], [LinearTrainer().train(job)]) < 1e-12
        nobody = replace(job, design=job.design[:0], labels=job.labels[:0])
        assert not ScikitTrainer().train(nobody).vector.any()


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ({"training.solver": "sgd"}, "training.batch_size: 32"),
        ({"training.solver": "sgd", "training.batch_size": 1, "training.momentum": 0.9}, "mentum"),
        ({"model.name": "mlp", "training.solver": "sgd"}, "hidden layers"),
        (
            {"server.optimizer": "scaffold", "training.solver": "sgd", "training.batch_size": 1},
            "sc",
        ),
    ],
)
def test_what_scikit_learn_has_no_way_for_is_said_when_the_plan_is_proposed(keys, word):
    fault = fault_of_engine("sklearn", Plan(task="breast_cancer", **keys))
    assert fault is not None
    assert word in fault
    assert fault_of_engine("numpy", Plan(task="breast_cancer", **keys)) is None
    assert fault_of_engine("sklearn", Plan(task="breast_cancer")) is None


def test_private_steps_are_the_houses_own_whatever_the_engine():
    assert engine_trainer("sklearn", MODEL, private=True) is trainer_for(MODEL, private=True)


@pytest.mark.parametrize(
    ("said", "engine"), [("", "numpy"), ("false", "numpy"), ("TRUE", "spark"), (" 1 ", "spark")]
)
def test_the_environment_names_the_standing_engine(said, engine):
    assert standing_engine({"USE_SPARK": said}) == engine
    assert standing_engine({}) == "numpy"


def test_a_misspelt_engine_is_refused():
    with pytest.raises(BadInput, match="no engine is called sparc"):
        engine_named("sparc")
    with pytest.raises(BadInput, match="USE_SPARK is 'maybe'"):
        standing_engine({"USE_SPARK": "maybe"})


def test_without_java_or_pyspark_the_hospital_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(java, "find_spec", lambda name: object())
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(BadInput, match=r"Java, and JAVA_HOME is .* apt-get install openjdk"):
        check_spark()
    old = tmp_path / "bin" / "java"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 'openjdk version \"1.8.0_392\"' >&2\n")
    old.chmod(0o755)
    assert fault_of_engine("spark", Plan()) == (
        "Java is version 8; Spark needs 17. Install a Java runtime, version 17 or newer (Debian: "
        "apt-get install openjdk-17-jre-headless), or choose another engine for this hospital"
    )
    monkeypatch.setattr(java, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r'pip install -e "\.\[spark\]"'):
        check_spark()


def spark_or_skip() -> None:
    try:
        check_spark()
    except BadInput as error:
        pytest.skip(str(error))


@pytest.mark.engine
@pytest.mark.filterwarnings("ignore")
def test_spark_makes_the_same_update_and_its_log_says_so(tmp_path):
    """Sums, the shared trainer in one task, whole numbers, a frame that is read, and the end."""
    spark_or_skip()
    from aegis.training.spark import Spark, SparkTrainer, read_frame

    spark = Spark("local[2]", tmp_path / "events")
    trainer = SparkTrainer(spark)
    try:
        for settings, model, allowed in (
            (Settings(solver="newton", l2=2.0), MODEL, 1e-12),
            (Settings(batch_size=8, momentum=0.9), Perceptron(5, (4,)), 0.0),
        ):
            [given] = jobs(model, settings, (130,))
            found, expected = trainer.train(given), trainer_for(model).train(given)
            assert furthest([found], [expected]) <= allowed
            assert (found.steps, found.vector.dtype) == (expected.steps, expected.vector.dtype)
            assert found.loss == pytest.approx(expected.loss, abs=1e-6)
        weights = np.linspace(-1, 1, 6)
        summed = trainer.gradient_sum(given.design, given.labels, weights, 0.3)
        expected_sum = clipped_gradient_sum(given.design, given.labels, weights, 0.3)
        assert (summed == expected_sum).all()
        assert [one.what for one in spark.done[:2]] == ["hospital 0, round 3"] * 2
        assert all(one.jobs and one.tasks and one.succeeded for one in spark.done)
        (tmp_path / "rows.csv").write_text("age,class\n50,a\n61,b\n")
        frame = read_frame(str(tmp_path / "rows.csv"), 10, spark)
        assert frame.to_pydict() == {"age": ["50", "61"], "class": ["a", "b"]}
        with pytest.raises(DataError, match="has 2 rows; a table may have 1"):
            read_frame(str(tmp_path / "rows.csv"), 1, spark)
        with pytest.raises(DataError, match="Spark cannot read nothing"):
            read_frame("nothing", 10, spark)
        from pyspark import SparkContext

        gateway = SparkContext._gateway
        assert gateway is not None
        java_process = gateway.proc
    finally:
        trainer.close()
    assert java_process.poll() is not None, "Java is still running"
    [log] = (tmp_path / "events").iterdir()
    events = [json.loads(line) for line in log.read_text().splitlines()]
    ended = [event for event in events if event["Event"] == "SparkListenerJobEnd"]
    assert len(ended) >= 3
    begun = [event for event in events if event["Event"] == "SparkListenerJobStart"]
    groups = [event["Properties"].get("spark.job.description") for event in begun]
    assert groups.count("hospital 0, round 3") >= 2


def test_nothing_of_spark_is_loaded_without_it():
    import subprocess
    import sys

    code = (
        "import sys; import aegis.hospital.node, aegis.simulation.local;"
        "print([m for m in ('pyspark', 'pyarrow', 'pandas', 'sklearn', 'psycopg')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert find_spec("aegis.training.spark") is not None
