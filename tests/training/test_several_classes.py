"""More than two classes: softmax engines against PyTorch, scikit-learn and their formulas."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.aggregation.newton import newton_step, unpack
from aegis.errors import BadInput
from aegis.evaluation.classes import log_losses
from aegis.privacy.dpsgd import ROUNDING_ROOM, DpSgd
from aegis.tasks.models import MOST_CURVED, Perceptron
from aegis.training.batched import StackedTrainer
from aegis.training.linear import LinearTrainer
from aegis.training.network import NetworkTrainer
from aegis.training.private import PrivateTrainer
from aegis.training.trainer import Settings, batches
from tests.training.jobs import furthest, jobs
from tests.training.test_private import Silent, privately

LINEAR = Perceptron(7, outputs=4)
NETWORK = Perceptron(7, (16, 8), outputs=4)
DROPPING = Perceptron(7, (16, 8), (0.3, 0.5), outputs=4)
KINDS = {
    "linear": (LINEAR, Settings(momentum=0.9, local_epochs=2)),
    "linear, adam": (LINEAR, Settings(optimizer="adam")),
    "sgd": (NETWORK, Settings()),
    "adam": (NETWORK, Settings(optimizer="adam", local_epochs=2)),
    "proximal": (NETWORK, Settings(proximal_mu=0.5, local_epochs=2, batch_size=10)),
    "ridge": (NETWORK, Settings(l2=3.0, local_steps=13)),
    "dropout": (DROPPING, Settings(local_epochs=2)),
    "weighted": (NETWORK, Settings(class_weights=(0.5, 3.0, 1.0, 2.0))),
    "linear, weighted": (LINEAR, Settings(class_weights=(0.5, 3.0, 1.0, 2.0), l2=1.0)),
    "two classes, weighted": (Perceptron(7, (16,)), Settings(class_weights=(0.5, 3.0))),
    "full batch": (NETWORK, Settings(solver="gradient", l2=2.0)),
}


def classed(model, chosen=None, sizes=None, **more):
    """Jobs whose labels are classes."""
    given_jobs = jobs(model, chosen, **({"sizes": sizes} if sizes else {}), **more)
    rng = np.random.default_rng(9)
    return [replace(j, labels=rng.integers(0, model.classes, len(j.labels))) for j in given_jobs]


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_stack_equals_the_plain_loop(kind, corrected):
    model, chosen = KINDS[kind]
    rate = 0.005 if chosen.optimizer == "adam" else 0.05
    given_jobs = classed(model, chosen, corrected=corrected, learning_rate=rate)
    stacked = StackedTrainer(np.float64).train_many(given_jobs)
    plain = NetworkTrainer(np.float64).train_many(given_jobs)
    assert furthest(stacked, plain) < 1e-12
    for one, other, job in zip(stacked, plain, given_jobs, strict=True):
        assert one.steps == other.steps == len(batches(replace(job, settings=one_step(chosen))))
        assert one.loss == pytest.approx(other.loss, abs=1e-12)
        assert np.abs(one.vector).max() > 1e-4


def one_step(chosen):
    return replace(chosen, batch_size=2**62) if chosen.solver == "gradient" else chosen


@pytest.mark.parametrize("model", [LINEAR, NETWORK, DROPPING])
def test_a_hospital_has_the_same_bits_in_any_company(model):
    given_jobs = classed(model, Settings(local_epochs=2))
    together = StackedTrainer().train_many(given_jobs)
    for job, trained in zip(given_jobs, together, strict=True):
        alone = StackedTrainer().train(job)
        assert alone.vector.tobytes() == trained.vector.tobytes()
        assert alone.loss == trained.loss


def objective(job, weights):
    lost = log_losses(job.model.logits(weights, job.design), job.labels)
    lost = lost * np.array(job.settings.class_weights or np.ones(job.model.classes))[job.labels]
    slopes = job.model.tensors(weights)["layer0.weight"]
    return lost.mean() + job.settings.l2 / job.total_examples / 2 * (slopes**2).sum()


def slopes_of(function, at, width=1e-6):
    units = np.eye(len(at)) * width
    return np.array([(function(at + e) - function(at - e)) / (2 * width) for e in units])


@pytest.mark.parametrize(
    ("model", "weights"),
    [
        (LINEAR, ()),
        (LINEAR, (0.5, 3.0, 1.0, 2.0)),
        (Perceptron(7), (0.5, 3.0)),
    ],
)
def test_newton_sends_the_derivatives_of_the_loss(model, weights):
    for job in classed(model, Settings(solver="newton", l2=2.0, class_weights=weights), (75, 1)):
        gradient, hessian = unpack(LinearTrainer().train(job).vector, model.size)
        expected = slopes_of(lambda w, job=job: objective(job, w), job.weights)
        assert np.abs(gradient - expected).max() < 1e-8

        def its_gradient(w, job=job):
            moved = LinearTrainer().train(replace(job, weights=w)).vector
            return unpack(moved, model.size)[0]

        assert np.abs(hessian - slopes_of(its_gradient, job.weights)).max() < 1e-8


@pytest.mark.parametrize("counts", [(), (0.5, 3.0, 1.0, 2.0)])
def test_hospitals_together_end_where_scikit_learn_does(counts):
    from sklearn.linear_model import LogisticRegression

    l2 = 2.0
    chosen = Settings(solver="newton", l2=l2, class_weights=counts)
    given_jobs = classed(LINEAR, chosen, (40, 75, 130))
    weights = np.zeros(LINEAR.size)
    shares = np.array([len(job.labels) for job in given_jobs]) / given_jobs[0].total_examples
    for _ in range(12):
        found = LinearTrainer().train_many([replace(job, weights=weights) for job in given_jobs])
        mean = shares @ np.stack([trained.vector for trained in found])
        weights = weights + newton_step(mean, LINEAR.size)
    design = np.concatenate([job.design for job in given_jobs])
    labels = np.concatenate([job.labels for job in given_jobs])
    theirs = LogisticRegression(
        C=1 / l2, tol=1e-12, max_iter=10_000, class_weight=dict(enumerate(counts)) or None
    ).fit(design, labels)
    ours = LINEAR.tensors(weights)
    assert np.abs(ours["layer0.weight"] - theirs.coef_).max() < 1e-6
    # Adding one number to all biases changes no chance, so the biases are equal up to it.
    biases = [b - b.mean() for b in (ours["layer0.bias"], theirs.intercept_)]
    assert np.abs(biases[0] - biases[1]).max() < 1e-6


def test_a_curvature_too_large_to_send_is_refused_with_the_way_out():
    model = Perceptron(200, outputs=10)
    assert model.size > MOST_CURVED
    with pytest.raises(BadInput, match=r"Set training\.solver: sgd"):
        LinearTrainer().train(classed(model, Settings(solver="newton"), (5,))[0])


def row_gradient(job, row):
    """One row's own gradient, as PyTorch takes it: a plain step of one row at rate 1."""
    one = replace(
        job,
        design=job.design[row : row + 1],
        labels=job.labels[row : row + 1],
        learning_rate=1.0,
        settings=replace(job.settings, batch_size=1),
        private=None,
    )
    return -NetworkTrainer(np.float64).train(one).vector


@pytest.mark.parametrize("weights", [(), (0.1, 30.0, 1.0, 2.0)])
@pytest.mark.parametrize("model", [LINEAR, NETWORK])
def test_a_private_step_is_the_sum_of_clipped_gradients(model, weights):
    clip, rows = 0.4, 40
    chosen = Settings(batch_size=256, class_weights=weights)
    job = classed(model, chosen, (rows,), learning_rate=0.5)[0]
    found = PrivateTrainer(Silent(), np.float64).train(privately(job, clip=clip))
    each = np.stack([row_gradient(job, row) for row in range(rows)])
    lengths = np.linalg.norm(each, axis=1)
    assert (lengths > clip).any()
    expected = (each * np.minimum(1, clip / lengths)[:, None]).sum(axis=0)
    # Gradients are shortened a little further than to the clip, for what rounding may add.
    apart = np.linalg.norm(found.vector + 0.5 * expected / rows)
    assert apart <= 0.5 * clip * ROUNDING_ROOM * 1.01
    assert np.linalg.norm(found.vector) > 100 * apart


@given(
    st.integers(0, 2**32),
    st.sampled_from([LINEAR, NETWORK]),
    st.floats(1e-3, 100),
    st.floats(0.01, 30),
)
@settings(max_examples=200, deadline=None)
def test_no_record_moves_a_step_by_more_than_the_clip(seed, model, clip, size):
    rng = np.random.default_rng(seed)
    job = jobs(model, Settings(), (1,), learning_rate=1.0)[0]
    job = replace(
        job,
        weights=rng.normal(0, size, model.size),
        design=rng.normal(0, 1, (1, model.inputs)) * rng.exponential(3),
        labels=rng.integers(0, model.outputs, 1),
        private=DpSgd(clip, 1.0, 1.0, 1),
    )
    found = PrivateTrainer(Silent(), np.float64).train(job)
    assert np.linalg.norm(found.vector) <= clip * (1 + 1e-6)


@given(st.integers(0, 2**32), st.floats(0.01, 300))
@settings(max_examples=200, deadline=None)
def test_the_error_at_the_logits_is_no_longer_than_the_root_of_two(seed, size):
    """So a record x weighs at most sqrt(2) |(x, 1)| before it is clipped."""
    rng = np.random.default_rng(seed)
    job = classed(LINEAR, Settings(batch_size=1), (1,), learning_rate=1.0)[0]
    job = replace(job, weights=rng.normal(0, size, LINEAR.size))
    moved = np.linalg.norm(StackedTrainer(np.float64).train(job).vector)
    assert moved <= np.sqrt(2) * np.linalg.norm(np.append(job.design[0], 1)) * (1 + 1e-12)
