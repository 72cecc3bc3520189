"""What leaves of a histogram where a policy lets out noisy scores only."""

from __future__ import annotations

import numpy as np
import pytest

from aegis.evaluation.classes import fault_of_counts
from aegis.evaluation.histogram import WIDEST, score
from aegis.evaluation.whole import kinds
from aegis.hospital.ledger import Ledger
from aegis.hospital.policy import Policy
from aegis.hospital.release import Account
from aegis.hospital.scoring import released_scores
from aegis.messages import Evaluate, Refusal, Scores
from aegis.privacy.filters import Cap
from aegis.privacy.noise import SystemNoise

POLICY = Policy(scores="noisy", score_epsilon=0.1, epsilon_cap=1000.0)


@pytest.fixture
def account(tmp_path):
    ledger = Ledger.open(tmp_path / "a.db", "rows")
    yield Account(ledger, Cap(1000.0, 1e-5))
    ledger.close()


def released(account, part, times=80, rows=40):
    """As often scored, in as many rounds, of 40 patients of whom 34 are told right."""
    ill = np.arange(rows) < rows * 0.4
    wrong = np.arange(rows) % 20 < 3
    histogram, loss = score(np.where(ill != wrong, 1.0, -1.0), ill.astype(np.int64))
    noise = SystemNoise._repeatable_for_tests(bytes(32)).gaussian_on_grid
    return kinds(histogram), [
        released_scores(
            Evaluate("run", "plan", round, np.zeros(1), part),
            *("a", histogram, loss, POLICY, account, noise),
        )
        for round in range(times)
    ]


def test_noisy_counts_of_test_rows_are_signed_unbiased_and_add_up(account):
    exact, replies = released(account, "test")
    assert all(isinstance(reply, Scores) for reply in replies)
    counts = np.stack([kinds(reply.histogram) for reply in replies])
    assert {reply.examples for reply in replies} == set(counts.sum(axis=1).tolist()) == {40}
    assert (counts < 0).mean() > 0.2
    sd = replies[0].noise_sd
    assert counts.mean(axis=0) == pytest.approx(exact, abs=4 * sd / len(counts) ** 0.5)
    assert counts.std() == pytest.approx(sd, rel=0.25)
    for reply in replies:
        assert reply.loss_sum is None
        assert fault_of_counts(reply.histogram, 2, 40, noisy=True) is None


def test_of_validation_rows_their_number_is_noisy_too(account):
    _, replies = released(account, "validation")
    rows = np.array([reply.examples for reply in replies])
    assert len(set(rows.tolist())) > 40
    assert rows.mean() == pytest.approx(40, abs=4 * 2 * replies[0].noise_sd / len(rows) ** 0.5)
    assert rows.min() < 0


def test_nothing_is_charged_for_test_rows_that_are_not_there(account):
    _, (reply,) = released(account, "test", times=1, rows=0)
    assert isinstance(reply, Refusal)
    assert "nothing to tell of 0 rows" in reply.reason
    assert account.ledger.events("run scores") == []


def test_a_row_loses_no_more_than_the_widest_logit():
    _, loss = score(np.array([1e300, -1e9, 3.0]), np.array([0, 1, 1]))
    assert loss == pytest.approx(2 * WIDEST + np.log1p(np.exp(-3.0)))
    _, loss = score(np.array([[1e300, 0.0, 0.0], [0.0, 0.0, 9e9]]), np.array([1, 0]))
    assert loss == 2 * WIDEST
