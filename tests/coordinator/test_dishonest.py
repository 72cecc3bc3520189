"""Rules and flags inside the rounds: dishonest fakes, too few survivors, memory over a crash."""

from dataclasses import replace

import numpy as np
import pytest

from aegis import codec, states
from aegis.coordinator.joining import newcomers
from aegis.coordinator.steps import asks, step
from aegis.errors import RunAborted
from aegis.events import HospitalFlagged, ReplyQuarantined, RoundClosed
from aegis.messages import Invite, Train
from aegis.report.flags import detected, flags_of
from aegis.states import Failed, Registration, RoundSetup, Terminated
from aegis.store.journal import Forgetful
from aegis.wiring import federate
from tests.coordinator.hospitals import FakeHospitals, study

NAMES = tuple("abcdefg")


def asking(**robust):
    return study(
        federated={"num_clients": 7, "num_rounds": 4, "quorum": 5}, robust_aggregation=robust
    )


def spread(name, request, answer):
    """Honest updates point one way, each a little off it."""
    if not isinstance(request, Train):
        return answer
    own = np.random.default_rng([NAMES.index(name), request.round]).standard_normal(3)
    return replace(answer, vector=np.array([1.0, -1.0, 0.5]) + 0.1 * own)


def with_liar(factor, liar="c"):
    def spoil(name, request, answer):
        answer = spread(name, request, answer)
        if name == liar and isinstance(request, Train):
            return replace(answer, vector=factor * answer.vector)
        return answer

    return spoil


def run(question, spoil=spread):
    told = []
    road = FakeHospitals(NAMES, spoil)
    final = federate(question, "run", road, Forgetful(), [told.append])
    return final, told


ROBUST = ["median", "trimmed_mean", "krum", "multi_krum", "centered_clipping"]


@pytest.mark.parametrize("method", [*ROBUST, "geometric_median", "nnm_trimmed_mean", "bucketing"])
def test_a_liar_does_not_move_the_model_and_is_named_in_every_round(method):
    question = asking(method=method, num_byzantine=1, enable_detection=True)
    honest, told = run(question)
    assert not [e for e in told if isinstance(e, HospitalFlagged)]
    found, told = run(question, with_liar(-1000.0))
    assert np.abs(found.progress.weights - honest.progress.weights).max() < 1
    flags = [e for e in told if isinstance(e, HospitalFlagged)]
    assert [(e.hospital, e.round) for e in flags] == [("c", n) for n in (1, 2, 3, 4)]
    assert all(e.score > 3 and e.reason for e in flags)
    assert sum(isinstance(e, RoundClosed) for e in told) == 4


def test_without_a_rule_the_same_liar_carries_the_model_away():
    found, _ = run(asking(enabled=False), with_liar(-1000.0))
    assert np.abs(found.progress.weights).max() > 100


def test_flags_drop_nothing_where_the_rule_is_the_mean():
    watched, told = run(asking(enable_detection=True), with_liar(10.0))
    plain, _ = run(asking(enabled=False), with_liar(10.0))
    assert {e.hospital for e in told if isinstance(e, HospitalFlagged)} == {"c"}
    assert (watched.progress.weights == plain.progress.weights).all()


def test_an_update_that_is_no_number_is_quarantined_and_the_rule_goes_on_without_it():
    found, told = run(asking(method="krum", num_byzantine=1), with_liar(np.nan))
    assert {e.hospital for e in told if isinstance(e, ReplyQuarantined)} == {"c"}
    assert np.isfinite(found.progress.weights).all()


def test_too_few_survivors_end_the_run_and_no_weaker_rule_steps_in():
    def absent(name, request, answer):
        silent = isinstance(request, Train) and request.round == 2 and name in "ab"
        return None if silent else spread(name, request, answer)

    question = asking(method="krum", num_byzantine=2)
    with pytest.raises(RunAborted, match=r"5 hospitals gave a usable answer.*quorum is 7"):
        run(question, absent)


def test_copies_of_one_another_end_a_foolsgold_run_with_their_names():
    def same(name, request, answer):
        vector = {"vector": np.ones(3)} if isinstance(request, Train) else {}
        return replace(answer, **vector)

    with pytest.raises(RunAborted, match="foolsgold takes a, b, c, d, e for copies"):
        run(asking(method="foolsgold"), same)


@pytest.mark.parametrize("method", ["foolsgold", "centered_clipping", "bucketing", "krum"])
def test_a_run_that_is_saved_and_read_back_at_every_step_ends_with_the_same_model(method):
    question = asking(method=method, enable_detection=True)
    road, state = FakeHospitals(NAMES, spread), Registration("run", NAMES)
    while not isinstance(state, Terminated | Failed):
        data = codec.dumps(state)
        state = codec.loads(data, states.CLASSES)
        again = codec.loads(data, states.CLASSES)
        requests = asks(question, state)
        answers = road.ask(requests, None) if requests else {}
        state, repeated = step(question, state, answers), step(question, again, answers)
        assert state.events == repeated.events
        state = state.state
    straight, _ = run(question)
    assert (state.progress.weights == straight.progress.weights).all()
    assert not [key for key in state.progress.memory if key.startswith("rule/")]


def test_the_result_says_who_was_flagged_or_why_nobody_looked():
    question = asking(method="median", enable_detection=True, z_threshold=4.0)
    _, told = run(question, with_liar(50.0))
    records = [
        (number, "", {"event": type(e).__name__, **codec_fields(e)})
        for number, e in enumerate(told)
        if isinstance(e, HospitalFlagged)
    ]
    found = detected(question.plan, records)["detection"]
    assert found["z_threshold"] == 4.0
    [one] = found["hospitals"]
    assert (one["hospital"], one["rounds"], one["detector"]) == ("c", [1, 2, 3, 4], "length")
    assert one["score"] == max(f["score"] for flags in flags_of(records).values() for f in flags)
    off = detected(asking(method="median").plan, [])
    assert (off["detection"], off["detection_reason"]) == (
        None,
        "robust_aggregation.enable_detection was off",
    )
    hidden = detected(question.plan.edited({"trust": "masked"}), [])
    assert hidden["detection_reason"].startswith("not available: with trust: masked")


def codec_fields(event):
    return {name: getattr(event, name) for name in event.__slots__}


@pytest.mark.parametrize(
    "lie",
    [
        {"examples": -50},
        {"held_out": 10**15},
        {"resources": -1.0},
        {"identity": "not a key"},
        {"identity": "aa" * 32},  # that of a
    ],
)
def test_an_enrolment_that_is_made_up_is_set_aside_and_the_run_goes_on(lie):
    def spoil(name, request, answer):
        if not isinstance(request, Invite):
            return answer
        honest = replace(answer, identity=2 * name * 32)
        return replace(honest, **lie) if name == "b" else honest

    told = []
    road = FakeHospitals(("a", "b", "c"), spoil)
    final = federate(study(), "run", road, Forgetful(), [told.append])
    assert [h.hospital for h in final.progress.hospitals] == ["a", "c"]
    assert [e.hospital for e in told if isinstance(e, ReplyQuarantined)] == ["b"]


def test_a_hospital_more_than_the_plan_counts_is_left_out_instead_of_ending_the_run():
    road, told = FakeHospitals(("a", "b", "c", "d")), []
    final = federate(study(), "run", road, Forgetful(), [told.append], joining=True)
    assert [h.hospital for h in final.progress.hospitals] == ["a", "b", "c"]
    assert all(r.hospitals <= 3 for _, r in road.asked if isinstance(r, Train))
    begun = RoundSetup(final.progress)
    assert newcomers(study(), begun, ("a", "b", "c", "d", "e")) == ()
