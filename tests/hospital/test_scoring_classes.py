"""What a policy lets out of scores of more than two classes."""

import math

import numpy as np
import pytest

from aegis.evaluation.classes import fault_of_counts, from_judged, judged
from aegis.evaluation.histogram import score
from aegis.evaluation.metrics import metrics
from aegis.evaluation.whole import together, whole
from aegis.hospital.ledger import Ledger
from aegis.hospital.policy import Policy
from aegis.hospital.release import Account
from aegis.hospital.scoring import _noisy_classes, released_scores
from aegis.messages import Evaluate, Refusal, Scores
from aegis.privacy.filters import Cap
from aegis.privacy.gaussian import gaussian_sigma
from aegis.privacy.noise import SystemNoise
from tests.evaluation.test_classes import patients

REQUEST = Evaluate("run", "plan", 1, np.zeros(1), "test")


@pytest.fixture
def account(tmp_path):
    ledger = Ledger.open(tmp_path / "a.db", "rows")
    yield Account(ledger, Cap(10.0, 1e-5))
    ledger.close()


def released(policy, account=None, noise=None, rows=400, **more):
    tableau, loss = score(*patients(5, rows))
    noise = noise or SystemNoise().gaussian_on_grid
    return tableau, released_scores(REQUEST, "a", tableau, loss, policy, account, noise, **more)


def test_a_shared_tableau_leaves_as_it_is():
    tableau, reply = released(Policy(scores="shared"))
    assert isinstance(reply, Scores)
    assert np.array_equal(reply.histogram, tableau)
    assert reply.examples == 400


def test_a_summed_tableau_leaves_in_a_sealed_sum_only():
    assert isinstance(released(Policy(scores="summed"))[1], Refusal)
    assert isinstance(released(Policy(scores="summed"), sealed=True)[1], Scores)


def test_noisy_scores_keep_accuracy_and_tell_nothing_of_bins(account):
    policy = Policy(scores="noisy", score_epsilon=2.0, epsilon_cap=8.0)
    tableau, reply = released(policy, account, rows=3000)
    assert isinstance(reply, Scores)
    assert reply.loss_sum is None
    assert reply.examples == 3000
    assert fault_of_counts(reply.histogram, 5, reply.examples, noisy=True) is None
    exact, noisy = metrics(tableau, None), metrics(whole(reply.histogram), None)
    for name in ("accuracy", "balanced_accuracy", "top_3_accuracy"):
        assert noisy[name] == pytest.approx(exact[name], abs=0.05)
    assert (judged(reply.histogram) != judged(tableau)).sum() > 3  # of fifteen counts
    assert noisy["auc"] is None


def test_noisy_scores_are_charged_once_and_then_kept(account):
    policy = Policy(scores="noisy", score_epsilon=1.0, epsilon_cap=8.0)
    first, again = released(policy, account)[1], released(policy, account)[1]
    assert np.array_equal(first.histogram, again.histogram)
    assert len(account.ledger.events("run scores")) == 1


def test_the_noise_covers_a_row_that_stands_in_two_counts(account):
    drawn = []

    def heard(sd, size):
        drawn.append((sd, size))
        return SystemNoise().gaussian_on_grid(sd, size)

    policy = Policy(scores="noisy", score_epsilon=2.0, epsilon_cap=8.0)
    _, reply = released(policy, account, heard)
    sigma = gaussian_sigma(2.0, policy.delta)
    assert drawn == [(pytest.approx(math.sqrt(2) * sigma), 18)]
    assert reply.noise_sd == drawn[0][0]
    # One row more: its class and its total, in one kind.
    fewer, more = (judged(score(*(part[:n] for part in patients(5, 100)))[0]) for n in (99, 100))
    both = np.vstack([more - fewer, (more - fewer).sum(axis=0)])
    assert np.linalg.norm(both) == pytest.approx(math.sqrt(2))


def of_41_classes(told):
    """What 50 patients of one class become, 60 times."""
    cells = np.zeros((41, 3), dtype=np.int64)
    cells[0] = 40, 6, 4
    noise = SystemNoise._repeatable_for_tests(bytes(32)).gaussian_on_grid
    sigma = gaussian_sigma(1.0, 1e-5)
    spread = math.sqrt(2) * sigma
    return sigma, [_noisy_classes(cells, spread, noise, told) for _ in range(60)]


def test_noise_makes_no_patients_out_of_empty_classes():
    """Cut off at nought one by one, 41 classes of nobody would become dozens of patients."""
    sigma, found = of_41_classes(None)
    totals = np.array([one.sum() for one in found])
    assert totals.mean() == pytest.approx(50, abs=4 * math.sqrt(6 / 60) * sigma)
    shown = [judged(whole(from_judged(one))) for one in found]
    assert [one.sum() for one in shown] == np.maximum(totals, 0).tolist()
    assert all((one >= 0).all() for one in shown)


def test_the_classes_of_test_rows_add_up_to_them_and_what_is_right_has_no_bias():
    sigma, found = of_41_classes(50)
    assert {one.sum() for one in found} == {50}
    assert (np.stack(found) < 0).any()
    right = np.array([one[:, 0].sum() for one in found])
    assert right.mean() == pytest.approx(40, abs=4 * math.sqrt(4 / 3 / 60) * sigma)
    accuracy = metrics(together([from_judged(one) for one in found], True), None)["accuracy"]
    assert accuracy == pytest.approx(right.mean() / 50)
