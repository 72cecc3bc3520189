"""The same federation as in the simulator, between parties that share only a road."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from aegis.console.reading import status_of
from aegis.console.running import _line
from aegis.errors import BadInput, CheckFailed, EnvelopeRefused, RoadClosed, RunAborted
from aegis.hospital.serving import Serving
from aegis.identity.membership import Membership
from aegis.messages import Enrolled, Invite, Refusal, Settle, Settled
from aegis.operations.coordinator import conducting
from aegis.operations.coordinator import coordinator as coordinator_module
from aegis.operations.coordinator.settling import settled
from aegis.operations.hospital.federation import Federation
from aegis.operations.hospital.folder import Registered, init, policy_text
from aegis.operations.hospital.hospital import Hospital
from aegis.operations.hospital.policies import for_public_data, strict
from aegis.operations.hospital.process import budget, last_sent, status
from aegis.operations.hospital.rows import site
from aegis.plan import load_plan
from aegis.privacy.accounting import GaussianRelease, event_json
from aegis.simulation import local
from aegis.states import Progress, Registration
from aegis.store.journal import Journal
from aegis.tasks.question import Question
from aegis.transport.carrier import Parcel
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
        assert kept["runs"][0]["epsilon"] == pytest.approx(hospital["epsilon"], rel=1e-3)
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


def test_a_stopped_run_whose_result_was_not_written_gets_it_when_the_coordinator_restarts(
    here, monkeypatch
):
    def dies(*asked):
        raise RoadClosed("the coordinator is killed")

    made(here)
    here.serve(*NAMES)
    here.rest = 0.02
    run = here.coordinator.submit(plan(federated__num_rounds="50"))
    here.until(lambda now: now["round"] >= 1)
    monkeypatch.setattr(conducting, "write_files", dies)
    here.coordinator.command(run, "stop")
    here.coordinator._thread.join(60)
    monkeypatch.undo()
    here.coordinator.__exit__(None, None, None)
    here.rest = 0.0
    with here.new() as again:
        assert again.unfinished() == [run]
        found = again.wait(run, 60)
        assert again.unfinished() == []
    assert found["status"] == "stopped"
    assert found["audit_log"]["verified"]
    assert (here.office.home.results(run) / "result.json").exists()
    here.coordinator = here.new()
    here.coordinator.__enter__()


@pytest.mark.parametrize("trust", ["masked", "open"])
def test_a_coordinator_that_dies_when_a_run_is_settled_ends_it_when_it_restarts(
    here, monkeypatch, trust
):
    def dies(*asked):
        settled(*asked)
        raise RoadClosed("the coordinator is killed")

    made(here)
    here.serve(*NAMES)
    said = {"privacy.enabled": "true", "privacy.mechanism": "local_update", "trust": trust}
    wanted = plan(**said, training__solver="sgd", training__learning_rate="0.1")
    monkeypatch.setattr(conducting, "settled", dies)
    run = here.coordinator.submit(wanted)
    here.coordinator._thread.join(60)
    monkeypatch.undo()
    here.coordinator.__exit__(None, None, None)
    here.end(*NAMES)
    for name in NAMES:
        db = sqlite3.connect(here.folder(name).ledger)
        assert db.execute("SELECT COUNT(*) FROM payloads").fetchone() == (0,)
        db.close()
    here.serve(*NAMES)
    with here.new() as again:
        found = again.wait(run, 60)
    assert found["status"] == "completed"
    for hospital in found["hospitals"]:
        kept = budget(here.folder(hospital["name"]))["runs"][0]["epsilon"]
        assert 0 < kept == pytest.approx(hospital["epsilon"], rel=1e-3)
    assert found["audit_log"]["verified"]
    here.coordinator = here.new()
    here.coordinator.__enter__()


def test_who_was_silent_at_the_end_is_asked_every_few_seconds_for_as_long_as_all_attempts_take(
    monkeypatch,
):
    class Clock:
        def __init__(self):
            self.rests = []

        def monotonic(self):
            return sum(self.rests)

        def wait(self, seconds):
            self.rests.append(seconds)

    class Said:
        def __init__(self, *commands):
            self.commands = list(commands)

        def command(self, run):
            return self.commands.pop(0) if self.commands else None

    for deadline, rest in (("0.5", 0.5), ("4", 1.0), ("30", 3.0), ("60", 5.0), ("900", 5.0)):
        clock = Clock()
        monkeypatch.setattr(conducting, "time", clock)
        of = conducting.Conducting(None, "queues", None, [], clock)
        wanted = plan(federated__deadline_s=deadline)
        rests = [clock.rests[-1] for _ in of._waits(Said(), "run", wanted, None)]
        assert set(rests) == {rest}
        assert sum(rests) == min(wanted.federated.attempts * float(deadline), 600)
    told = Said(None, None, None, "stop")
    assert len(list(of._waits(told, "run", plan(federated__deadline_s="60"), None))) == 2


def test_a_run_waits_in_registration_until_the_last_hospital_comes(here):
    made(here)
    here.serve(*NAMES[:3])
    run = here.coordinator.submit(plan(federated__quorum="4"))
    now = here.until(lambda now: now["state"] == "Registration" and now["run"] == run)
    assert sum(one["present"] for one in now["hospitals"]) == 3
    here.serve(NAMES[3])
    found = here.coordinator.wait(run, 60)
    assert len(found["hospitals"]) == 4


def test_a_run_that_is_stopped_while_it_waits_for_hospitals_is_over(here):
    run = here.coordinator.submit(plan())
    here.until(lambda now: now["state"] == "Registration" and now["run"] == run)
    with closing(Journal(here.office.home.database)) as journal:
        while not isinstance(journal.run(run).state, Registration):
            time.sleep(0.01)
        here.coordinator.command(run, "stop")
        with pytest.raises(BadInput, match="stopped before any hospital was asked"):
            here.coordinator.wait(run, 20)
        assert status_of(journal.run(run)) == "stopped"


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
    with pytest.raises(RunAborted, match="is going on"):
        here.coordinator.submit(plan())
    here.until(lambda now: now["round"] >= 1)
    here.coordinator.command(run, "stop")
    assert here.coordinator.wait(run, 60)["status"] == "stopped"
    here.rest = 0.0
    second = here.coordinator.wait(here.coordinator.submit(plan()), 60)
    assert second["status"] == "completed"


def test_a_hospital_that_refuses_the_plan_leaves_a_log_that_holds(here):
    made(here, NAMES[:3])
    here.make(NAMES[3], Registered("breast_cancer", share="4/4"), strict("breast_cancer"))
    here.serve(*NAMES)
    found = here.coordinator.wait(here.coordinator.submit(plan(federated__quorum="3")), 60)
    assert [one["name"] for one in found["hospitals"]] == list(NAMES[:3])
    assert found["audit_log"]["verified"], found["audit_log"]
    assert found["audit_log"]["witnesses"] == 3


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


_FIELDS = {"time", "run", "round", "asked", "sent", "bytes", "reason"}


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


def test_rows_are_dealt_by_the_plan_that_was_let_in_and_by_no_other(here):
    careful = replace(for_public_data(), approval="person")
    folder = here.make(NAMES[0], Registered("breast_cancer", share="1/4"), careful)
    federation = Federation.load(folder.federation)
    hospital = Hospital(folder, folder.identity(), federation)
    try:
        wanted, other = plan(), plan(data__test_fraction="0.6", seed="99")
        for one in (other, wanted):
            invited = hospital.answer(Invite("run", one.sha256, one.to_json()))
            assert isinstance(invited, Refusal)
        hospital.decisions.approve(wanted.sha256, "ana")
        enrolled = hospital.answer(Invite("run", wanted.sha256, wanted.to_json()))
        dealt = site(NAMES[0], folder.registered, wanted)
        assert isinstance(enrolled, Enrolled)
        assert (enrolled.examples, enrolled.held_out) == (len(dealt.train), len(dealt.test))
        assert isinstance(hospital.answer(Settle("run", other.sha256, 1)), Refusal)
        assert isinstance(hospital.answer(Settle("run", wanted.sha256, 1)), Settled)
    finally:
        hospital.close()


BOMB = {"event": "PoissonGaussian", "noise_multiplier": 0.001, "sampling_rate": 0.5, "steps": 9}


@pytest.mark.parametrize(
    "lie",
    [
        (json.dumps(BOMB),),
        (json.dumps(BOMB | {"noise_multiplier": 1.0, "steps": 10**12}),),
        (json.dumps(BOMB | {"noise_multiplier": 1.0, "steps": 10**400}),),
        ("[" * 100_000,),
        ("null",) * 20_001,
    ],
)
def test_a_ledger_that_is_made_up_is_passed_over_and_the_run_ends(lie):
    class Lying:
        def hospitals(self):
            return ("a", "b")

        def ask(self, requests, deadline_s):
            honest = event_json(GaussianRelease(5.0))
            said = {"a": (honest,), "b": lie}
            return {one: Settled("run", 1, one, said[one], 3, "ab" * 32) for one in requests}

    there = tuple(Enrolled("run", 0, name, 10, 2, "") for name in ("a", "b"))
    progress = Progress("run", 1, there, "", np.zeros(2), 0.1, 1, {})
    final = SimpleNamespace(progress=progress)
    releases, heads = settled(Lying(), plan(privacy__enabled="true"), final)
    assert set(releases) == set(heads) == {"a"}


def test_a_list_of_members_does_not_go_back_when_a_hospital_joins_again(here):
    folder = here.make(NAMES[0], Registered("breast_cancer", share="1/4"))
    federation = Federation.load(folder.federation)
    old, root = (folder.federation / "members.json").read_bytes(), b"root"
    here.make(NAMES[1], Registered("breast_cancer", share="2/4"))
    new = (here.office.registrar.folder / "federation.json").read_bytes()
    federation.update(new.decode())
    federation.save(root, old, b"own")
    assert (folder.federation / "members.json").read_bytes() == new
    authority = here.office.registrar.keys.read("authority").signing
    forked = Membership("test", federation.file.membership.number + 1).signed(authority)
    with pytest.raises(CheckFailed, match="vanished"):
        federation.save(root, forked, b"own")


def test_a_hospital_is_never_made_with_a_policy_that_was_left_there(here):
    folder = here.folder("north")
    folder.root.mkdir(parents=True)
    folder.policy.write_text(policy_text("north", for_public_data()))
    with pytest.raises(BadInput, match="says something else"):
        init(folder, Registered("breast_cancer"), policy_text("north", strict("breast_cancer")))
    assert not (folder.root / "hospital.toml").exists()


def test_what_a_hospital_says_reaches_no_terminal_as_a_control_sequence():
    line = _line({"event": "HospitalAbsent", "reason": "\x1b]0;owned\x07" + "x" * 10_000})
    assert line.isprintable()
    assert len(line) <= 400


def test_a_second_plan_of_a_task_may_ask_too_and_from_the_same_budget(here):
    made(here, NAMES[:3])
    here.serve(*NAMES[:3])
    asked = Question("count", (), None, "")
    first = here.coordinator.ask(plan(), asked, 0.3)
    again = here.coordinator.ask(plan(federated__num_rounds="9"), asked, 0.3)
    assert {one["status"] for one in again["hospitals"]} == {"answered"}
    assert first["cells"] == again["cells"]  # what was answered is not drawn anew
    assert 0 < budget(here.folder(NAMES[0]))["spent"] < 0.6


def test_a_database_that_cannot_be_opened_ends_the_run_and_not_the_thread(here, monkeypatch):
    made(here)
    here.serve(*NAMES)
    real, broken = coordinator_module.Journal, []

    def failing(path):
        if threading.current_thread().name == "conducting" and not broken:
            broken.append(path)
            raise sqlite3.OperationalError("database is locked")
        return real(path)

    monkeypatch.setattr(coordinator_module, "Journal", failing)
    run = here.coordinator.submit(plan())
    with pytest.raises(BadInput, match="locked"):
        here.coordinator.wait(run, 20)
    second = here.coordinator.wait(here.coordinator.submit(plan(federated__num_rounds="1")), 60)
    assert second["status"] == "completed"


def test_a_hospital_whose_coordinator_is_revoked_meanwhile_falls_silent_and_lives_on():
    class Shut:
        name = "north"

        def unseal(self, data, expected):
            return SimpleNamespace(attempt=0), Settle("run", "", 0)

        def seal(self, *message):
            raise EnvelopeRefused("recipient", "nothing is sent to coordinator: revoked")

    class Silent:
        def receive(self, timeout_s):
            return Parcel(b"")

        def reply(self, to, data):
            raise AssertionError("nothing may leave")

    node = SimpleNamespace(answer=lambda request: Settled("run", 0, "north"))
    serving = Serving(node, Shut(), Silent(), "coordinator", lambda request: ())
    assert serving.once(0.0)
