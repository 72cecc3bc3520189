"""Start, pause, go on, stop: by simulated hospitals in a process of its own, and by real ones."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from aegis.console.coordinator.app import coordinator_app
from aegis.console.coordinator.desk import Desk
from aegis.console.coordinator.runs import steering
from aegis.console.coordinator.runs.rehearsal import OPTIONS, Rehearsals
from aegis.console.people.roles import THIS_MACHINE, Person, Role
from aegis.errors import CheckFailed, RunAborted
from aegis.operations.coordinator.attendance import Attendance
from aegis.operations.hospital.folder import Registered
from aegis.plan import load_plan
from aegis.simulation.going import Options
from aegis.store.audit_log import AuditLog
from aegis.store.checkpoint import OWN
from aegis.store.home import Home
from aegis.store.registry import Registry
from tests.console.asking import Asking
from tests.operations.here import Here

ANA = Person("ana", frozenset({Role.RESEARCHER}), csrf="token")
SLOW = {
    "task": "breast_cancer",
    "federated.num_clients": "3",
    "federated.num_rounds": "500",
    "training.solver": "sgd",
    "evaluation.every": "0",
}


def plan(**changed):
    said = SLOW | {key.replace("__", "."): str(value) for key, value in changed.items()}
    return load_plan(None, said).plan


def until(true, seconds=120.0):
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


@pytest.fixture
def desk_of():
    """Desks whose rehearsals end with the test."""
    made = []

    def of(*given):
        made.append(Desk.of(*given))
        return made[-1]

    yield of
    for desk in made:
        steering.close(desk)


def status(desk):
    return steering.training_status(desk)


def test_the_options_of_a_rehearsal_are_those_of_a_simulated_run():
    assert Options(**OPTIONS, data_directory=None, engines={}) == Options()


def test_a_rehearsal_beside_a_coordinator_from_its_start_to_its_interruption_and_its_end(
    tmp_path, desk_of
):
    here = Here(tmp_path)
    with here.coordinator:
        desk = desk_of(here.office.home, here.coordinator)
        assert steering.usual_place(desk) == "rehearsal"
        won, lost = press_at_once(desk, 4)
        assert (len(won), len(lost)) == (1, 3)
        run = won[0]
        assert status(desk)["status"] in ("initializing", "running")
        assert desk.state()["run"] == run
        assert desk.state()["road"] == "inprocess"

        steering.pause(desk, run)  # before its first step: it pauses as soon as it begins
        until(lambda: desk.reading.last_event(run) > 0)
        until(lambda: status(desk)["status"] == "paused")
        with pytest.raises(RunAborted, match="is going on"):
            steering.start(desk, plan(), None, ANA)
        with pytest.raises(RunAborted, match="is going on"):
            steering.reset(desk)
        steering.resume(desk, run)
        until(lambda: status(desk)["current_round"] >= 2)
        assert Rehearsals(desk.home).going == run  # so would a coordinator see it that came later

        steering.close(desk)
        assert steering.going(desk) is None
        after = desk_of(here.office.home, here.coordinator)
        assert status(after)["status"] == "stopped"
        assert not status(after)["is_running"]
        reached = status(after)["current_round"]
        page = Asking(coordinator_app(after)).get("/").text
        assert "interrupted after round" in page
        assert f'name="resume" value="{run}"' in page

        steering.resume(after, run)
        until(lambda: status(after)["current_round"] > reached)
        steering.stop(after, run)
        until(lambda: status(after)["status"] == "stopped")
        until(lambda: steering.going(after) is None)
        document = after.reading.document(run)
        assert document["status"] == "stopped"
        assert document["audit_log"]["verified"]
        with after.reading.journal() as journal:
            assert Registry(after.home, journal).find(run).run == run
        with closing(AuditLog(after.home.audit_log)) as log:
            assert sum(b"RosterFixed" in one.data for one in log.entries(OWN)) == 1
        lines = steering.log_lines(after)
        assert [one["time"] for one in lines] == sorted(one["time"] for one in lines)
        steering.reset(after)
        assert steering.log_lines(after) == []
        assert status(after)["run"] == run
        steering.reset(after, clear_results=True)
        assert status(after)["status"] == "idle"
        assert after.reading.document(run) == document
        assert here.coordinator.unfinished() == []


def press_at_once(desk, people):
    won, lost, ready = [], [], threading.Barrier(people)

    def press():
        ready.wait()
        try:
            won.append(steering.start(desk, plan(), None, ANA))
        except RunAborted as error:
            lost.append(error)

    threads = [threading.Thread(target=press) for _ in range(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won, lost


def test_a_rehearsal_that_cannot_begin_says_why(tmp_path, monkeypatch, desk_of):
    monkeypatch.setenv("AEGIS_DATA_DIR", str(tmp_path / "nothing"))
    desk = desk_of(Home(tmp_path / "data"))
    run = steering.start(desk, load_plan(None, {"task": "heart"}).plan, "rehearsal", ANA)
    found = until(lambda: (s := status(desk))["status"] == "error" and s)
    assert found["error"]
    assert desk.reading.line(run).status == "failed"
    assert steering.log_lines(desk)[-1]["level"] == "error"
    assert steering.going(desk) is None
    page = Asking(coordinator_app(desk)).get("/training").text
    assert "What went wrong" in page


def test_a_rehearsal_that_is_stopped_before_it_began_leaves_nothing_behind(tmp_path, desk_of):
    desk = desk_of(Home(tmp_path / "data"))
    run = steering.start(desk, plan(), "rehearsal", ANA)
    steering.stop(desk, run)
    until(lambda: steering.going(desk) is None)
    assert status(desk)["status"] == "stopped"
    assert desk.reading.line(run).status == "stopped"


@pytest.fixture
def here(tmp_path):
    found = Here(tmp_path)
    with found.coordinator:
        for number in (1, 2, 3):
            found.make(f"hospital_0{number}", Registered("breast_cancer", share=f"{number}/3"))
        yield found
        found.end()
    assert not found.errors


def test_real_hospitals_are_waited_for_train_and_are_seen_to_leave(here):
    desk = Desk.of(here.office.home, here.coordinator)
    page = Asking(coordinator_app(desk))
    assert steering.usual_place(desk) == "hospitals"
    here.serve("hospital_01", "hospital_02")
    here.rest = 0.03
    run = steering.start(desk, plan(federated__quorum=3), None, ANA)
    assert desk.state()["run"] == run  # at once, so that nobody else starts
    until(lambda: "2 of 3 connected" in status(desk)["message"])
    assert "waiting for 1 more hospital: 2 of 3 connected" in page.get("/").text
    here.serve("hospital_03")
    until(lambda: status(desk)["current_round"] >= 1)
    assert "3 of 3 hospitals connected" in page.get("/agents").text
    steering.pause(desk, run)
    until(lambda: status(desk)["status"] == "paused")
    steering.resume(desk, run)
    steering.stop(desk, run)
    until(lambda: status(desk)["status"] == "stopped")
    assert desk.reading.document(run)["status"] == "stopped"
    here.end("hospital_02")
    until(lambda: "hospital_02" not in here.coordinator.present())
    gone = next(one for one in desk.state()["hospitals"] if one["name"] == "hospital_02")
    assert gone["seen"] is not None
    assert "2 of 3 hospitals connected" in page.get("/agents").text
    kept = Attendance(here.office.home.root / ".attendance")
    here.coordinator.attendance.close()
    assert kept.last("hospital_02") is None  # it was read before it was written
    again = Attendance(here.office.home.root / ".attendance")
    assert again.last("hospital_02") == pytest.approx(gone["seen"], abs=1)


def test_hospitals_are_unmasked_by_two_people_only(here):
    desk = Desk.of(here.office.home, here.coordinator)
    unmasked = plan(trust="open", federated__quorum=3)
    with pytest.raises(CheckFailed, match="two people"):
        steering.start(desk, unmasked, "hospitals", ANA)
    assert steering.going(desk) is None
    desk.extra["proposals"] = proposals = Agreed(())
    with pytest.raises(CheckFailed, match="two people"):
        steering.start(desk, unmasked, "hospitals", ANA)
    wanted = steering.agreements(desk, unmasked)[0]
    assert not wanted.agreed
    payload = {"task": "breast_cancer", "plan_sha256": unmasked.sha256, "trust": "open"}
    other = Past("leave_masked", "done", payload | {"plan_sha256": "0" * 64}, time.time())
    old = Past("leave_masked", "done", payload, time.time() - 2 * Agreed.lifetime_s)
    refused = Past("leave_masked", "refused", payload, time.time())
    desk.extra["proposals"] = proposals = Agreed((other, old, refused))
    assert not steering.agreements(desk, unmasked)[0].agreed
    desk.extra["proposals"] = Agreed((*proposals.found, Past("leave_masked", "done", payload)))
    run = steering.start(desk, unmasked, "hospitals", ANA)
    steering.stop(desk, run)
    until(lambda: steering.going(desk) is None)
    assert not steering.agreements(desk, unmasked)[0].agreed  # it was good once
    steering.start(desk, unmasked, "hospitals", THIS_MACHINE)
    steering.stop(desk, desk.state()["run"])
    until(lambda: steering.going(desk) is None)


@dataclass
class Past:
    kind: Any
    state: str
    payload: dict[str, Any]
    closed: float = 0.0

    def __post_init__(self):
        from aegis.console.people.two_persons import Kind

        self.kind = Kind(self.kind)
        self.closed = self.closed or time.time() - 1


@dataclass
class Agreed:
    """Proposals that somebody else has decided."""

    found: tuple[Past, ...]
    lifetime_s = 86_400.0

    def past(self):
        return list(self.found)

    def waiting(self, kind=None):
        return []


def test_who_was_never_there_has_no_last_time(tmp_path):
    now = [100.0]
    found = Attendance(tmp_path / "seen", clock=lambda: now[0])
    found.there(["aster"])
    assert (found.last("aster"), found.last("birch")) == (100.0, None)
    assert not (tmp_path / "seen").exists()
    now[0] = 120.0
    found.there(["aster"])
    assert Attendance(tmp_path / "seen").last("aster") == 120.0
    (tmp_path / "seen").write_text("[1, 2]")
    assert Attendance(tmp_path / "seen").last("aster") is None
