"""The state machine over fake hospitals: what is asked, counted, set aside and told."""

import numpy as np
import pytest

from aegis.coordinator.selection import select
from aegis.coordinator.steps import step
from aegis.errors import RunAborted
from aegis.events import (
    Event,
    HospitalAbsent,
    ReplyQuarantined,
    RoundAggregated,
    RoundClosed,
    RoundOpened,
    RunEnded,
)
from aegis.messages import Enrolled, Evaluate, Invite, Refusal, Statistics, Train, Update
from aegis.states import Aggregating, Failed, Progress
from aegis.store.journal import Forgetful
from aegis.wiring import federate
from tests.coordinator.hospitals import TWO_COLUMNS, FakeHospitals, spoiled, study


def _run(road, told=None, journal=None, **plan):
    listeners = [told.append] if told is not None else []
    return federate(study(**plan), "run", road, journal or Forgetful(), listeners)


def test_each_round_asks_all_aggregates_once_and_moves_the_model():
    road, told = FakeHospitals(), []
    final = _run(road, told)
    for number in (1, 2, 3):
        sent = [
            n for n, request in road.asked if isinstance(request, Train) and request.round == number
        ]
        assert sent == ["a", "b", "c"]
        assert sum(isinstance(e, RoundAggregated) and e.round == number for e in told) == 1
    hashes = [e.model_sha256 for e in told if isinstance(e, RoundOpened)]
    assert len(set(hashes)) == 3
    # weighted mean of .1, .2, .3 with 10, 20, 30 examples, three times, from zero
    assert np.allclose(final.progress.weights, 3 * (0.1 * 10 + 0.2 * 20 + 0.3 * 30) / 60)
    assert isinstance(told[-1], RunEnded)
    assert told[-1].status == "completed"


def test_every_hospital_starts_round_two_from_the_model_that_round_one_closed_with():
    road, told = FakeHospitals(), []
    _run(road, told)
    closed = {e.round: e.model_sha256 for e in told if isinstance(e, RoundClosed)}
    opened = {e.round: e.model_sha256 for e in told if isinstance(e, RoundOpened)}
    assert opened[2] == closed[1]
    assert opened[3] == closed[2]


def test_a_silent_hospital_is_named_and_the_round_closes_with_the_quorum():
    road = FakeHospitals(spoil=lambda n, r, a: None if n == "b" and isinstance(r, Train) else a)
    told: list[Event] = []
    final = _run(road, told)
    assert {e.hospital for e in told if isinstance(e, HospitalAbsent)} == {"b"}
    assert all(e.absent == ("b",) for e in told if isinstance(e, RoundClosed))
    assert final.progress.participation == {"a": 3, "c": 3}


def test_below_the_quorum_the_run_stays_in_registration_and_then_says_who_is_missing():
    road = FakeHospitals(spoil=lambda n, r, a: None if n != "a" else a)
    with pytest.raises(RunAborted, match=r"1 of 3 hospitals joined.*missing: b: silent; c: silent"):
        _run(road)
    invited = [n for n, request in road.asked if isinstance(request, Invite)]
    assert invited.count("a") == 1
    assert invited.count("b") == 3


def test_a_late_hospital_completes_the_registration():
    calls = {"b": 0, "c": 0}

    def late(name, request, answer):
        if isinstance(request, Invite) and name in calls:
            calls[name] += 1
            return answer if calls[name] > 1 else None
        return answer

    final = _run(FakeHospitals(spoil=late))
    assert [h.hospital for h in final.progress.hospitals] == ["a", "b", "c"]


def test_when_nobody_answers_the_run_aborts_with_the_reason():
    road = FakeHospitals(spoil=lambda n, r, a: None if isinstance(r, Train) else a)
    with pytest.raises(RunAborted, match="no hospital gave a usable answer in round 1") as found:
        _run(road)
    assert found.value.way_out == "Check the hospitals named"
    with pytest.raises(RunAborted, match="Check the hospitals named, then call them again"):
        federate(study(), "run", road, Forgetful(), again="call them again")


BAD = {
    "not a number": {"vector": np.array([1.0, np.nan, 0.0])},
    "infinite": {"vector": np.array([1.0, np.inf, 0.0])},
    "too short": {"vector": np.zeros(2)},
    "another shape": {"vector": np.zeros((3, 1))},
    "another type": {"vector": np.zeros(3, dtype=np.float32)},
    "integers": {"vector": np.zeros(3, dtype=np.int64)},
    "no array": {"vector": [1.0, 2.0, 3.0]},
    "huge": {"vector": np.full(3, 1e30)},
    "no examples": {"examples": 0},
    "negative examples": {"examples": -5},
    "more examples than enrolled": {"examples": 10**9},
    "another round": {"round": 99},
    "another run": {"run": "older"},
    "another name": {"hospital": "c"},
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_update_is_quarantined_and_never_stops_the_run(case):
    told: list[Event] = []
    final = _run(FakeHospitals(spoil=spoiled("a", Train, **BAD[case])), told)
    aside = [e for e in told if isinstance(e, ReplyQuarantined)]
    assert [(e.hospital, e.round) for e in aside] == [("a", 1), ("a", 2), ("a", 3)]
    assert all(e.reason for e in aside)
    assert np.allclose(final.progress.weights, 3 * (0.2 * 20 + 0.3 * 30) / 50)


@pytest.mark.parametrize("kind", [Statistics, Evaluate])
def test_an_answer_of_the_wrong_kind_is_set_aside(kind):
    def spoil(name, request, answer):
        if name == "a" and isinstance(request, kind):
            return Update(request.run, request.round, "a", np.zeros(3), 5)
        return answer

    told: list[Event] = []
    _run(FakeHospitals(spoil=spoil), told)
    assert {e.hospital for e in told if isinstance(e, ReplyQuarantined)} == {"a"}


def test_a_refusal_is_told_with_its_reason():
    def refuse(name, request, answer):
        return Refusal(request.run, request.round, name, "budget spent") if name == "c" else answer

    told: list[Event] = []
    _run(FakeHospitals(spoil=refuse), told)
    assert any("budget spent" in e.reason for e in told if isinstance(e, HospitalAbsent))


def test_a_hospital_with_another_table_does_not_join():
    told: list[Event] = []
    final = _run(FakeHospitals(spoil=spoiled("b", Invite, schema_sha256="other")), told)
    assert [h.hospital for h in final.progress.hospitals] == ["a", "c"]


def test_a_model_that_runs_away_ends_the_run_and_keeps_the_last_round():
    question = study(server={"learning_rate": 100.0})
    progress = Progress("run", 4, (), TWO_COLUMNS, np.full(3, 1e308), 0.1, 9)
    state = Aggregating(progress, ("a",), (), np.full(3, 1e307), 10)
    done = step(question, state, {})
    assert isinstance(done.state, Failed)
    assert "no longer finite after round 5" in done.state.reason
    assert done.state.progress is progress
    assert [type(event) for event in done.events] == [RunEnded]


def test_stop_ends_within_one_round_and_keeps_the_last_model():
    class Stopping(Forgetful):
        def __init__(self):
            self.saves = 0

        def save(self, run, state, events):
            self.saves += any(isinstance(e, RoundClosed) for e in events)

        def command(self, run):
            return "stop" if self.saves else None

    final = _run(FakeHospitals(), journal=Stopping(), federated={"num_rounds": 50})
    assert final.status == "stopped"
    assert 1 <= final.progress.round <= 2


def test_pause_waits_and_resume_goes_on():
    class Pausing(Forgetful):
        def __init__(self):
            self.commands = ["pause", "pause", None]

        def command(self, run):
            return self.commands.pop(0) if len(self.commands) > 1 else self.commands[0]

    rests: list[float] = []
    final = federate(study(), "run", FakeHospitals(), Pausing(), rest=rests.append)
    assert len(rests) == 2
    assert final.status == "completed"


def test_the_learning_rate_decays_and_a_plateau_halves_it():
    told: list[Event] = []
    _run(FakeHospitals(), told, training={"learning_rate_decay": 0.9})
    rates = [e.learning_rate for e in told if isinstance(e, RoundOpened)]
    assert np.allclose(rates, [0.1, 0.09, 0.081])
    told.clear()
    plateau = {"schedule": "plateau", "plateau_patience": 2, "plateau_factor": 0.5}
    _run(
        FakeHospitals(),
        told,
        training=plateau,
        federated={"num_rounds": 6},
        data={"validation_fraction": 0.2},
        evaluation={"metric": "auc"},
    )
    rates = [e.learning_rate for e in told if isinstance(e, RoundOpened)]
    assert rates == [0.1, 0.1, 0.1, 0.05, 0.05, 0.025]


def test_patience_stops_early_and_the_best_round_is_kept():
    told: list[Event] = []
    final = _run(
        FakeHospitals(),
        told,
        federated={"num_rounds": 20},
        evaluation={"keep": "best", "metric": "auc", "patience": 3},
        data={"validation_fraction": 0.2},
    )
    assert final.round == 1
    assert final.progress.round == 4
    assert {e.part for e in told if isinstance(e, RoundClosed)} == {"validation"}
    last = [r for _, r in FakeHospitals().asked if isinstance(r, Evaluate)]
    assert not last or last[-1].part == "test"


def _enrolled(resources=(1, 1, 1, 1, 1, 1, 1, 100)):
    return [Enrolled("r", 0, f"h{i}", 10, 2, "", "", r) for i, r in enumerate(resources)]


def test_half_the_hospitals_report_with_a_fraction_of_a_half():
    plan = study(federated={"selection": "random", "fraction_fit": 0.5, "num_clients": 8}).plan
    chosen = [select(plan, _enrolled(), number, {}) for number in range(1, 30)]
    assert {len(names) for names in chosen} == {4}
    assert len(set(chosen)) > 5
    assert chosen == [select(plan, _enrolled(), number, {}) for number in range(1, 30)]


def test_resource_based_selection_prefers_the_fast_and_participation_based_evens_out():
    fast = study(federated={"selection": "resource_based", "fraction_fit": 0.25, "num_clients": 8})
    times = sum("h7" in select(fast.plan, _enrolled(), number, {}) for number in range(1, 101))
    assert times > 90
    even = study(
        federated={"selection": "participation_based", "fraction_fit": 0.25, "num_clients": 8}
    )
    counts: dict[str, int] = {}
    for number in range(1, 21):
        for name in select(even.plan, _enrolled(), number, counts):
            counts[name] = counts.get(name, 0) + 1
    assert set(counts.values()) == {5}


def test_cyclic_asks_one_hospital_after_the_other():
    plan = study(server={"optimizer": "cyclic"}, federated={"num_clients": 8, "quorum": 1}).plan
    order = [select(plan, _enrolled(), number, {}) for number in range(1, 17)]
    assert all(len(names) == 1 for names in order)
    assert {n for (n,) in order[:8]} == {f"h{i}" for i in range(8)} == {n for (n,) in order[8:]}
