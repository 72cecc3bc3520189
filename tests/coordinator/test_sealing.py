"""Masked and grouped federations, real nodes on a road that cuts, forges and looks."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from aegis import codec, states
from aegis.coordinator.sealing import sealed
from aegis.coordinator.steps import asks, step
from aegis.errors import RunAborted
from aegis.events import (
    HospitalAbsent,
    HospitalFlagged,
    ReplyQuarantined,
    RoundAggregated,
    SumOpened,
)
from aegis.hospital.node import Node
from aegis.hospital.policy import Policy
from aegis.hospital.site import VolatileMemory
from aegis.messages import Absence, Evaluate, Refusal, Request, Train, Update
from aegis.messages.stages import (
    Advertise,
    Confirm,
    Mask,
    Masked,
    Opened,
    Share,
    Unmask,
)
from aegis.plan import Plan
from aegis.simulation.accounts import PUBLIC
from aegis.simulation.federation import Federation
from aegis.simulation.seals import simulated_keys, simulated_seals
from aegis.states import Collecting, Sealing, Terminated
from aegis.store.journal import Forgetful
from aegis.transport.transport import InProcess
from aegis.wiring import federate

STAGES = (Advertise, Share, Mask, Confirm, Unmask)


def _plan(**more):
    keys = {"federated.num_rounds": 3, "training.solver": "newton", "training.tolerance": None}
    return Plan(task="breast_cancer", **{**keys, **more})


def _nodes(federation: Federation, policy: Policy = PUBLIC) -> dict[str, Node]:
    seals = simulated_seals(simulated_keys(federation.sites), federation.study.plan.seed)
    return {
        name: Node(site, VolatileMemory(), policy=policy, seal=seals[name])
        for name, site in federation.sites.items()
    }


class Road:
    """Asks nodes one by one; ``meddle`` may change a request, or return None to lose it."""

    def __init__(
        self, nodes: Mapping[str, Node], meddle: Callable[[str, Request], Request | None]
    ) -> None:
        self._nodes, self._meddle = dict(nodes), meddle
        self.answers: list[object] = []
        self.requests: list[Request] = []

    def hospitals(self):
        return tuple(self._nodes)

    def ask(self, requests, deadline_s):
        found = {}
        for name, request in requests.items():
            self.requests.append(request)
            changed = self._meddle(name, request)
            answer = self._nodes[name].answer(changed) if changed else Absence(name, "silent")
            found[name] = answer
            self.answers.append(answer)
        return found


def _run(plan, meddle=lambda name, request: request, policy=PUBLIC, **more):
    federation = Federation.of(plan, None)
    road = Road(_nodes(federation, policy), meddle)
    told = []
    final = federate(federation.study, "run", road, Forgetful(), [told.append], **more)
    return final, told, road


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"training.solver": "sgd", "training.learning_rate": 0.1},
        {"training.solver": "sgd", "server.optimizer": "scaffold"},
        {"model.name": "mlp", "training.solver": "sgd"},
        {"training.solver": "gradient", "training.learning_rate": 0.1},
    ],
)
@pytest.mark.parametrize("trust", ["masked", "grouped"])
def test_a_sum_in_secret_is_the_sum_in_the_open(trust, keys):
    clear, _, _ = _run(_plan(trust="open", **{"federated.num_clients": 6}, **keys))
    hidden, told, road = _run(_plan(trust=trust, **{"federated.num_clients": 6}, **keys))
    precise = hidden.progress.weights.dtype == np.float64
    close = 1e-9 if precise else 2e-6
    assert np.allclose(hidden.progress.weights, clear.progress.weights, rtol=0, atol=close)
    sizes = [event.sizes for event in told if isinstance(event, SumOpened)]
    assert set(sizes) == ({(6,)} if trust == "masked" else {(3, 3)})
    assert not any(isinstance(answer, Update) for answer in road.answers)


def test_no_state_of_a_masked_round_holds_one_hospitals_vector():
    kept = []

    class Keeping(Forgetful):
        def save(self, run, state, events):
            kept.append(state)

    federation = Federation.of(_plan(), None)
    road = Road(_nodes(federation), lambda name, request: request)
    federate(federation.study, "run", road, Keeping())
    sums = [state for state in kept if isinstance(state, Sealing)]
    assert len(sums) > 20
    masked = [answer for answer in road.answers if isinstance(answer, Masked)]
    for state in sums:
        data = codec.dumps(state)
        assert not any(answer.vector.tobytes() in data for answer in masked)
        assert codec.dumps(codec.loads(data, states.CLASSES)) == data


@pytest.mark.parametrize("stage", STAGES)
def test_a_hospital_that_falls_silent_at_any_stage_costs_nobody_else_the_round(stage):
    def cut(name, request):
        lost = name == "hospital_02" and isinstance(request, stage)
        return None if lost and request.purpose == "train" else request

    final, told, _ = _run(_plan(), cut)
    rounds = [event for event in told if isinstance(event, RoundAggregated)]
    assert len(rounds) == 3
    there = stage in (Confirm, Unmask)  # its vector was in before it fell silent
    for event in rounds:
        assert ("hospital_02" in event.hospitals) == there
    assert np.isfinite(final.progress.weights).all()


def test_the_sum_without_a_lost_hospital_is_that_of_the_others():
    def cut(name, request):
        lost = name == "hospital_02" and isinstance(request, Mask | Train)
        return None if lost and getattr(request, "purpose", "train") == "train" else request

    clear, _, _ = _run(_plan(trust="open"), cut)
    hidden, _, _ = _run(_plan(), cut)
    assert np.allclose(hidden.progress.weights, clear.progress.weights, rtol=0, atol=1e-9)


def test_more_losses_than_the_threshold_allows_end_the_run_with_a_sentence():
    def cut(name, request):
        lost = name in ("hospital_01", "hospital_02") and isinstance(request, Mask)
        return None if lost and request.purpose == "train" else request

    with pytest.raises(RunAborted, match="the sealed sum of round 1"):
        _run(_plan(), cut)


def test_a_round_that_failed_once_is_tried_again_with_new_keys():
    def cut(name, request):
        first = isinstance(request, Share) and request.attempt == 1 and request.round == 2
        lost = first and name in ("hospital_01", "hospital_02") and request.purpose == "train"
        return None if lost else request

    final, _, road = _run(_plan(), cut)
    clear, _, _ = _run(_plan())
    assert np.array_equal(final.progress.weights, clear.progress.weights)
    attempts = {r.attempt for r in road.requests if isinstance(r, Mask) and r.round == 2}
    assert attempts == {2}


def test_an_opened_sum_with_one_flipped_value_is_found_and_not_used():
    def flip(name, request):
        if isinstance(request, Opened) and request.purpose == "train":
            total = request.total.copy()
            total[3] += np.uint64(1)
            return replace(request, total=total)
        return request

    with pytest.raises(RunAborted, match="its secret checksum differs"):
        _run(_plan(), flip)


def test_a_hospital_answers_no_bare_question_of_a_masked_plan():
    federation = Federation.of(_plan(), None)
    nodes = _nodes(federation)
    road = InProcess(nodes)
    final = federate(federation.study, "run", road, Forgetful())
    progress = final.progress
    sha256 = federation.study.sha256
    train = Train("run", sha256, 4, progress.weights, 0.1, 455, 5, progress.preparation)
    answer = nodes["hospital_01"].answer(train)
    assert isinstance(answer, Refusal)
    assert "sealed sum only" in answer.reason


def test_a_hospital_without_keys_takes_no_part_in_a_masked_plan():
    federation = Federation.of(_plan(), None)
    nodes = {name: Node(site, policy=PUBLIC) for name, site in federation.sites.items()}
    with pytest.raises(RunAborted, match="no key for sealed sums"):
        federate(federation.study, "run", InProcess(nodes), Forgetful())


def test_scores_that_are_shared_in_sums_only_give_the_metrics_and_no_hospitals_own():
    open_scores, _, _ = _run(_plan())
    policy = replace(PUBLIC, scores="summed")
    summed, _, road = _run(_plan(), policy=policy)
    assert summed.histograms == {}
    assert summed.sealed is not None
    assert np.array_equal(
        summed.sealed.histogram, np.add.reduce(list(open_scores.histograms.values()))
    )
    assert summed.sealed.loss_sum == pytest.approx(sum(open_scores.losses.values()), abs=1e-9)
    bare = [r for r in road.requests if isinstance(r, Evaluate)]
    assert bare == []


def test_a_coordinator_that_dies_in_any_stage_goes_on_with_hospitals_that_live():
    """Each saved state is taken up again in turn, by another coordinator and the same hospitals."""
    whole, _, _ = _run(_plan())
    federation = Federation.of(_plan(), None)
    study, nodes = federation.study, _nodes(federation)
    road = Road(nodes, lambda name, request: request)
    state: states.State = states.Registration("run", tuple(nodes))
    while not isinstance(state, Terminated):
        state = codec.loads(codec.dumps(sealed(study, state)), states.CLASSES)
        road.ask(asks(study, state), None)  # asked, and dead before the answers are used
        answers = road.ask(asks(study, state), None)
        assert not any(isinstance(a, Refusal) for a in answers.values()), answers
        state = step(study, state, answers).state
    assert np.array_equal(state.progress.weights, whole.progress.weights)


def test_no_second_sum_of_a_round_is_opened_over_other_hospitals():
    federation = Federation.of(_plan(), None)
    study, nodes = federation.study, _nodes(federation)
    road = Road(nodes, lambda name, request: request)
    state: states.State = states.Registration("run", tuple(nodes))
    while not isinstance(state, Collecting):
        state = sealed(study, state)
        state = step(study, state, road.ask(asks(study, state), None)).state

    def opened(state, without):
        state = sealed(study, state)
        while isinstance(state, Sealing):
            asked = dict(asks(study, state))
            lost = [name for name in asked if name == without and isinstance(asked[name], Mask)]
            answers = dict(road.ask({n: r for n, r in asked.items() if n not in lost}, None))
            found = step(study, state, answers)
            if any(isinstance(event, RoundAggregated) for event in found.events):
                return found
            if not isinstance(found.state, Sealing):
                return found
            state = found.state
        return None

    first = opened(state, None)
    assert any(isinstance(event, RoundAggregated) for event in first.events)
    again = opened(replace(state, attempt=2), "hospital_03")
    assert not any(isinstance(event, RoundAggregated) for event in again.events)
    same = opened(replace(state, attempt=3), None)
    assert any(isinstance(event, RoundAggregated) for event in same.events)


def test_a_hospital_that_sends_rubbish_is_named_and_left_out():
    class Rubbish(Road):
        def ask(self, requests, deadline_s):
            found = dict(super().ask(requests, deadline_s))
            one = found.get("hospital_04")
            if isinstance(one, Masked) and one.purpose == "train":
                found["hospital_04"] = replace(one, vector=one.vector[:-1])
            return found

    federation = Federation.of(_plan(), None)
    told = []
    road = Rubbish(_nodes(federation), lambda name, request: request)
    federate(federation.study, "run", road, Forgetful(), [told.append])
    named = [e for e in told if isinstance(e, ReplyQuarantined | HospitalAbsent)]
    assert {event.hospital for event in named} == {"hospital_04"}
    rounds = [event for event in told if isinstance(event, RoundAggregated)]
    assert all("hospital_04" not in event.hospitals for event in rounds)


def test_a_round_that_makes_the_model_worse_is_not_taken():
    """One hospital hands in a huge update in round 2; its sum cannot be told from an honest one,
    but the loss on validation rows can."""
    from aegis.events import RoundClosed, RoundRejected

    plan = _plan(
        **{
            "training.solver": "sgd",
            "evaluation.gate": 1.5,
            "data.validation_fraction": 0.2,
            "federated.num_rounds": 4,
        }
    )
    federation = Federation.of(plan, None)
    nodes = _nodes(federation)
    honest = nodes["hospital_01"].finish

    def poisoned(work, trained):
        if work.request.round == 2:
            trained = replace(trained, vector=trained.vector * -400)
        return honest(work, trained)

    nodes["hospital_01"].finish = poisoned
    told = []
    federate(federation.study, "run", InProcess(nodes), Forgetful(), [told.append])
    rejected = [event for event in told if isinstance(event, RoundRejected)]
    assert [event.round for event in rejected] == [2]
    closed = {event.round: event for event in told if isinstance(event, RoundClosed)}
    assert closed[2].next_sha256 == closed[1].model_sha256
    assert closed[3].metrics["log_loss"] < rejected[0].limit


def test_no_hospital_adds_a_smaller_share_of_noise_than_its_sum_needs():
    """Who counts more hospitals than it asks would open a sum with too little noise."""

    def more(name, request):
        if isinstance(request, Mask) and isinstance(request.inner, Train):
            return replace(request, inner=replace(request.inner, hospitals=6))
        return request

    with pytest.raises(RunAborted, match=r"6 hospitals"):
        _run(_plan(**{"federated.num_clients": 5}), more)


def test_a_hospital_lost_after_the_last_round_does_not_cost_the_final_scores():
    def cut(name, request):
        lost = name == "hospital_02" and getattr(request, "purpose", "") == "final"
        return None if lost else request

    summed = replace(PUBLIC, scores="summed")
    whole, _, _ = _run(_plan(), policy=summed)
    final, _, _ = _run(_plan(), cut, policy=summed)
    assert len(final.sealed.hospitals) == 5
    assert np.array_equal(final.sealed.histogram, whole.sealed.histogram)


@pytest.mark.parametrize("liar", ["hospital_02", None])
def test_a_liar_inside_a_group_is_flagged_with_its_group_and_does_not_move_the_model(liar):
    """Real nodes, groups of three drawn anew each round: the coordinator sees group sums only."""
    guard = {
        "robust_aggregation.enabled": True,
        "robust_aggregation.method": "centered_clipping",
        "robust_aggregation.enable_detection": True,
        "robust_aggregation.num_byzantine": 1,
    }
    keys = {"federated.num_clients": 15, "federated.partition.by": "iid", "trust": "grouped"}
    learning = {"training.solver": "gradient", "training.learning_rate": 1.0}
    plan = _plan(**keys, **guard, **learning)
    federation = Federation.of(plan, None)
    nodes = _nodes(federation)
    if liar is not None:
        honest = nodes[liar]._learning.update

        def scaled(work, trained, account):
            reply = honest(work, trained, account)
            return replace(reply, vector=-20 * reply.vector)

        nodes[liar]._learning.update = scaled
    told = []
    final = federate(
        federation.study, "run", Road(nodes, lambda _, one: one), Forgetful(), [told.append]
    )
    flags = [event for event in told if isinstance(event, HospitalFlagged)]
    if liar is None:
        assert len(flags) <= 1
        return
    caught = {event.round for event in flags if liar in event.hospital.split(" + ")}
    assert caught == {1, 2, 3}
    assert all(len(event.hospital.split(" + ")) >= 3 for event in flags)
    groups = {event.hospital for event in flags if liar in event.hospital.split(" + ")}
    assert len(groups) >= 2, "groups are drawn anew, so the liar stands out over the rounds"
    clean, _, _ = _run(plan)
    truth, moved = clean.progress.weights, final.progress.weights
    assert np.linalg.norm(moved - truth) < 0.5 * np.linalg.norm(truth)
