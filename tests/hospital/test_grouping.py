"""What leaves a hospital about groups of patients where its policy lets out noisy scores only."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.assurance.groups import PER_GROUP, PER_HOSPITAL, STEP, group_counts
from aegis.evaluation.histogram import BINS, HALF
from aegis.hospital.grouping import GROUPS, Counting, noisy_groups
from aegis.hospital.ledger import Ledger
from aegis.hospital.policy import Policy
from aegis.hospital.release import Account
from aegis.messages import Scores
from aegis.privacy.accounting import GaussianRelease
from aegis.privacy.filters import Cap
from aegis.privacy.gaussian import gaussian_sigma
from aegis.tasks.groups import groupings
from aegis.tasks.task import Rows, Schema

ASKED = groupings(Schema(()), ["sex", "age"])
POLICY = Policy(scores="noisy", score_epsilon=0.5, epsilon_cap=1.0)
GRID = 2.0**24


class Recorded:
    """Noise that says what it was asked for."""

    def __init__(self, value: float = 0.0) -> None:
        self.value, self.asked = value, []

    def __call__(self, sd: float, size: int) -> np.ndarray:
        self.asked.append((sd, size))
        return np.full(size, round(self.value * GRID), dtype=np.int64)


def patients(n: int = 60, seed: int = 0):
    rng = np.random.default_rng(seed)
    attributes = {"sex": rng.choice(["female", "male"], n), "age": rng.uniform(30, 80, n)}
    rows = Rows(np.zeros((n, 1)), rng.integers(0, 2, n), attributes)
    return rows, rng.normal(0, 2, n)


def scores(rows: int = 60, right: int = 40) -> Scores:
    histogram = np.zeros((2, BINS), dtype=np.int64)
    histogram[0, HALF - 1], histogram[0, HALF] = right, rows - right
    return Scores("run", 3, "a", histogram, None, rows)


@pytest.fixture
def account(tmp_path):
    ledger = Ledger.open(tmp_path / "a.db", "digest")
    yield Account(ledger, Cap(10.0, 1e-5))
    ledger.close()


def test_the_noise_covers_one_count_and_one_chance_of_each_attribute(account):
    rows, logits = patients()
    grouped = Counting.of(ASKED, rows).counted(logits, rows.labels)
    noise = Recorded()
    counts = noisy_groups(grouped, scores(), POLICY, account, noise)
    sigma = gaussian_sigma(0.5, POLICY.delta)
    assert noise.asked == [(pytest.approx(sigma * math.sqrt(2 * 2)), PER_GROUP * 8)]
    assert account.ledger.events("run scores") == [GaussianRelease(sigma)]
    assert (counts[:-PER_HOSPITAL] == grouped.counts[:-PER_HOSPITAL]).all()


def test_chances_get_the_same_noise_in_their_own_steps(account):
    rows, logits = patients()
    grouped = Counting.of(ASKED, rows).counted(logits, rows.labels)
    counts = noisy_groups(grouped, scores(), POLICY, account, Recorded(3.0))
    moved = (counts - grouped.counts)[:-PER_HOSPITAL].reshape(-1, PER_GROUP)
    assert (moved[:, :-1] == 3).all()
    assert (moved[:, -1] == round(3.0 / STEP)).all()


def test_asked_again_the_same_bytes_go_out_and_nothing_is_charged(account):
    rows, logits = patients()
    grouped = Counting.of(ASKED, rows).counted(logits, rows.labels)
    first = noisy_groups(grouped, scores(), POLICY, account, Recorded(1.0))
    again = noisy_groups(grouped, scores(), POLICY, account, Recorded(99.0))
    assert (first == again).all()
    assert len(account.ledger.events("run scores")) == 1


def test_the_hospitals_accuracy_is_that_of_its_noisy_scores(account):
    rows, logits = patients()
    grouped = Counting.of(ASKED, rows).counted(logits, rows.labels)
    counts = noisy_groups(grouped, scores(right=45), POLICY, account, Recorded())
    assert counts[-PER_HOSPITAL:].tolist() == [1, round(0.75 / STEP), round(0.5625 / STEP)]


def test_without_attributes_nothing_is_charged(account):
    rows, logits = patients()
    grouped = Counting.of((), rows).counted(logits, rows.labels)
    noise = Recorded()
    counts = noisy_groups(grouped, scores(), POLICY, account, noise)
    assert counts.shape == (PER_HOSPITAL,)
    assert noise.asked == []
    assert account.ledger.events("run scores") == []


def test_a_spent_budget_tells_nothing_of_groups(tmp_path):
    rows, logits = patients()
    grouped = Counting.of(ASKED, rows).counted(logits, rows.labels)
    ledger = Ledger.open(tmp_path / "a.db", "digest")
    spent = Account(ledger, Cap(0.2, 1e-5))
    noise = Recorded()
    assert noisy_groups(grouped, scores(), POLICY, spent, noise) is None
    assert noise.asked == []
    assert ledger.reserved("run scores", 3, GROUPS) is None
    ledger.close()


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 60), st.integers(0, 10**6), st.integers(0, 59))
def test_one_patient_moves_the_vector_by_no_more_than_the_noise_was_made_for(n, seed, who):
    rows, logits = patients(n, seed)
    who %= n
    rest = np.arange(n) != who
    places = [grouping.places(rows) for grouping in ASKED]
    whole = group_counts(places, ASKED, logits, rows.labels)
    less = group_counts([p[rest] for p in places], ASKED, logits[rest], rows.labels[rest])
    moved = (whole - less)[:-PER_HOSPITAL].reshape(-1, PER_GROUP).astype(float)
    moved[:, -1] *= STEP
    assert np.linalg.norm(moved) <= math.sqrt(2 * len(ASKED)) + 1e-6
