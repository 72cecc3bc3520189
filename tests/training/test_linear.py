import numpy as np
import pytest

from aegis.aggregation.newton import newton_step, unpack
from aegis.errors import BadInput
from aegis.tasks.models import Perceptron
from aegis.training.linear import LinearTrainer
from aegis.training.trainer import Settings, batches
from tests.training.jobs import SIZES, furthest, jobs, logistic_by_hand, with_rows

MODEL = Perceptron(5)
SOLVED = [
    Settings(),
    Settings(momentum=0.9, local_epochs=3),
    Settings(optimizer="adam", local_epochs=2, weight_decay=0.1),
    Settings(proximal_mu=0.5, local_epochs=2, batch_size=10),
    Settings(l2=3.0, weight_decay=0.01, local_steps=40, batch_size=4),
    Settings(optimizer="adam", momentum=0.9, l2=1.0),
]


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("settings", SOLVED)
def test_mini_batches_equal_the_loop_by_hand(settings, corrected):
    given = jobs(MODEL, settings, corrected=corrected)
    found = LinearTrainer().train_many(given)
    for job, trained in zip(given, found, strict=True):
        assert np.abs(trained.vector - logistic_by_hand(job)).max() < 1e-12
        assert trained.steps == len(batches(job))
        assert np.abs(trained.vector).max() > 1e-3


@pytest.mark.parametrize("solver", ["sgd", "gradient", "newton"])
def test_one_by_one_gives_the_same_bits_as_together(solver):
    given = jobs(MODEL, Settings(solver=solver, l2=2.0))
    together = LinearTrainer().train_many(given)
    for job, trained in zip(given, together, strict=True):
        alone = LinearTrainer().train(job)
        assert alone.vector.tobytes() == trained.vector.tobytes()
        assert (alone.steps, alone.loss) == (trained.steps, trained.loss)


def _log_loss(job, w):
    z = job.design @ w[:-1] + w[-1]
    return np.logaddexp(0, np.where(job.labels == 1, -z, z)).mean()


def _objective(job, w):
    """A hospital's mean log-loss with its share of the ridge."""
    return _log_loss(job, w) + job.settings.l2 / job.total_examples / 2 * (w[:-1] ** 2).sum()


def _slopes(function, at, width=1e-6):
    """Central differences."""
    units = np.eye(len(at)) * width
    return np.array([(function(at + e) - function(at - e)) / (2 * width) for e in units])


def test_newton_sends_the_derivatives_of_the_loss():
    for job in jobs(MODEL, Settings(solver="newton", l2=2.0), (75, 1)):
        trained = LinearTrainer().train(job)
        gradient, hessian = unpack(trained.vector, MODEL.size)
        assert trained.loss == pytest.approx(_log_loss(job, job.weights), abs=1e-12)
        expected = _slopes(lambda w, job=job: _objective(job, w), job.weights)
        assert np.abs(gradient - expected).max() < 1e-8

        def its_gradient(w, job=job):
            shifted = jobs(MODEL, job.settings, (1,))[0]
            shifted = with_rows(shifted, job.design, job.labels)
            object.__setattr__(shifted, "weights", w)
            object.__setattr__(shifted, "total_examples", job.total_examples)
            return unpack(LinearTrainer().train(shifted).vector, MODEL.size)[0]

        assert np.abs(hessian - _slopes(its_gradient, job.weights)).max() < 1e-8


@pytest.mark.parametrize("solver", ["gradient", "newton"])
def test_the_weighted_mean_over_hospitals_is_the_pooled_one(solver):
    given = jobs(MODEL, Settings(solver=solver, l2=2.0))
    vectors = np.array([trained.vector for trained in LinearTrainer().train_many(given)])
    mean = np.array(SIZES) @ vectors / sum(SIZES)
    design = np.concatenate([job.design for job in given])
    labels = np.concatenate([job.labels for job in given])
    pooled = LinearTrainer().train(with_rows(given[0], design, labels))
    assert np.abs(mean - pooled.vector).max() < 1e-14


def test_newton_over_hospitals_finds_scikit_learns_fit():
    from sklearn.linear_model import LogisticRegression

    l2 = 0.7
    given = jobs(MODEL, Settings(solver="newton", l2=l2))
    weights = np.zeros(MODEL.size)
    for _ in range(10):
        for job in given:
            object.__setattr__(job, "weights", weights)
        vectors = np.array([trained.vector for trained in LinearTrainer().train_many(given)])
        weights = weights + newton_step(np.array(SIZES) @ vectors / sum(SIZES), MODEL.size)
    fit = LogisticRegression(C=1 / l2, tol=1e-12, solver="newton-cholesky", max_iter=100)
    fit.fit(np.concatenate([j.design for j in given]), np.concatenate([j.labels for j in given]))
    assert np.abs(weights - np.append(fit.coef_, fit.intercept_)).max() < 1e-7


def test_a_gradient_step_goes_downhill_by_rate_times_gradient():
    job = jobs(MODEL, Settings(solver="gradient", l2=2.0, weight_decay=0.1), (75,))[0]
    trained = LinearTrainer().train(job)
    slope = _slopes(lambda w: _objective(job, w), job.weights) + 0.1 * job.weights
    assert np.abs(trained.vector + job.learning_rate * slope).max() < 1e-9
    assert trained.steps == 1


@pytest.mark.parametrize(("solver", "size"), [("sgd", 6), ("gradient", 6), ("newton", 27)])
def test_a_hospital_without_rows_adds_nothing(solver, size):
    trained = LinearTrainer().train(jobs(MODEL, Settings(solver=solver), (0,))[0])
    assert (trained.vector.tolist(), trained.steps, trained.loss) == ([0.0] * size, 0, 0.0)


@pytest.mark.parametrize("solver", ["sgd", "gradient", "newton"])
def test_enormous_logits_neither_warn_nor_spoil_the_answer(solver):
    job = jobs(MODEL, Settings(solver=solver), (40,))[0]
    trained = LinearTrainer().train(with_rows(job, job.design * 1e6, job.labels))
    assert np.isfinite(trained.vector).all()
    assert np.isfinite(trained.loss)


def test_jobs_of_different_settings_go_together():
    mixed = [
        jobs(MODEL, settings)[number]
        for number, settings in enumerate([*SOLVED, Settings(solver="newton")])
    ]
    assert (
        furthest(LinearTrainer().train_many(mixed), [LinearTrainer().train(job) for job in mixed])
        == 0
    )


def test_newton_of_a_network_is_refused():
    with pytest.raises(BadInput, match="hidden layers"):
        LinearTrainer().train(jobs(Perceptron(5, (4,)), Settings(solver="newton"))[0])
