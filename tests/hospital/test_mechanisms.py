"""Noise in steps and noise on updates, through the door of a hospital and its ledger."""

import logging
from dataclasses import replace

import dp_accounting
import numpy as np
import pytest
from dp_accounting.rdp import RdpAccountant
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aegis import codec
from aegis.errors import RunAborted
from aegis.hospital.ledger import Ledger
from aegis.hospital.mechanisms import advised, built, multiplier_of, planned_multiplier
from aegis.hospital.node import Node
from aegis.hospital.release import Account, rows_sha256
from aegis.hospital.site import Site, VolatileMemory
from aegis.hospital.work import Work
from aegis.messages import (
    Enrolled,
    Invite,
    Refusal,
    Settle,
    Settled,
    Statistics,
    Tally,
    Train,
    Update,
)
from aegis.plan import Plan, find_faults, load_plan
from aegis.privacy.accounting import (
    ORDERS,
    GaussianRelease,
    LaplaceRelease,
    PoissonGaussian,
    allowance,
    composed,
    epsilon_gdp,
    epsilon_rdp,
)
from aegis.privacy.budget import Action
from aegis.privacy.dpsgd import DpSgd
from aegis.privacy.filters import Cap, enforced_epsilon
from aegis.privacy.local_update import LocalUpdate
from aegis.simulation.accounts import PUBLIC
from aegis.simulation.federation import Federation
from aegis.simulation.stacked import StackedHospitals
from aegis.store.journal import Forgetful
from aegis.tasks.bounded import Bounded
from aegis.tasks.task import Column, Rows, Schema
from aegis.training import trainer_for
from aegis.training.trainer import Trained
from aegis.transport.transport import InProcess
from aegis.wiring import federate

DELTA = 1e-5
ROWS = 90
SCHEMA = Schema(
    tuple(Column(name, "number", name, low=-1, high=1, may_miss=name == "c") for name in "abcd")
)
PREPARATION = Bounded.of(SCHEMA).to_json()
OPEN = {"trust": "open", "secure_aggregation.enabled": False}
PRIVATE = {
    **OPEN,
    "task": "breast_cancer",
    "model.name": "logistic",
    "training.solver": "sgd",
    "training.batch_size": 16,
    "training.learning_rate": 0.5,
    "federated.num_rounds": 5,
    "privacy.enabled": True,
    "privacy.epsilon_budget": 4.0,
}
UPDATES = {**PRIVATE, "privacy.mechanism": "local_update"}
NETWORK = {"model.name": "mlp"}
S1 = {
    **OPEN,
    "task": "breast_cancer",
    "model.name": "mlp",
    "training.batch_size": 64,
    "training.learning_rate": 0.01,
    "training.local_epochs": 2,
    "federated.num_clients": 3,
    "federated.num_rounds": 10,
    "privacy.enabled": True,
    "privacy.epsilon_budget": 50.0,
    "privacy.noise_multiplier": 0.8,
    "privacy.max_grad_norm": 1.0,
    "evaluation.every": 0,
}


def site(rows=ROWS):
    rng = np.random.default_rng(rows)
    inputs = {name: rng.uniform(-1, 1, rows) for name in "abcd"}
    inputs["c"][::7] = np.nan
    labels = (inputs["a"] + 0.3 * rng.normal(size=rows) > 0).astype(np.int64)
    every = Rows(inputs, labels)
    return Site("here", SCHEMA, every, every.take(np.arange(0)), every)


class Hospital:
    """One hospital and its ledger; ``node`` is a new process over the same file."""

    def __init__(self, folder, cap=50.0, rows=ROWS):
        self.site = site(rows)
        self.ledger = Ledger.open(folder / "ledger.db", rows_sha256(self.site.train))
        self.cap = Cap(cap, DELTA)
        self.heard = []

    def node(self, plan, run="run"):
        account = Account(self.ledger, self.cap)
        node = Node(self.site, account=account, advised=self._hear, policy=PUBLIC)
        self.enrolled = node.answer(Invite(run, plan.sha256, plan.to_json()))
        return node

    def _hear(self, *told):
        self.heard.append(told)

    def charged(self, run="run"):
        return [
            self.ledger.reserved(row.run, row.round, row.purpose)
            for row in self.ledger.rows()
            if row.kind == "reserved" and row.run == run
        ]


@pytest.fixture
def hospital(tmp_path):
    found = Hospital(tmp_path)
    yield found
    found.ledger.close()


def asking(plan, round=1, run="run", size=None, control=None):
    """A request to train, from zero weights (5 columns: one may miss) or from small ones."""
    from aegis.tasks.models import network

    model = network(plan.model, PREPARATION)
    start = model.initial(3, "uniform" if model.hidden else "zeros")
    return Train(run, plan.sha256, round, start, 0.5, 3 * ROWS, 3, PREPARATION, control)


def both(**more):
    return pytest.mark.parametrize(
        "asked", [{**PRIVATE, **more}, {**UPDATES, **more}], ids=["dp_sgd", "local_update"]
    )


@both()
def test_every_round_is_charged_what_its_mechanism_says_and_all_fit_the_budget(hospital, asked):
    plan = Plan(**asked)
    node = hospital.node(plan)
    for round in range(1, 6):
        reply = node.answer(asking(plan, round))
        assert isinstance(reply, Update)
        assert reply.metrics == {}
        assert reply.control is None
    charged = hospital.charged()
    assert len(charged) == 5
    whole = plan.privacy.mechanism == "local_update"
    cost, kind = (epsilon_gdp, GaussianRelease) if whole else (epsilon_rdp, PoissonGaussian)
    assert all(isinstance(event, kind) for event in charged)
    assert 3.99 < cost(charged, DELTA) <= 4.0
    assert isinstance(node.answer(asking(plan, 6)), Refusal)
    assert len(hospital.charged()) == 5


def test_the_rate_and_the_steps_are_the_hospitals_own(hospital):
    plan = Plan(**{**PRIVATE, "training.local_epochs": 3})
    work = hospital.node(plan).admit(asking(plan))
    assert isinstance(work, Work)
    assert work.job.private == work.mechanism
    assert (work.mechanism.sampling_rate, work.mechanism.steps) == (16 / ROWS, 18)
    assert work.mechanism.clip == 1.0
    whole = Plan(**{**PRIVATE, "training.batch_size": 500, "training.local_steps": 7})
    mechanism = built(whole, ROWS, 1.0)
    assert (mechanism.sampling_rate, mechanism.steps) == (1.0, 7)


@both()
def test_what_the_ledger_says_is_what_the_engine_used(hospital, asked):
    plan = Plan(**{**asked, "privacy.noise_multiplier": 0.3, "privacy.epsilon_budget": 2.0})
    node = hospital.node(plan)
    for round in range(1, 6):
        work = node.admit(asking(plan, round))
        trainer = trainer_for(work.job.model, work.job.private is not None)
        trained = trainer.train(work.job)
        used = work.mechanism if work.job.private is None else trained.private
        assert used.event == hospital.ledger.reserved("run", round, "train")
        assert isinstance(node.finish(work, trained), Update)


@both()
def test_a_small_budget_raises_the_noise_of_the_rounds_to_come_and_all_of_them_run(hospital, asked):
    plan = Plan(**{**asked, "privacy.noise_multiplier": 0.2, "privacy.epsilon_budget": 1.0})
    node = hospital.node(plan)
    assert all(isinstance(node.answer(asking(plan, round)), Update) for round in range(1, 6))
    used = [multiplier_of(event) for event in hospital.charged()]
    assert min(used) > 3 * planned_multiplier(plan, ROWS)
    assert hospital.heard[0][2].action is Action.INCREASE_NOISE
    assert epsilon_rdp(hospital.charged(), DELTA) <= 1.2


@both()
def test_noise_rises_in_the_middle_of_a_run_where_another_run_spent_these_data(hospital, asked):
    plan = Plan(**asked)
    hospital.cap = Cap(5.0, DELTA)
    node = hospital.node(plan)
    for round in (1, 2):
        assert isinstance(node.answer(asking(plan, round)), Update)
    hospital.ledger.reserve("other", 1, "train", GaussianRelease(1.3), hospital.cap)
    for round in (3, 4, 5):
        assert isinstance(node.answer(asking(plan, round)), Update)
    used = [multiplier_of(event) for event in hospital.charged()]
    assert used[0] == used[1] < used[2] == pytest.approx(used[4], rel=1e-3)
    assert sorted(used) == used
    assert enforced_epsilon(hospital.ledger.events(), DELTA) <= 5.0
    assert Action.INCREASE_NOISE in [advice.action for _, _, advice in hospital.heard]


@both()
def test_a_hopeless_budget_halts_with_its_reason_and_charges_nothing(hospital, asked):
    plan = Plan(**{**asked, "privacy.epsilon_budget": 0.001, "federated.num_rounds": 5000})
    reply = hospital.node(plan).answer(asking(plan))
    assert isinstance(reply, Refusal)
    assert "0.001 is too little for 5000 rounds with any useful noise" in reply.reason
    assert hospital.charged() == []


def test_a_hospital_is_warned_at_three_quarters_and_at_nine_tenths(hospital):
    plan = Plan(**{**UPDATES, "federated.num_rounds": 30})
    node = hospital.node(plan)
    for round in range(1, 31):
        node.answer(asking(plan, round))
    assert [advice.action for _, _, advice in hospital.heard] == [Action.WARNING, Action.CRITICAL]
    shares = [advice.share for _, _, advice in hospital.heard]
    assert shares == pytest.approx([0.75, 0.9], abs=0.03)


def test_without_a_listener_the_log_hears_of_more_noise(hospital, caplog):
    plan = Plan(**{**PRIVATE, "privacy.noise_multiplier": 0.2, "privacy.epsilon_budget": 1.0})
    node = Node(hospital.site, account=Account(hospital.ledger, hospital.cap), policy=PUBLIC)
    node.answer(Invite("run", plan.sha256, plan.to_json()))
    with caplog.at_level(logging.WARNING, logger="aegis"):
        node.answer(asking(plan))
    assert "here, run round 1: 0 of 1 is spent" in caplog.text
    assert "they fit" in caplog.text


@both()
def test_a_settled_run_keeps_no_answer_and_none_is_computed_anew(hospital, asked):
    plan = Plan(**asked)
    node = hospital.node(plan)
    assert all(isinstance(node.answer(asking(plan, round)), Update) for round in (1, 2))
    settle = Settle("run", plan.sha256, 2)
    first = node.answer(settle)
    assert isinstance(first, Settled)
    assert len(first.events) == 2
    for one in (node, hospital.node(plan)):  # also after a restart
        assert one.answer(settle) == first
        for round in (1, 2):
            reply = one.answer(asking(plan, round))
            assert isinstance(reply, Refusal)
            assert "no longer there; it was damaged, or dropped when its run was" in reply.reason
    assert hospital.ledger.verify() == hospital.ledger.head()
    assert len(hospital.charged()) == 2


def test_answers_that_cannot_be_dropped_do_not_keep_a_run_from_being_settled(hospital, caplog):
    class Full(Ledger):
        def forget(self, run):
            raise RunAborted("the disk is full")

    plan = Plan(**UPDATES)
    hospital.ledger = Full(hospital.ledger._chain)
    node = hospital.node(plan)
    reply = node.answer(asking(plan))
    assert isinstance(node.answer(Settle("run", plan.sha256, 1)), Settled)
    assert "stay in the ledger: the disk is full" in caplog.text
    again = node.answer(asking(plan))
    np.testing.assert_array_equal(again.vector, reply.vector)


@both(**NETWORK)
def test_a_repeated_question_gets_the_same_bytes_whatever_it_asks_and_whoever_answers(
    hospital, asked
):
    plan = Plan(**asked)
    node = hospital.node(plan)
    first = node.answer(asking(plan))
    other = asking(plan)
    other = replace(other, weights=other.weights + 1, learning_rate=0.1)
    again = [node.answer(asking(plan)), hospital.node(plan).answer(other)]
    assert isinstance(first, Update)
    assert "asked with other weights before" in node.answer(other).reason
    again.append(StackedHospitals({"here": node}).ask({"here": asking(plan)}, None)["here"])
    assert {codec.dumps(reply) for reply in again} == {codec.dumps(first)}
    assert len(hospital.charged()) == 1


@both()
def test_a_crash_after_the_charge_costs_one_round_once(hospital, asked):
    plan = Plan(**{**asked, "privacy.noise_multiplier": 0.2, "privacy.epsilon_budget": 1.0})
    admitted = hospital.node(plan).admit(asking(plan))
    assert isinstance(admitted, Work)
    assert len(hospital.charged()) == 1
    after = hospital.node(plan).admit(asking(plan))
    assert after.mechanism == admitted.mechanism
    assert len(hospital.charged()) == 1
    assert isinstance(hospital.node(plan).answer(asking(plan)), Update)
    assert isinstance(hospital.node(plan).answer(asking(plan, 2)), Update)
    assert epsilon_rdp(hospital.charged(), DELTA) <= 1.2


def test_what_was_not_trained_with_the_charged_noise_never_leaves(hospital):
    plan = Plan(**PRIVATE)
    node = hospital.node(plan)
    work = node.admit(asking(plan))
    bare = trainer_for(work.job.model).train(work.job)
    less = replace(work.mechanism, noise_multiplier=work.mechanism.noise_multiplier / 2)
    quieter = trainer_for(work.job.model, True).train(replace(work.job, private=less))
    for trained in (bare, quieter, Trained(bare.vector, bare.steps, 0.0)):
        reply = node.finish(work, trained)
        assert isinstance(reply, Refusal)
        assert "was not trained with the noise" in reply.reason
    assert hospital.ledger.payload("run", 1, "train") is None


@both(**NETWORK)
def test_two_runs_with_one_seed_have_different_noise(tmp_path, asked):
    plan, found = Plan(**asked), []
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        one = Hospital(tmp_path / str(number))
        found.append(one.node(plan).answer(asking(plan)).vector)
        one.ledger.close()
    assert (found[0] != found[1]).mean() > 0.99


@pytest.mark.parametrize("shape", ["gaussian", "laplace"])
def test_a_noised_update_is_the_clipped_update_and_the_noise_that_was_charged(hospital, shape):
    plan = Plan(**{**UPDATES, **NETWORK, "privacy.noise": shape, "privacy.max_grad_norm": 0.5})
    node = hospital.node(plan)
    work = node.admit(asking(plan))
    trained = trainer_for(work.job.model).train(work.job)
    reply = node.finish(work, trained)
    mechanism = work.mechanism
    assert isinstance(mechanism, LocalUpdate)
    noise = reply.vector.astype(float) - mechanism.clipped(trained.vector)
    spread = mechanism.multiplier * 2 * 0.5 * (2**0.5 if shape == "laplace" else 1)
    assert noise.std() == pytest.approx(spread, rel=0.1)
    assert reply.vector.dtype == trained.vector.dtype == np.float32
    kind = LaplaceRelease if shape == "laplace" else GaussianRelease
    assert isinstance(mechanism.event, kind)
    assert epsilon_rdp([mechanism.event] * 5, DELTA) <= (4.0 if shape == "laplace" else 4.6)


def test_a_plans_multiplier_is_noise_over_clip():
    plan = Plan(**{**UPDATES, "privacy.noise_multiplier": 3.0, "privacy.max_grad_norm": 0.5})
    mechanism = built(plan, ROWS, planned_multiplier(plan, ROWS))
    assert mechanism.multiplier * mechanism.sensitivity == pytest.approx(3.0 * 0.5)
    plan = Plan(**{**PRIVATE, "privacy.noise_multiplier": 3.0, "privacy.max_grad_norm": 0.5})
    assert built(plan, ROWS, planned_multiplier(plan, ROWS)).noise_sd == pytest.approx(1.5)


def test_training_that_diverged_is_a_noisy_nothing_and_no_abstention(hospital):
    plan = Plan(**UPDATES)
    node = hospital.node(plan)
    work = node.admit(asking(plan))
    wild = Trained(np.full(work.job.model.size, np.nan), 6, 0.0)
    reply = node.finish(work, wild)
    assert isinstance(reply, Update)
    assert np.isfinite(reply.vector).all()


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({**PRIVATE, "data.standardize": "federated"}, "does not cover"),
        ({**PRIVATE, "data.standardize": "site"}, "lets one record move every other"),
        ({**UPDATES, "data.standardize": "federated"}, "does not cover"),
        ({**UPDATES, "server.optimizer": "scaffold"}, "control variates"),
        ({**PRIVATE, "training.solver": "newton"}, "newton has no private form"),
        ({**PRIVATE, "privacy.mechanism": "none"}, "would add no noise"),
        ({**PRIVATE, "privacy.mechanism": "distributed"}, "hides each hospital's small noise"),
        ({**PRIVATE, "privacy.max_grad_norm": None}, "only the noise rule"),
        ({**PRIVATE, "federated.num_rounds": None}, "only the noise rule"),
        ({**PRIVATE, "privacy.delta": 0.01}, "privacy.delta is 0.01"),
    ],
)
def test_a_hospital_takes_no_part_in_a_plan_it_cannot_keep(hospital, asked, reason):
    plan = Plan(**asked)
    node = hospital.node(plan)
    assert isinstance(hospital.enrolled, Refusal)
    assert reason in hospital.enrolled.reason
    assert find_faults(plan) or "delta" in reason
    assert isinstance(node.answer(asking(Plan(**PRIVATE))), Refusal)
    assert hospital.charged() == []


def test_a_hospital_without_a_ledger_takes_no_part():
    plan = Plan(**PRIVATE)
    node = Node(site(), policy=PUBLIC)
    assert "no privacy ledger" in node.answer(Invite("run", plan.sha256, plan.to_json())).reason
    assert isinstance(node.answer(asking(plan)), Refusal)


@both()
def test_nothing_else_leaves_on_the_way(hospital, asked):
    """A coordinator that asks for more than the plan says gets a refusal, and pays nothing."""
    plan = Plan(**asked)
    node = hospital.node(plan)
    assert isinstance(hospital.enrolled, Enrolled)
    for words in (None, {}):
        reply = node.answer(Statistics("run", plan.sha256, words, 3 * ROWS, 3))
        assert isinstance(reply, Refusal)
        assert not isinstance(reply, Tally)
    if plan.privacy.mechanism == "local_update":
        sneaky = node.answer(asking(plan, control=np.zeros(6)))
        assert "control variates belong to scaffold" in sneaky.reason
    short = node.answer(replace(asking(plan), weights=np.zeros(3)))
    assert isinstance(short, Refusal)
    assert hospital.charged() == []


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    mechanism=st.sampled_from(["dp_sgd", "local_update", "distributed", "none"]),
    solver=st.sampled_from(["sgd", "gradient", "newton"]),
    multiplier=st.none() | st.floats(0, 1e-3) | st.sampled_from([0.0, 0.5]),
    budget=st.floats(1e-3, 1e12),
    clip=st.none() | st.floats(1e-9, 1e9),
    scaling=st.sampled_from(["none", "federated", "site"]),
    shape=st.sampled_from(["gaussian", "laplace"]),
    rounds=st.sampled_from([1, 5, None]),
)
def test_no_plan_switches_the_noise_off(
    tmp_path_factory, mechanism, solver, multiplier, budget, clip, scaling, shape, rounds
):
    """Whatever a private plan says: a hospital refuses, or adds noise of the charged size."""
    plan = Plan(
        **{
            **PRIVATE,
            "training.solver": solver,
            "privacy.mechanism": mechanism,
            "privacy.noise_multiplier": multiplier,
            "privacy.epsilon_budget": budget,
            "privacy.max_grad_norm": clip,
            "privacy.noise": shape,
            "data.standardize": scaling,
            "federated.num_rounds": rounds,
        }
    )
    one = Hospital(tmp_path_factory.mktemp("h"), cap=1e13)
    try:
        node = one.node(plan)
        reply = node.answer(asking(plan))
        assert isinstance(reply, Update | Refusal)
        if isinstance(reply, Update):
            [event] = one.charged()
            assert isinstance(one.enrolled, Enrolled)
            assert multiplier_of(event) >= 1e-6
            # Coefficients start at zero and labels are what they are: without noise all repeat.
            # The least noise has 16 steps of its grid: two draws may be equal by chance, five not.
            moved = np.zeros(reply.vector.size, bool)
            for again in map("again {}".format, range(4)):
                moved |= (
                    one.node(plan, again).answer(asking(plan, run=again)).vector != reply.vector
                )
                if moved.all():
                    break
            assert moved.all()
    finally:
        one.ledger.close()


def test_calibration_is_quick_and_asked_once_for_equal_hospitals():
    import time

    plan = Plan(**{**PRIVATE, "privacy.epsilon_budget": 3.7})
    began = time.process_time()
    first = planned_multiplier(plan, 231)
    assert time.process_time() - began < 0.5
    began = time.process_time()
    assert planned_multiplier(plan, 231) == first
    assert time.process_time() - began < 0.01
    assert planned_multiplier(plan, 91) > first


def test_noise_never_sinks_below_what_was_used():
    plan = Plan(**PRIVATE)
    start = planned_multiplier(plan, ROWS)
    loud = built(plan, ROWS, 3 * start).event
    advice = advised(plan, ROWS, 2, [loud], [loud], Cap(50.0, DELTA))
    assert advice.noise_multiplier == 3 * start


class Watching:
    """A road that keeps everything that ever came over it."""

    def __init__(self, road):
        self.road, self.seen, self.before = road, [], lambda request: None

    def hospitals(self):
        return self.road.hospitals()

    def ask(self, requests, deadline_s):
        for request in requests.values():
            self.before(request)
        answers = self.road.ask(requests, deadline_s)
        self.seen += [(requests[name], answer) for name, answer in answers.items()]
        return answers


@pytest.mark.parametrize("kind", [StackedHospitals, InProcess])
@pytest.mark.parametrize("mechanism", ["dp_sgd", "local_update"])
def test_an_exhausted_hospital_sends_nothing_more(tmp_path, kind, mechanism):
    keys = {
        "task": "breast_cancer",
        "training.solver": "sgd",
        "privacy.mechanism": mechanism,
        "trust": "open",
        "privacy.epsilon_budget": "4",
        "federated.num_rounds": "6",
        "federated.quorum": "3",
    }
    federation = Federation.of(load_plan(None, keys).plan, None)
    nodes = federation.nodes(VolatileMemory(), tmp_path)
    poor = "hospital_02"
    account = nodes[poor].account
    road = Watching(kind(nodes))

    def spend(request):
        """After two rounds the hospital's policy leaves no more than what is spent."""
        if isinstance(request, Train) and request.round == 3 and not capped:
            capped.append(account.ledger.spent(DELTA).enforced)
            nodes[poor].account = replace(account, cap=Cap(capped[0], DELTA))

    capped = []
    road.before = spend
    final = federate(federation.study, "run", road, Forgetful())
    asked = [reply for request, reply in road.seen if isinstance(request, Train)]
    own = [reply for reply in asked if reply.hospital == poor]
    assert [type(reply) for reply in own] == [Update] * 2 + [Refusal] * 4
    assert all("is spent" in reply.reason for reply in own[2:])
    assert len(account.ledger.events("run")) == 2
    assert account.ledger.spent(DELTA).enforced == capped[0]
    assert len([r for r in asked if isinstance(r, Update) and r.hospital != poor]) == 24
    assert final.status == "completed"
    for node in nodes.values():
        node.account.ledger.close()


def test_the_first_documents_values_run_to_the_end_and_cost_what_the_ledger_says(tmp_path):
    federation = Federation.of(Plan(**S1), None)
    nodes = federation.nodes(VolatileMemory(), tmp_path)
    final = federate(federation.study, "run", StackedHospitals(nodes), Forgetful())
    assert final.status == "completed"
    assert final.progress.round == 10
    for name, node in nodes.items():
        rows, events = len(federation.sites[name].train), node.account.ledger.events("run")
        assert events == [PoissonGaussian(0.8, min(1.0, 64 / rows), 2 * -(-rows // 64))] * 10
        # At orders that are not whole dp-accounting's series does not converge for such rates.
        orders = (ORDERS % 1 == 0) & (ORDERS > 1)
        accountant = RdpAccountant(ORDERS[orders].tolist())
        for event in events:
            step = dp_accounting.PoissonSampledDpEvent(
                event.sampling_rate, dp_accounting.GaussianDpEvent(event.noise_multiplier)
            )
            accountant.compose(step, event.steps)
        ours = composed(events) - allowance(0.0, DELTA)
        assert ours[orders].min() == pytest.approx(accountant.get_epsilon(DELTA), rel=1e-6)
        spent = node.account.ledger.spent(DELTA)
        assert spent.pld <= spent.rdp == ours.min() <= 50.0
        node.account.ledger.close()


def test_training_with_noise_still_learns(tmp_path):
    keys = {
        **{key: value for key, value in S1.items() if key != "training.learning_rate"},
        "model.name": "logistic",
        "training.solver": "sgd",
        "training.learning_rate": 1.0,
        "privacy.epsilon_budget": 8.0,
        "privacy.noise_multiplier": None,
    }
    federation = Federation.of(Plan(**keys), None)
    nodes = federation.nodes(VolatileMemory(), tmp_path)
    final = federate(federation.study, "run", StackedHospitals(nodes), Forgetful())
    from aegis.evaluation.metrics import metrics

    found = metrics(np.add.reduce(list(final.histograms.values())), None)
    assert found["auc"] > 0.93
    for node in nodes.values():
        assert node.account.ledger.spent(DELTA).rdp <= 8.0
        node.account.ledger.close()


def test_dp_epsilon_of_zero_is_the_plan_without_noise():
    silent = load_plan(environment={"DP_EPSILON": "0"}).plan
    assert silent.sha256 == load_plan().plan.sha256
    assert not silent.privacy.enabled


def test_the_mechanisms_name_their_unit():
    assert (LocalUpdate.unit, LocalUpdate.neighbouring) == (
        "the whole data set of one hospital",
        "replaced by any other",
    )
    assert isinstance(built(Plan(**PRIVATE), ROWS, 1.0), DpSgd)
