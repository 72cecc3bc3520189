"""Noisy scores leave what the rest of the run needs: its training, and the final model's scores."""

import math

import numpy as np
import pytest

from aegis.evaluation.histogram import BINS
from aegis.hospital.grouping import Counting
from aegis.hospital.ledger import Ledger
from aegis.hospital.mechanisms import TRAIN, first_charge, planned_multiplier
from aegis.hospital.policy import Policy
from aegis.hospital.release import Account
from aegis.hospital.scoring import released_scores
from aegis.messages import Evaluate, Refusal, Scores
from aegis.plan import load_plan
from aegis.privacy.accounting import GaussianRelease, PoissonGaussian
from aegis.privacy.filters import Cap
from aegis.privacy.gaussian import gaussian_sigma, gdp_mu
from aegis.privacy.noise import SystemNoise
from tests.hospital.test_grouping import ASKED, patients

ROUNDS, DELTA = 40, 1e-5
POLICY = Policy(scores="noisy", score_epsilon=0.2, epsilon_cap=5.0)


class Data:
    """One data set that may spend ``epsilon``, and a round of training that costs all of 1.0 in
    ``ROUNDS`` rounds."""

    def __init__(self, folder, epsilon):
        self.cap = Cap(epsilon, DELTA)
        self.account = Account(Ledger.open(folder / "ledger.db", "rows"), self.cap)
        self.event = GaussianRelease(math.sqrt(ROUNDS) / gdp_mu(1.0, DELTA))

    def train(self, round):
        own = Cap(1.0, DELTA)
        return self.account.refused("run", round, TRAIN, "a", self.event, own) is None

    def score(self, round, part="validation", groups=None, **more):
        histogram = np.zeros((2, BINS), np.int64)
        histogram[0, 10], histogram[1, -10] = 30, 30
        final = groups is not None
        request = Evaluate("run", "plan", round, np.zeros(3), part, "", final)
        noise = SystemNoise().gaussian_on_grid
        left = 0 if final else ROUNDS - round
        return released_scores(
            *(request, "a", histogram, 0.0, POLICY, self.account, noise, groups), left=left, **more
        )


@pytest.fixture
def data(tmp_path):
    made = []

    def of(epsilon):
        made.append(Data(tmp_path, epsilon))
        return made[-1]

    yield of
    for one in made:
        one.account.ledger.close()


@pytest.mark.parametrize("first", [1, 4])
def test_scores_of_rounds_without_this_hospital_leave_room_for_those_with_it(data, first):
    here = data(1.0)
    trained, scored = [], 0
    for round in range(1, ROUNDS + 1):
        if round % 4 == first % 4:
            trained.append(here.train(round))
        scored += isinstance(here.score(round, first=here.event), Scores)
    assert all(trained)
    assert len(trained) == ROUNDS / 4
    assert scored > 5  # what rounds without it do not need


def test_scores_go_out_where_all_fits(data):
    here = data(2.5)
    for round in range(1, ROUNDS + 1):
        assert round % 4 or here.train(round)
        assert isinstance(here.score(round), Scores)


@pytest.fixture
def groups():
    rows, logits = patients()
    return Counting.of(ASKED, rows).counted(logits, rows.labels)


def with_room_for(data, releases):
    """Data that were trained on, and may spend so many releases of scores beside that."""
    event, rounds = GaussianRelease(math.sqrt(ROUNDS) / gdp_mu(1.0, DELTA)), ROUNDS // 2
    final = GaussianRelease(gaussian_sigma(POLICY.score_epsilon, DELTA))
    here = data(1.001 * Cap(99.0, DELTA).cost([event] * rounds + [final] * releases))
    assert all(here.train(round + 1) for round in range(rounds))
    return here


def test_counts_by_group_have_room_at_the_end(data, groups):
    here = with_room_for(data, 3)
    assert isinstance(here.score(ROUNDS - 1, groups_due=True), Refusal)
    assert isinstance(here.score(ROUNDS, groups_due=True), Scores)
    found = here.score(ROUNDS, part="test", groups=groups, groups_due=True)
    assert found.groups is not None
    assert here.cap.holds(here.account.ledger.events())


def test_the_last_round_does_not_take_what_the_final_counts_need(data, groups):
    here = with_room_for(data, 2)
    assert isinstance(here.score(ROUNDS, groups_due=True), Refusal)
    found = here.score(ROUNDS, part="test", groups=groups, groups_due=True)
    assert found.groups is not None


def test_where_no_groups_are_asked_for_nothing_is_kept_for_them(data):
    here = with_room_for(data, 2)
    assert isinstance(here.score(ROUNDS), Scores)
    assert isinstance(here.score(ROUNDS, part="test"), Scores)


def plan_of(**more):
    said = {"task": "breast_cancer", "training.solver": "sgd", "trust": "open"}
    said |= {"privacy.enabled": "true", "data.standardize": "none", "federated.num_rounds": "10"}
    return load_plan(None, said | {k.replace("__", "."): v for k, v in more.items()}).plan


def test_what_the_first_round_is_charged_follows_from_the_plan():
    steps = plan_of(privacy__mechanism="dp_sgd", training__batch_size="16")
    found = first_charge(steps, 100)
    assert isinstance(found, PoissonGaussian)
    assert (found.noise_multiplier, found.sampling_rate) == (planned_multiplier(steps, 100), 0.16)
    assert isinstance(
        first_charge(plan_of(privacy__mechanism="local_update"), 100), GaussianRelease
    )
    assert first_charge(steps, 0) is None  # it only scores
    assert first_charge(plan_of(privacy__enabled="false"), 100) is None
