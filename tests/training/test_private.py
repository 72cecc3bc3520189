"""The private engine against the formulas, against Opacus, and against what it promises."""

import itertools
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import BadInput
from aegis.privacy.dpsgd import (
    ROUNDING_ROOM,
    DpSgd,
    clip_factors,
    clipped_sum,
    per_sample_norms,
    perceptron_errors,
    poisson_batches,
)
from aegis.privacy.noise import SystemNoise
from aegis.tasks.models import Perceptron
from aegis.training import private, trainer_for
from aegis.training.batched import StackedTrainer
from aegis.training.private import PrivateTrainer
from aegis.training.trainer import Settings
from tests.training.jobs import furthest, jobs

MODEL = Perceptron(7, (16, 8, 4))
LINEAR = Perceptron(7)
KEY = bytes(32)


class Silent(SystemNoise):
    """NOT PRIVATE: coins that repeat, and no noise."""

    def __init__(self, key=KEY):
        super().__init__()
        self._rekey(key)

    def add_gaussian_on_grid(self, sums, sd):
        np.trunc(sums, out=sums)


class Scripted(Silent):
    """NOT PRIVATE: at each toss everybody joins, or nobody, as told."""

    def __init__(self, everybody):
        super().__init__()
        self.everybody = list(everybody)

    def bits(self, count):
        joins = self.everybody.pop(0)
        return np.full(count, 0 if joins else 2**64 - 1, np.uint64)


def privately(job, clip=1.0, multiplier=1.0, rate=None):
    settings_, rows = job.settings, len(job.labels)
    steps = settings_.local_steps or settings_.local_epochs * -(-rows // settings_.batch_size)
    rate = min(1.0, settings_.batch_size / rows) if rate is None else rate
    return replace(job, private=DpSgd(clip, multiplier, rate, steps))


def by_formula(job, coins):
    """The job's steps without noise, batch after batch, with the functions of the privacy room."""
    mechanism, weights = job.private, job.weights.astype(float)
    index, holds = poisson_batches(len(job.labels), mechanism.sampling_rate, mechanism.steps, coins)
    for rows, there in zip(index, holds, strict=True):
        tensors = list(job.model.tensors(weights).values())
        layers = list(zip(tensors[::2], tensors[1::2], strict=True))
        signals, errors = perceptron_errors(layers, job.design[rows], job.labels[rows])
        factors = clip_factors(per_sample_norms(signals, errors), mechanism.clip) * there
        total = [part.ravel() for pair in clipped_sum(signals, errors, factors) for part in pair]
        mean = np.concatenate(total) / mechanism.expected_batch(len(job.labels))
        weights = weights - job.learning_rate * mean
    return weights - job.weights


@pytest.mark.parametrize("model", [MODEL, LINEAR, Perceptron(7, (8,))])
@pytest.mark.parametrize("batch_size", [4, 32])
def test_the_steps_are_those_of_the_formulas(model, batch_size):
    chosen = Settings(batch_size=batch_size, local_epochs=2)
    for job in jobs(model, chosen, learning_rate=0.5):
        job = privately(job, clip=0.3)
        found = PrivateTrainer(Silent(), np.float64).train(job)
        assert found.steps == job.private.steps
        assert np.abs(found.vector - by_formula(job, Silent())).max() < 1e-5
        assert found.vector.any()


@pytest.mark.parametrize("model", [MODEL, LINEAR])
def test_a_stack_is_the_same_as_each_hospital_by_itself(model):
    chosen = Settings(local_epochs=3, batch_size=256)  # everybody joins every batch
    given_jobs = [
        privately(job, clip=0.1 * (1 + n % 3), multiplier=1 + n)
        for n, job in enumerate(jobs(model, chosen, learning_rate=0.3))
    ]
    together = PrivateTrainer(Silent(), np.float64).train_many(given_jobs)
    alone = [PrivateTrainer(Silent(), np.float64).train(job) for job in given_jobs]
    assert furthest(together, alone) < 1e-9
    for found, job in zip(together, given_jobs, strict=True):
        assert np.abs(found.vector - by_formula(job, Silent())).max() < 1e-5


@pytest.mark.parametrize(
    "chosen",
    [
        Settings(momentum=0.9),
        Settings(optimizer="adam"),
        Settings(weight_decay=0.1, l2=3.0),
        Settings(proximal_mu=0.5),
    ],
    ids=["momentum", "adam", "decay", "proximal"],
)
@pytest.mark.parametrize("corrected", [False, True])
def test_what_follows_the_gradient_is_as_in_ordinary_training(chosen, corrected):
    chosen = replace(chosen, batch_size=256, local_epochs=4)
    given_jobs = jobs(MODEL, chosen, learning_rate=0.01, corrected=corrected)
    loose = [privately(job, clip=50.0) for job in given_jobs]
    found = PrivateTrainer(Silent(), np.float64).train_many(loose)
    expected = StackedTrainer(np.float64).train_many(given_jobs)
    apart = [np.abs(a.vector - b.vector) for a, b in zip(found, expected, strict=True)]
    # Adam makes a whole step of a gradient that the grid may take away.
    assert np.quantile(apart, 0.98 if chosen.optimizer == "adam" else 1.0) < 1e-4
    assert min(np.abs(one.vector).max() for one in expected) > 5e-4


def one_record(model, rng, size):
    weights = rng.normal(0, size, model.size)
    design = rng.normal(0, 1, (1, model.inputs)) * rng.exponential(3)
    job = jobs(model, Settings(), (1,), learning_rate=1.0)[0]
    return replace(job, weights=weights, design=design, labels=rng.integers(0, 2, 1))


@given(
    st.integers(0, 2**32),
    st.sampled_from([LINEAR, MODEL]),
    st.floats(1e-3, 100),
    st.floats(0.01, 30),
)
@settings(max_examples=200, deadline=None)
def test_no_record_moves_a_step_by_more_than_the_clip(seed, model, clip, size):
    job = privately(one_record(model, np.random.default_rng(seed), size), clip=clip)
    found = PrivateTrainer(Silent(), np.float64).train(job)
    assert np.linalg.norm(found.vector) <= clip * (1 + 1e-6)


@given(st.integers(0, 2**32), st.sampled_from([3, 40, 300]), st.sampled_from([LINEAR, MODEL]))
@settings(max_examples=200, deadline=None)
def test_one_record_more_changes_the_sum_by_no_more_than_the_clip(seed, rows, model):
    """In the model's own precision, sums of many rows and rounding onto the grid included."""
    rng = np.random.default_rng(seed)
    design = rng.normal(0, 2, (rows + 1, model.inputs))
    labels = rng.integers(0, 2, rows + 1)
    kind = jobs(model, Settings(batch_size=rows + 1), (1,), learning_rate=1.0)[0]
    kind = replace(kind, weights=np.zeros(model.size, model.dtype))
    sums = []
    for count in (rows, rows + 1):
        job = replace(kind, design=design[:count], labels=labels[:count])
        # From zero weights, a step is the sum itself, to the last bit but one.
        found = PrivateTrainer(Silent()).train(privately(job, clip=0.25, rate=1.0))
        sums.append(found.vector.astype(float) * count)
    assert np.linalg.norm(sums[1] - sums[0]) <= 0.25 * (1 + 1e-6)
    assert np.linalg.norm(sums[1] - sums[0]) > 0.05


def test_the_noise_is_what_the_mechanism_says():
    chosen = Settings(batch_size=256)
    multipliers = (0.5, 1.0, 4.0)
    given_jobs = [
        privately(job, clip=0.2, multiplier=multiplier)
        for job, multiplier in zip(
            jobs(Perceptron(7, (64, 32)), chosen, (60, 80, 100), learning_rate=0.5),
            multipliers,
            strict=True,
        )
    ]
    silent = PrivateTrainer(Silent(), np.float64).train_many(given_jobs)
    for _ in range(2):
        noisy = PrivateTrainer(dtype=np.float64).train_many(given_jobs)
        for job, one, other in zip(given_jobs, noisy, silent, strict=True):
            noise = (one.vector - other.vector) / (0.5 / len(job.labels))
            assert noise.std() == pytest.approx(job.private.noise_sd, rel=0.06)
            assert abs(noise.mean()) < 5 * job.private.noise_sd / np.sqrt(len(noise))


def test_noise_is_drawn_anew_in_every_step():
    job = privately(jobs(LINEAR, Settings(batch_size=256, local_steps=400), (64,))[0], 1e-3, 5.0)
    one = PrivateTrainer().train(job).vector - PrivateTrainer(Silent()).train(job).vector
    one_step = job.private.noise_sd * job.learning_rate / 64
    assert np.sqrt((one**2).mean()) == pytest.approx(one_step * 20, rel=0.6)


def test_neither_noise_nor_batches_follow_the_experiments_seed():
    given_jobs = [privately(job) for job in jobs(MODEL, Settings(batch_size=8))]
    first, second = (trainer_for(MODEL, private=True).train_many(given_jobs) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert (one.vector != other.vector).mean() > 0.99
    loud = [privately(job, multiplier=1e-5) for job in jobs(MODEL, Settings(batch_size=8))]
    first, second = (PrivateTrainer().train_many(loud) for _ in range(2))
    assert furthest(first, second) > 1e-3


def test_an_empty_batch_is_a_noisy_step_like_any_other():
    job = privately(jobs(MODEL, Settings(batch_size=1, local_steps=3), (50,))[0], rate=1e-9)
    found = PrivateTrainer().train(job)
    assert found.steps == 3
    assert np.abs(found.vector).min() > 0
    assert not PrivateTrainer(Silent()).train(job).vector.any()


def test_windows_of_steps_and_widths_of_batches_change_nothing(monkeypatch):
    monkeypatch.setattr(private, "_WINDOW", 1)
    chosen = Settings(batch_size=20)
    short, longer = (privately(job) for job in jobs(MODEL, chosen, (20, 40), learning_rate=0.5))
    told = Scripted([True, False])  # all rows in the first step, nobody in the second
    found = PrivateTrainer(told, np.float64).train_many([short, longer])
    assert [one.steps for one in found] == [1, 2]
    for one, job in zip(found, (short, longer), strict=True):
        mean = replace(job, private=replace(job.private, sampling_rate=1.0, steps=1))
        share = mean.private.expected_batch(len(job.labels)) / job.private.expected_batch(
            len(job.labels)
        )
        assert np.abs(one.vector - share * by_formula(mean, Silent())).max() < 1e-5


def test_dropped_units_are_secret_and_of_the_planned_share():
    model = Perceptron(7, (64, 32), (0.5, 0.0))
    job = privately(jobs(model, Settings(batch_size=256), (40,), learning_rate=1.0)[0], clip=5.0)
    one, other = (PrivateTrainer(Silent(key)).train(job) for key in (bytes(32), bytes(31) + b"1"))
    assert np.abs(one.vector - other.vector).max() > 1e-3
    assert np.isfinite(one.vector).all()
    masks = PrivateTrainer()._masks(model, 3, 48, np.dtype(np.float32))
    assert masks[1] is None
    assert masks[0].shape == (3, 64, 48)
    assert set(np.unique(masks[0])) == {0.0, 2.0}
    assert (masks[0] > 0).mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("size", [1e30, np.inf, np.nan])
def test_weights_beyond_all_bounds_leave_noise_alone(size):
    """A row whose gradient has no length counts as absent; nothing of it may be seen."""
    job = jobs(MODEL, Settings(batch_size=64), (40,), dtype=np.float32)[0]
    weights = job.weights.copy()
    weights[:50] = size
    given_jobs = [privately(replace(job, weights=weights), clip=1.0)]
    found = PrivateTrainer(Silent()).train_many(given_jobs)[0].vector
    finite = np.isfinite(weights)
    assert np.abs(found[finite]).max() <= job.learning_rate


def test_the_charge_and_the_steps_must_agree():
    job = privately(jobs(MODEL, Settings(batch_size=8), (40,))[0])
    fewer = replace(job, private=replace(job.private, steps=3))
    with pytest.raises(BadInput, match="charged for 3 steps; the plan makes it take 5"):
        PrivateTrainer().train(fewer)
    with pytest.raises(BadInput, match="says nothing of its privacy"):
        PrivateTrainer().train(replace(job, private=None))


def test_the_answer_names_its_mechanism_and_measures_no_loss():
    given_jobs = [privately(job, multiplier=2 + n) for n, job in enumerate(jobs(MODEL))]
    found = PrivateTrainer().train_many(given_jobs)
    assert [one.private for one in found] == [job.private for job in given_jobs]
    assert all(np.isnan(one.loss) for one in found)
    assert all(one.vector.dtype == np.float32 for one in found)
    assert all(one.private is None for one in trainer_for(MODEL).train_many(jobs(MODEL)))


def test_sums_of_large_batches_are_made_in_64_bits():
    kinds = {}
    for size in (32, 512):
        chosen = Settings(batch_size=size)
        job = privately(jobs(MODEL, chosen, (600,), dtype=np.float32)[0])
        cohort = PrivateTrainer()._cohort(MODEL, chosen, size, [job], np.dtype(np.float32))
        kinds[size] = cohort.table.dtype
    assert kinds == {32: np.float32, 512: np.float64}


def test_private_training_needs_no_torch():
    code = (
        "import sys, numpy as np; from tests.training.jobs import jobs;"
        "from tests.training.test_private import LINEAR, MODEL, privately;"
        "from aegis.training import trainer_for;"
        "every = [[privately(job) for job in jobs(m)] for m in (LINEAR, MODEL)];"
        "[trainer_for(one[0].model, private=True).train_many(one) for one in every];"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.engine
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("widths", "clip"), [((13, 1), 2.0), ((13, 64, 32, 16, 1), 5.0)])
def test_a_step_without_noise_is_that_of_opacus(widths, clip):
    import torch
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer

    model = Perceptron(widths[0], widths[1:-1])
    job = jobs(model, Settings(batch_size=64), (50,), learning_rate=0.5)[0]
    job = privately(job, clip=clip)
    ours = PrivateTrainer(Silent(), np.float64).train(job).vector
    parts = []
    for number, (i, o) in enumerate(itertools.pairwise(widths)):
        parts += [torch.nn.Linear(i, o), *([torch.nn.ReLU()] if number < len(widths) - 2 else [])]
    net = torch.nn.Sequential(*parts).double()
    torch.nn.utils.vector_to_parameters(torch.tensor(job.weights), net.parameters())
    net = GradSampleModule(net)
    optimizer = DPOptimizer(
        torch.optim.SGD(net.parameters(), lr=0.5),
        noise_multiplier=0.0,
        max_grad_norm=clip * (1 - ROUNDING_ROOM),
        expected_batch_size=50,
    )
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    labels = torch.tensor(job.labels).double()
    loss(net(torch.tensor(job.design))[:, 0], labels).backward()
    norms = torch.cat([p.grad_sample.reshape(50, -1) for p in net.parameters()], 1).norm(dim=1)
    assert 5 < int((norms > clip).sum()) < 50
    optimizer.step()
    theirs = torch.cat([p.detach().reshape(-1) for p in net.parameters()]).numpy() - job.weights
    assert np.abs(ours - theirs).max() < 1e-6
    assert np.abs(ours).max() > 1e-3
