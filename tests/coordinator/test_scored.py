"""Scores that no honest hospital could send are set aside: they cost their sender, not the run."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from aegis import codec
from aegis.assurance.groups import hospital_counts
from aegis.coordinator.joining import MOST_ROWS
from aegis.coordinator.validation import fault_of_scores
from aegis.evaluation.classes import from_judged, judged, shape
from aegis.evaluation.histogram import BINS, HALF, score
from aegis.evaluation.metrics import metrics
from aegis.evaluation.whole import from_kinds
from aegis.events import ReplyQuarantined, RoundClosed
from aegis.messages import Enrolled, Evaluate, Invite, Scores
from aegis.report.result import mean_accuracy
from aegis.simulation.accounts import PUBLIC
from aegis.simulation.federation import Federation
from aegis.store.journal import Forgetful
from aegis.transport.forms import replies_to
from aegis.transport.schemas import misfit
from aegis.wiring import federate
from tests.coordinator.hospitals import FakeHospitals, spoiled, study
from tests.coordinator.test_sealing import Road, _nodes, _plan
from tests.evaluation.test_classes import patients

SHARED = Enrolled("run", 0, "a", examples=100, held_out=25, schema_sha256="")
NOISY = replace(SHARED, scores="noisy")
SIGNED = np.array([40, -12, -9, 6])


def of_kinds(counts, noise_sd=12.0, **more):
    histogram = from_kinds(np.array(counts))
    return Scores("run", 3, "a", histogram, None, int(sum(counts)), noise_sd=noise_sd, **more)


def exact(rows=25, **more):
    labels = np.arange(rows) % 2
    histogram, loss = score(np.where(np.arange(rows) % 5, 1.0, -1.0) * (2 * labels - 1), labels)
    return replace(Scores("run", 3, "a", histogram, loss, rows), **more)


def fault(answer, enrolled=SHARED, **more):
    return fault_of_scores(answer, enrolled, "run", 3, **more)


def with_a_cell(value):
    reply = of_kinds(SIGNED)
    histogram = reply.histogram.copy()
    histogram[0, HALF - 1] += value
    histogram[1, HALF] -= value
    return replace(reply, histogram=histogram)


def test_what_honest_hospitals_send_is_taken():
    assert fault(exact()) is None
    assert fault(exact(18), part="validation", validation=0.2) is None
    assert fault(of_kinds(SIGNED), NOISY) is None
    assert fault(of_kinds([-20, 1, 3, -9]), NOISY, part="validation", validation=0.2) is None
    own = hospital_counts(20, 25)
    assert fault(exact(groups=own), group_counts=len(own)) is None
    signed = np.concatenate([[-30, 2, 4, -8, -(2**24)], own])
    assert fault(of_kinds(SIGNED, groups=signed), NOISY, group_counts=len(signed)) is None


def test_signed_counts_travel():
    reply = of_kinds([-30, 2, 3, -9], groups=np.array([-5, 3, 0]))
    asked = Evaluate("run", "plan", 3, np.zeros(3), "validation")
    assert misfit(reply, replies_to(asked)[0]) is None
    read = codec.loads(codec.dumps(reply), [Scores])
    assert read.examples == -34
    assert np.array_equal(read.histogram, reply.histogram)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (exact(26), "26 test rows, enrolled were 25"),
        (exact(24), "24 test rows, enrolled were 25"),
        (exact(loss_sum=-1e300), "summed loss"),
        (exact(loss_sum=-0.001), "summed loss"),
        (exact(loss_sum=25 * 101.0), "summed loss"),
        (exact(loss_sum=math.nan), "summed loss"),
        (exact(noise_sd=1e-300), "adds noise"),
        (exact(noise_sd=3.0), "adds noise"),
        (of_kinds(SIGNED, noise_sd=0.0), "of counts"),
        (exact(groups=np.array([1, -5, 0])), "cannot be"),
        (exact(groups=np.array([7, 5, 0])), "cannot be"),
        (exact(groups=np.array([1, 2**21, 0])), "cannot be"),
    ],
)
def test_exact_scores_that_cannot_be_are_named(answer, says):
    assert says in fault(answer, group_counts=3)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (exact(), "noise of 0 patients"),
        (of_kinds(SIGNED, noise_sd=1e-300), "noise of 1e-300"),
        (of_kinds(SIGNED, noise_sd=2.0**40), "noise of 1.09951e+12"),
        (of_kinds(SIGNED, noise_sd=math.nan), "noise of nan"),
        (of_kinds(SIGNED, noise_sd=2501.0), "nothing to be told of 25 rows"),
        (of_kinds([40, -12, -9, 7]), "26 test rows"),
        (with_a_cell(300), "above 265"),
        (with_a_cell(-300), "above 265"),
        (with_a_cell(2**62), "above 265"),
        (exact(noise_sd=12.0, loss_sum=None), "has bins"),
        (replace(of_kinds(SIGNED), loss_sum=3.0), "beside noisy counts"),
        (of_kinds(SIGNED, groups=np.array([2**50, 1, 0, 0])), "cannot be"),
    ],
)
def test_noisy_scores_that_cannot_be_are_named(answer, says):
    assert says in fault(answer, NOISY, group_counts=4)


def test_a_hospital_without_test_rows_adds_no_noise_to_the_others():
    nobody = replace(NOISY, held_out=0)
    assert "nothing to be told of 0 rows" in fault(of_kinds([10, -5, -3, -2]), nobody)


def test_of_validation_rows_no_more_are_taken_than_a_split_may_leave():
    assert "the most" in fault(exact(2000), part="validation", validation=0.2)
    assert fault(exact(700), part="validation", validation=0.8) is None


def test_noisy_tableaus_are_signed_and_hold_nothing_but_what_was_right():
    tableau, _ = score(*patients(5, 25))
    signed = judged(tableau)
    signed[0] += [-20, 12, 8]
    noisy = Scores("run", 3, "a", from_judged(signed), None, 25, noise_sd=12.0)
    assert fault(noisy, NOISY, classes=5) is None
    assert "of counts" in fault(replace(noisy, noise_sd=0.0), classes=5)
    called = replace(noisy, histogram=tableau)
    assert "has bins" in fault(called, NOISY, classes=5)
    assert noisy.histogram.shape == shape(5)


@pytest.mark.parametrize("rows", [2**33, 2**62])
def test_rows_that_were_never_enrolled_do_not_move_a_run_or_end_its_result(rows):
    histogram = np.zeros((2, BINS), dtype=np.int64)
    histogram[0, 10], histogram[1, 900] = rows, rows
    lie = {"histogram": histogram, "examples": int(histogram.sum()), "loss_sum": -1e300}
    told, road = [], FakeHospitals(spoil=spoiled("a", Evaluate, **lie))
    final = federate(study(), "run", road, Forgetful(), [told.append])
    assert sorted(final.histograms) == ["b", "c"]
    aside = [event for event in told if isinstance(event, ReplyQuarantined)]
    assert {event.hospital for event in aside} == {"a"}
    assert all(
        e.metrics["examples"] == 8 and e.metrics["log_loss"] > 0
        for e in told
        if isinstance(e, RoundClosed)
    )


def test_no_hospital_enrols_with_more_rows_than_there_are():
    for key in ("examples", "held_out"):
        told = []
        road = FakeHospitals(spoil=spoiled("a", Invite, **{key: MOST_ROWS + 1}))
        final = federate(study(), "run", road, Forgetful(), [told.append])
        assert [h.hospital for h in final.progress.hospitals] == ["b", "c"]


def test_noisy_hospitals_are_added_signed_and_shown_whole():
    def spoil(name, request, answer):
        if isinstance(answer, Enrolled):
            return replace(answer, held_out=30, scores="noisy")
        if not isinstance(answer, Scores):
            return answer
        counts = from_kinds(np.array([42, -14, 6, -4] if name == "a" else [8, 10, -2, 14]))
        return replace(answer, histogram=counts, examples=30, loss_sum=None, noise_sd=20.0)

    told = []
    final = federate(study(), "run", FakeHospitals(spoil=spoil), Forgetful(), [told.append])
    closed = [event for event in told if isinstance(event, RoundClosed)][-1]
    assert closed.metrics["examples"] == 90
    assert closed.metrics["accuracy"] == pytest.approx((38 + 22 + 22) / 90)
    assert closed.hospitals["a"]["accuracy"] == 1.0
    assert closed.hospitals["b"]["accuracy"] == pytest.approx(22 / 30)
    assert final.noise == {"a": 20.0, "b": 20.0, "c": 20.0}
    assert (final.histograms["a"] < 0).any()
    signed = mean_accuracy(list(final.histograms.values()))
    assert signed == pytest.approx((38 + 22 + 22) / 90)


@pytest.mark.parametrize("lie", [-40, 10**6])
def test_a_sum_that_cannot_be_of_its_hospitals_rows_is_no_figure(lie):
    federation = Federation.of(_plan(), None)
    nodes = _nodes(federation, replace(PUBLIC, scores="summed"))
    honest = nodes["hospital_01"].scored

    def scored(scoring, histogram, loss_sum, groups=None):
        histogram = histogram.copy()
        histogram[0, 3] += lie
        return honest(scoring, histogram, loss_sum, groups)

    nodes["hospital_01"].scored = scored
    road = Road(nodes, lambda name, request: request)
    final = federate(federation.study, "run", road, Forgetful())
    assert final.sealed.histogram is None
    assert "scored rows, enrolled were" in final.sealed.reason
    nodes["hospital_01"].scored = honest
    again = federate(federation.study, "other", road, Forgetful())
    assert metrics(again.sealed.histogram, again.sealed.loss_sum)["accuracy"] > 0.8
