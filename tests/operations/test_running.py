"""The same federation as in the simulator, between parties that share only a road."""

from __future__ import annotations

import json

import pytest

from aegis.errors import BadInput
from aegis.operations.hospital.folder import Registered
from aegis.operations.hospital.policies import strict
from aegis.operations.hospital.process import budget, last_sent, status
from aegis.plan import load_plan
from aegis.simulation import local
from aegis.tasks.question import Question
from tests.operations.here import Here

NAMES = tuple(f"hospital_{number:02d}" for number in range(1, 5))
PLAN = {
    "task": "breast_cancer",
    "federated.num_clients": "4",
    "federated.num_rounds": "3",
    "training.solver": "gradient",
    "training.learning_rate": "2.0",
    "privacy.enabled": "false",
    "evaluation.every": "0",
}


def plan(**changed):
    said = PLAN | {key.replace("__", "."): str(value) for key, value in changed.items()}
    return load_plan(None, said).plan


@pytest.fixture
def here(tmp_path):
    found = Here(tmp_path)
    with found.coordinator:
        yield found
        found.end()
    assert not found.errors


def made(here, names=NAMES):
    for name in names:
        here.make(name, Registered("breast_cancer", share=f"{int(name[-2:])}/4"))


def simulated(tmp_path, wanted):
    return local.run(
        wanted, home=tmp_path / "simulated", compare=False, audit=False, files=False
    ).document


def test_a_masked_run_ends_with_the_model_of_the_simulator_and_a_log_that_holds(here, tmp_path):
    made(here)
    here.serve(*NAMES)
    wanted = plan()
    assert wanted.trust == "masked"
    found = here.coordinator.wait(here.coordinator.submit(wanted), 60)
    assert found["model_sha256"] == simulated(tmp_path, wanted)["model_sha256"]
    assert found["audit_log"]["verified"]
    assert found["audit_log"]["witnesses"] == 4
    assert found["transport"] == "queues"
    assert found["comparison"] is None
    assert found["comparison_reason"]


def test_a_private_run_is_charged_at_the_hospitals_and_told_by_them(here):
    made(here)
    here.serve(*NAMES)
    wanted = plan(
        privacy__enabled="true",
        privacy__mechanism="distributed",
        federated__num_rounds="null",
        training__learning_rate="null",
    )
    found = here.coordinator.wait(here.coordinator.submit(wanted), 90)
    assert found["privacy"]["mechanism"] == "distributed"
    for hospital in found["hospitals"]:
        kept = budget(here.folder(hospital["name"]))
        assert 0 < hospital["epsilon"] <= wanted.privacy.epsilon_budget
        assert kept["runs"][0]["epsilon"] == pytest.approx(hospital["epsilon_rdp"])
    assert found["audit_log"]["verified"]


def test_hospitals_that_restart_in_the_middle_go_on(here, tmp_path):
    made(here)
    here.serve(*NAMES)
    here.rest = 0.02
    wanted = plan(federated__num_rounds="6", federated__deadline_s="5", federated__quorum="3")
    run = here.coordinator.submit(wanted)
    here.until(lambda now: now["round"] >= 1)
    here.end("hospital_02")
    here.serve("hospital_02")
    found = here.coordinator.wait(run, 90)
    assert found["status"] == "completed"
    there = {hospital["name"]: hospital["rounds"] for hospital in found["hospitals"]}
    assert there["hospital_02"] >= 4


def test_a_coordinator_that_restarts_goes_on_with_its_run(here, tmp_path):
    made(here)
    here.serve(*NAMES)
    here.rest = 0.02
    wanted = plan(federated__num_rounds="5")
    run = here.coordinator.submit(wanted)
    here.until(lambda now: now["round"] >= 1)
    here.coordinator.__exit__(None, None, None)
    here.rest = 0.0
    again = here.new()
    with again:
        found = again.wait(run, 60)
        assert again.unfinished() == []
    assert found["model_sha256"] == simulated(tmp_path, wanted)["model_sha256"]
    assert found["audit_log"]["verified"]
    here.coordinator = here.new()
    here.coordinator.__enter__()


def test_a_run_waits_in_registration_until_the_last_hospital_comes(here):
    made(here)
    here.serve(*NAMES[:3])
    run = here.coordinator.submit(plan(federated__quorum="4"))
    now = here.until(lambda now: now["state"] == "Registration" and now["run"] == run)
    assert sum(one["present"] for one in now["hospitals"]) == 3
    here.serve(NAMES[3])
    found = here.coordinator.wait(run, 60)
    assert len(found["hospitals"]) == 4


def test_a_hospital_that_comes_while_the_run_is_on_takes_part_from_the_next_round(here):
    made(here, NAMES[:3])
    here.serve(*NAMES[:3])
    here.rest = 0.03
    wanted = plan(federated__num_rounds="8", federated__quorum="3")
    run = here.coordinator.submit(wanted)
    here.until(lambda now: now["round"] >= 1)
    made(here, NAMES[3:])
    here.serve(NAMES[3])
    found = here.coordinator.wait(run, 90)
    late = next(one for one in found["hospitals"] if one["name"] == NAMES[3])
    assert 1 <= late["rounds"] < 8
    assert found["audit_log"]["verified"]


def test_a_stopped_run_ends_with_the_model_so_far_and_a_second_one_follows(here):
    made(here)
    here.serve(*NAMES)
    here.rest = 0.02
    run = here.coordinator.submit(plan(federated__num_rounds="50"))
    with pytest.raises(BadInput, match="is going on"):
        here.coordinator.submit(plan())
    here.until(lambda now: now["round"] >= 1)
    here.coordinator.command(run, "stop")
    assert here.coordinator.wait(run, 60)["status"] == "stopped"
    here.rest = 0.0
    second = here.coordinator.wait(here.coordinator.submit(plan()), 60)
    assert second["status"] == "completed"


def test_a_strict_hospital_abstains_until_a_person_approves(here):
    for name in NAMES[:3]:
        here.make(name, Registered("breast_cancer", share=f"{int(name[-2:])}/4"))
    careful = strict("breast_cancer")
    here.make(NAMES[3], Registered("breast_cancer", share="4/4"), careful)
    here.serve(*NAMES)
    found = here.coordinator.wait(
        here.coordinator.submit(plan(federated__quorum="3", federated__num_clients="4")), 60
    )
    assert [one["name"] for one in found["hospitals"]] == list(NAMES[:3])
    said = last_sent(here.folder(NAMES[3]))
    assert said[0]["sent"] == "Refusal"
    assert "noise" in said[0]["reason"] or "none" in said[0]["reason"]
    assert status(here.folder(NAMES[3]))["budget"]["spent"] == 0


def test_what_left_a_hospital_is_written_down_without_a_value(here):
    made(here)
    here.serve(*NAMES)
    here.coordinator.wait(here.coordinator.submit(plan()), 60)
    lines = here.folder(NAMES[0]).sent.read_text().splitlines()
    kinds = {json.loads(line)["sent"] for line in lines}
    assert {"Enrolled", "Masked", "Cosigned"} <= kinds
    assert all(set(json.loads(line)) <= _FIELDS for line in lines)


_FIELDS = {"time", "run", "round", "asked", "sent", "reason"}


def test_one_data_root_has_one_coordinator(here):
    with pytest.raises(BadInput, match="runs on"), here.new():
        pass


def test_the_coordinator_needs_the_columns_beforehand(here):
    said = {"task": "table", "data.path": "x.csv", "data.label": "ill", "data.positive": "yes"}
    wanted = load_plan(None, said | {"privacy.enabled": "false"}).plan
    with pytest.raises(BadInput, match="columns"):
        here.coordinator.submit(wanted)


def test_a_question_is_answered_with_noise_and_charged_once_by_policy(here):
    made(here, NAMES[:3])
    careful = strict("breast_cancer")
    here.make(NAMES[3], Registered("breast_cancer", share="4/4"), careful)
    here.serve(*NAMES)
    asked = Question("count", (), None, "")
    wanted = plan()
    first = here.coordinator.ask(wanted, asked, 0.3)
    again = here.coordinator.ask(wanted, asked, 0.3)
    assert first["cells"] == again["cells"]
    assert first["cells"][0]["count"] == pytest.approx(427, abs=150)
    assert first["privacy"]["private"]
    states = {one["name"]: one["status"] for one in first["hospitals"]}
    assert states == dict.fromkeys(NAMES[:3], "answered") | {NAMES[3]: "refused"}
    assert 0 < budget(here.folder(NAMES[0]))["spent"] < 0.6
    assert budget(here.folder(NAMES[3]))["spent"] == 0
    assert len((here.root / "coordinator" / "logs" / "queries.jsonl").read_text().split("\n")) == 3
