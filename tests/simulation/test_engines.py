"""Hospitals with engines of their own, in one federation: a setting of theirs, not of the plan."""

from __future__ import annotations

import json

import numpy as np
import pytest

from aegis.cli.app import run_command
from aegis.errors import BadInput
from aegis.hospital.node import Node
from aegis.hospital.site import VolatileMemory
from aegis.messages import Enrolled, Invite, Refusal
from aegis.plan import Plan
from aegis.simulation.accounts import PUBLIC
from aegis.simulation.engines import engines_said
from aegis.simulation.federation import Federation
from aegis.simulation.local import run
from aegis.simulation.stacked import StackedHospitals
from aegis.store.journal import Forgetful
from aegis.training import java
from aegis.wiring import federate

OPEN = {"trust": "open", "federated.num_rounds": 6}
TWO = {"hospital_02": "sklearn", "hospital_04": "sklearn"}


@pytest.mark.parametrize(
    ("keys", "allowed"),
    [
        ({}, 1e-12),
        ({"training.solver": "gradient", "training.learning_rate": 0.5}, 1e-12),
        ({"training.solver": "sgd", "training.batch_size": 1}, 1e-9),
    ],
)
def test_a_mixed_federation_ends_where_one_of_numpy_does(keys, allowed):
    plan = Plan(task="breast_cancer", **(OPEN | keys))
    ends = []
    for engines in ({}, TWO):
        federation = Federation.of(plan, None).with_engines(engines)
        road = StackedHospitals(federation.nodes(VolatileMemory()))
        ends.append(federate(federation.study, "run", road, Forgetful()).progress.weights)
    assert np.abs(ends[0]).max() > 0.1
    assert np.abs(ends[0] - ends[1]).max() <= allowed


def test_the_result_says_who_trained_in_what_and_the_plan_does_not(tmp_path, monkeypatch):
    monkeypatch.delenv("USE_SPARK", raising=False)
    plan = Plan(task="breast_cancer", **OPEN)
    quick = {"compare": False, "audit": False, "files": False}
    plain = run(plan, home=tmp_path / "a", **quick).document
    mixed = run(plan, home=tmp_path / "b", engines=TWO, **quick).document
    assert plain["engines"] == {}
    assert mixed["engines"] == TWO
    assert plain["plan_sha256"] == mixed["plan_sha256"]
    assert "engine" not in plan.to_json()


def test_an_engine_is_named_for_all_or_for_one():
    assert engines_said(["sklearn", "cleveland=numpy"]) == {"*": "sklearn", "cleveland": "numpy"}
    with pytest.raises(BadInput, match="no engine is called sprk"):
        engines_said(["va=sprk"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--engine", "va=sklearn"], "no hospital is called va; there are hospital_01"),
        (["--engine", "sklearn", "--set", "training.solver=sgd"], "no way for training.batch_size"),
        (["--engine", "tensor"], "no engine is called tensor; there are numpy, sklearn, spark"),
        (["--engine", "spark"], "a Spark hospital needs Java, and JAVA_HOME is"),
        ([], "a Spark hospital needs Java, and JAVA_HOME is"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(
    words, sentence, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setattr(java, "find_spec", lambda name: object())
    if not words:
        monkeypatch.setenv("USE_SPARK", "true")
    assert run_command(["simulate", "breast_cancer", *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


def test_the_command_takes_an_engine(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "home"))
    (tmp_path / "plan.yaml").write_text("task: breast_cancer\nfederated: {num_rounds: 2}\n")
    words = ["run", str(tmp_path / "plan.yaml"), "--no-audit", "--no-comparison", "--json"]
    assert run_command([*words, "--engine", "hospital_01=sklearn"]) == 0
    assert json.loads(capsys.readouterr().out)["engines"] == {"hospital_01": "sklearn"}


def test_a_hospital_refuses_a_plan_that_its_engine_cannot_follow():
    plan = Plan(task="breast_cancer", trust="open", **{"training.solver": "sgd"})
    invite = Invite("run", plan.sha256, plan.to_json())
    site = next(iter(Federation.of(plan, None).sites.values()))
    assert isinstance(Node(site, policy=PUBLIC).answer(invite), Enrolled)
    federation = Federation.of(Plan(task="breast_cancer", trust="open"), None)
    own = next(iter(federation.with_engines({"*": "sklearn"}).sites.values()))
    reply = Node(own, policy=PUBLIC).answer(invite)
    assert isinstance(reply, Refusal)
    assert "no way for training.batch_size: 32" in reply.reason


def test_a_hospital_folder_names_its_engine(tmp_path, monkeypatch):
    from aegis.operations.hospital.folder import Registered
    from aegis.operations.hospital.rows import site

    plan = Plan(task="breast_cancer", **{"federated.num_clients": 5})
    path = tmp_path / "hospital.toml"
    path.write_text(Registered("breast_cancer", share="2/5", engine="sklearn").text())
    assert site("b", Registered.read(path), plan).engine == "sklearn"
    monkeypatch.setenv("USE_SPARK", "true")
    assert site("b", Registered.read(path), plan).engine == "sklearn"
    assert site("b", Registered("breast_cancer", share="2/5"), plan).engine == "spark"
    with pytest.raises(BadInput, match="no engine is called sparc"):
        Registered("heart", engine="sparc")
