"""Epsilon is always the total: of all rounds, of all runs, of questions, scores and statistics."""

from dataclasses import replace

import numpy as np
import pytest

from aegis.hospital.ledger import Ledger
from aegis.hospital.mechanisms import multiplier_of
from aegis.hospital.node import Node
from aegis.hospital.release import Account, site_sha256
from aegis.hospital.site import VolatileMemory
from aegis.messages import Ask, Counts, Evaluate, Invite, Refusal, Scores, Settle, Train, Update
from aegis.plan import load_plan
from aegis.privacy.accounting import GaussianRelease, PoissonGaussian, epsilon_gdp, epsilon_rdp
from aegis.privacy.budget import Action
from aegis.privacy.filters import Cap, enforced_epsilon
from aegis.simulation.accounts import PUBLIC
from aegis.simulation.federation import Federation
from aegis.simulation.stacked import StackedHospitals
from aegis.store.journal import Forgetful
from aegis.tasks.bounded import Bounded
from aegis.tasks.question import Question
from aegis.wiring import federate
from tests.hospital.test_mechanisms import DELTA, ROWS, site

S4 = {
    "task": "breast_cancer",
    "trust": "open",
    "training.solver": "sgd",
    "model.name": "logistic",
    "privacy.mechanism": "local_update",
    "federated.num_rounds": "10",
}
ROUNDS = 10


def plan_of(epsilon, **more):
    """The fourth document's settings, through its own variables."""
    said = {"DP_EPSILON": epsilon, "DP_CLIP_NORM": "1.0"}
    return load_plan(None, {**S4, **more}, said).plan


class Hospital:
    """One data set with its ledger, and the node that answers for it."""

    def __init__(self, folder, total=None):
        self.site = site()
        parts = [self.site.train, self.site.validation, self.site.test]
        self.ledger = Ledger.open(folder / "ledger.db", site_sha256(parts))
        self.heard = []
        policy = replace(
            PUBLIC, epsilon_total=total, scores="noisy", score_epsilon=0.2, demonstration=False
        )
        account = Account(self.ledger, Cap(100.0, DELTA))
        advised = lambda *told: self.heard.append(told[2].action)  # noqa: E731
        self.node = Node(self.site, account=account, policy=policy, advised=advised)
        self.text = Bounded.of(self.site.schema).to_json()

    def invite(self, plan, run="run"):
        return self.node.answer(Invite(run, plan.sha256, plan.to_json()))

    def train(self, plan, round, run="run"):
        weights = np.full(6, 0.1 * round)
        rate = plan.training.learning_rate
        asked = Train(run, plan.sha256, round, weights, rate, 3 * ROWS, 3, self.text)
        return self.node.answer(asked)

    def score(self, plan, round, run="run"):
        weights = np.full(6, 0.1 * round)
        return self.node.answer(Evaluate(run, plan.sha256, round, weights, "test", self.text))

    def ask(self, plan, epsilon, text="", run="run"):
        asked = Question("count", where=text).to_json()
        return self.node.answer(Ask(run, plan.sha256, asked, epsilon, DELTA))


@pytest.fixture
def hospital(tmp_path):
    found = Hospital(tmp_path)
    yield found
    found.ledger.close()


def test_dp_epsilon_is_spent_once_in_a_run_and_not_in_each_round(hospital):
    plan = plan_of("1.0")
    hospital.invite(plan)
    replies = [hospital.train(plan, round) for round in range(1, ROUNDS + 1)]
    assert all(isinstance(reply, Update) for reply in replies)
    events = hospital.ledger.events()
    assert len(events) == ROUNDS
    assert 0.99 < epsilon_gdp(events, DELTA) <= 1.0
    assert epsilon_gdp(events[:1], DELTA) < 0.35
    assert isinstance(hospital.train(plan, ROUNDS + 1), Refusal)
    assert len(hospital.ledger.events()) == ROUNDS


def test_a_second_run_spends_from_the_same_total_and_then_the_hospital_abstains(tmp_path):
    hospital = Hospital(tmp_path, total=1.3)
    plan = plan_of("1.0")
    sent = 0
    for run in ("one", "two", "three"):
        hospital.invite(plan, run)
        for round in range(1, ROUNDS + 1):
            reply = hospital.train(plan, round, run)
            sent += isinstance(reply, Update)
            assert len(hospital.ledger.events()) == sent
    assert ROUNDS < sent < 3 * ROUNDS
    assert enforced_epsilon(hospital.ledger.events(), DELTA) <= 1.3
    assert isinstance(reply, Refusal)
    assert "is spent" in reply.reason
    assert hospital.heard[-1] is Action.EXCLUDE
    hospital.ledger.close()


def test_questions_leave_less_for_training_and_scores_wait_for_it(tmp_path):
    costs = {}
    for asked in (False, True):
        folder = tmp_path / str(asked)
        folder.mkdir()
        hospital = Hospital(folder, total=1.2)
        plan = plan_of("1.0")
        hospital.invite(plan)
        if asked:
            for text in ("a > 0", "b > 0", "d > 0"):
                assert isinstance(hospital.ask(plan, 0.5, text), Counts)
            assert isinstance(hospital.score(plan, 0), Refusal)
        replies = [hospital.train(plan, round) for round in range(1, ROUNDS + 1)]
        training = hospital.ledger.events("run")
        costs[asked] = epsilon_rdp(training, DELTA) if training else 0.0
        everything = hospital.ledger.events()
        assert len(everything) == len(training) + 3 * asked
        assert enforced_epsilon(everything, DELTA) <= 1.2
        assert all(isinstance(reply, Update | Refusal) for reply in replies)
        hospital.ledger.close()
    assert costs[True] < 0.9 * costs[False]


def test_settling_a_run_drops_its_scores_too_and_nothing_of_another_run_or_of_questions(hospital):
    plan = plan_of("1.0")
    for run in ("one", "two"):
        hospital.invite(plan, run)
        assert isinstance(hospital.train(plan, 1, run), Update)
        assert isinstance(hospital.score(plan, 1, run), Scores)
    first = hospital.ask(plan, 0.5, "a > 0", "one")
    hospital.node.answer(Settle("one", plan.sha256, 1))
    assert isinstance(hospital.score(plan, 1, "one"), Refusal)
    assert isinstance(hospital.train(plan, 1, "one"), Refusal)
    assert isinstance(hospital.score(plan, 1, "two"), Scores)
    assert isinstance(hospital.train(plan, 1, "two"), Update)
    again = hospital.ask(plan, 0.5, "a > 0", "two")
    assert again.cells.tolist() == first.cells.tolist()
    assert len(hospital.ledger.events()) == 5


def test_dp_epsilon_of_zero_gives_the_model_of_the_plan_without_noise_to_the_last_bit(tmp_path):
    keys = {**S4, "federated.num_rounds": "3", "privacy.mechanism": "none"}
    models = []
    for said in ({}, {"DP_EPSILON": "0"}, {"DP_EPSILON": "0.0", "DP_CLIP_NORM": "1.0"}):
        plan = load_plan(
            None, {**keys, "privacy.enabled": "false"} if not said else keys, said
        ).plan
        federation = Federation.of(plan, None)
        nodes = federation.nodes(VolatileMemory(), tmp_path / str(len(models)))
        assert all(node.account is None for node in nodes.values())
        final = federate(federation.study, "run", StackedHospitals(nodes), Forgetful())
        models.append(final.progress.weights)
    assert np.array_equal(models[0], models[1])
    assert np.array_equal(models[0], models[2])


def test_the_first_documents_budget_is_a_total_that_ends_the_run(hospital):
    """Budget 50 with multiplier .8: so many rounds as fit, the last of them within it, none after.
    Their own engine kept its noise and went on."""
    keys = {
        "privacy.mechanism": "dp_sgd",
        "privacy.noise_multiplier": "0.8",
        "training.batch_size": "64",
        "training.learning_rate": "0.01",
        "training.local_epochs": "2",
        "federated.num_rounds": "2000",
    }
    plan = plan_of("50.0", **keys)
    hospital.invite(plan)
    done = [PoissonGaussian(0.8, 64 / ROWS, 4)] * 7
    for number, event in enumerate(done):
        hospital.ledger.reserve("run", number - 1000, "train", event, Cap(1e4, DELTA))
    spent = epsilon_rdp(done, DELTA)
    assert 25 < spent < 50
    reply = hospital.train(plan, 1)
    assert isinstance(reply, Update)
    [used] = [e for e in hospital.ledger.events("run") if multiplier_of(e) != 0.8]
    assert multiplier_of(used) > 0.8
    assert hospital.heard == [Action.INCREASE_NOISE]
    assert epsilon_rdp([*done, *[used] * 2000], DELTA) <= 50.0 * (1 + 1e-9)


def test_what_was_spent_before_is_not_forgotten_by_a_new_process(tmp_path):
    plan = plan_of("1.0")
    first = Hospital(tmp_path, total=0.6)
    first.invite(plan)
    sent = [first.train(plan, round) for round in range(1, 4)]
    first.ledger.close()
    again = Hospital(tmp_path, total=0.6)
    again.invite(plan, "later")
    more = [again.train(plan, round, "later") for round in range(1, ROUNDS + 1)]
    assert sum(isinstance(reply, Update) for reply in sent) == 3
    assert all(isinstance(event, GaussianRelease) for event in again.ledger.events())
    assert enforced_epsilon(again.ledger.events(), DELTA) <= 0.6
    assert any(isinstance(reply, Update) for reply in more)
    assert len(again.ledger.events("run")) == 3
    again.ledger.close()
