from dataclasses import replace

import numpy as np
import pytest

from aegis.errors import BadInput
from aegis.privacy.dpsgd import DpSgd
from aegis.privacy.noise import SystemNoise
from aegis.tasks.models import Perceptron
from aegis.tasks.networks import Network
from aegis.tasks.networks.modules import Runner, one_logit
from aegis.training import trainer_for
from aegis.training.deep import DeepTrainer
from aegis.training.trainer import Job, Settings, batches

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.engine

SIGNAL = Network("cnn1d", (1, 16), beside=2)
IMAGE = Network("simple_cnn", (1, 8, 8))


def job(network=SIGNAL, rows=21, hospital="a", **changes):
    rng = np.random.default_rng(4)
    settings = Settings(batch_size=8, local_epochs=2)
    made = Job(
        hospital,
        16,
        2,
        network,
        network.initial(1),
        rng.normal(size=(rows, network.inputs)).astype(np.float32),
        (rng.random(rows) < 0.4).astype(np.int64),
        0.05,
        rows,
        settings,
    )
    of_settings = {k: v for k, v in changes.items() if k in Settings.__dataclass_fields__}
    others = {k: v for k, v in changes.items() if k not in of_settings}
    return replace(made, settings=replace(settings, **of_settings), **others)


def plainly(job, odds=0.0):
    """The same steps as PyTorch's users write them."""
    runner = Runner(job.model)
    runner.load(job.weights)
    settings = job.settings
    start = [p.detach().clone() for p in runner.parameters]
    if settings.optimizer == "adam":
        optimizer = torch.optim.Adam(runner.parameters, job.learning_rate)
    else:
        momentum = settings.momentum
        optimizer = torch.optim.SGD(runner.parameters, job.learning_rate, momentum=momentum)
    rows, labels = torch.from_numpy(job.design), torch.from_numpy(job.labels).float()
    for index in batches(job):
        optimizer.zero_grad()
        logits = one_logit(runner.forward(rows[index])) + odds
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels[index])
        pull = sum(((p - s) ** 2).sum() for p, s in zip(runner.parameters, start, strict=True))
        (loss + settings.proximal_mu / 2 * pull).backward()
        optimizer.step()
    ends = [p.detach().contiguous().numpy().ravel() for p in runner.parameters]
    return np.concatenate(ends) - job.weights


@pytest.mark.parametrize("network", [SIGNAL, IMAGE], ids=lambda n: n.name)
@pytest.mark.parametrize(
    "changes", [{}, {"momentum": 0.9}, {"optimizer": "adam"}, {"proximal_mu": 0.5}], ids=str
)
def test_a_hospital_takes_the_steps_that_anybody_would(network, changes):
    this = job(network, **changes)
    found = DeepTrainer().train(this)
    apart = np.abs(found.vector - plainly(this))
    if this.settings.optimizer == "adam":  # it divides by nearly 0 where a gradient is nearly 0
        assert np.quantile(apart, 0.98) < 1e-4
    else:
        assert apart.max() < 1e-6
    assert found.vector.dtype == np.float32
    assert found.steps == 6
    assert found.loss > 0


def test_what_is_trained_follows_from_seed_round_and_hospital_alone():
    network = replace(SIGNAL, dropout=(0.5,))
    first, other = job(network), job(network, hospital="b")
    trainer = DeepTrainer()
    alone = trainer.train(first).vector
    torch.manual_seed(99)
    together = trainer.train_many([other, first])
    assert np.array_equal(together[1].vector, alone)
    for changed in (other, replace(first, round=3), replace(first, seed=17)):
        assert not np.array_equal(trainer.train(changed).vector, alone)
    undropped = trainer.train(job(SIGNAL)).vector
    assert not np.array_equal(undropped, alone)


def test_units_are_dropped_in_training_only():
    dropping, whole = replace(SIGNAL, dropout=(0.9,)), SIGNAL
    weights, rows = SIGNAL.initial(1), job().design
    DeepTrainer().train(job(dropping))
    assert np.array_equal(dropping.logits(weights, rows), whole.logits(weights, rows))


def test_a_frozen_network_moves_its_last_layer_only():
    found = DeepTrainer().train(job(replace(IMAGE, frozen=True), momentum=0.9, l2=1.0)).vector
    tensors = IMAGE.tensors(found)
    assert tensors["head.weight"].any()
    assert not any(t.any() for name, t in tensors.items() if not name.startswith("head"))


def test_one_full_step_is_the_mean_gradient_and_a_correction_is_added_to_it():
    step = job(rows=300, solver="gradient")
    found = DeepTrainer().train(step).vector
    in_one = job(rows=300, batch_size=300, local_steps=1)
    assert np.abs(found - plainly(in_one)).max() < 1e-6
    correction = np.linspace(-1, 1, SIGNAL.size)
    corrected = DeepTrainer().train(replace(step, correction=correction)).vector
    assert np.abs(corrected - (found - 0.05 * correction)).max() < 1e-6


def test_ridge_leaves_biases_and_normalisations_alone():
    plain, ridged = (DeepTrainer().train(job(l2=l2, local_steps=1)).vector for l2 in (0.0, 21.0))
    moved = SIGNAL.tensors(ridged - plain)
    weights = SIGNAL.tensors(SIGNAL.initial(1))
    for name, difference in moved.items():
        penalised = name.endswith("weight") and "norm" not in name
        expected = -0.05 * weights[name] if penalised else 0.0
        assert np.abs(difference - expected).max() < 1e-6


def test_a_hospitals_own_odds_stand_beside_its_logits():
    this = job(IMAGE, local_odds=True, odds=0.7)
    ill = int(this.labels.sum())
    own = np.log((ill + 1) / (len(this.labels) - ill + 1)) - 0.7
    found = DeepTrainer().train(this).vector
    assert np.abs(found - plainly(this, own)).max() < 1e-6
    assert np.abs(found - plainly(this)).max() > 1e-4


def test_a_class_that_counts_twice_is_as_if_its_rows_stood_there_twice():
    once = job(rows=20, batch_size=100, local_steps=1, class_weights=(1.0, 2.0))
    twice = np.concatenate([np.arange(20), np.flatnonzero(once.labels)])
    again = replace(
        job(rows=20, batch_size=100, local_steps=1),
        design=once.design[twice],
        labels=once.labels[twice],
        learning_rate=0.05 * len(twice) / 20,
    )
    difference = DeepTrainer().train(once).vector - DeepTrainer().train(again).vector
    assert np.abs(difference).max() < 1e-6


def private(this, multiplier=1.0, clip=1.0, rate=0.5):
    return replace(this, private=DpSgd(clip, multiplier, rate, len(batches(this))))


def test_a_private_step_is_the_clipped_sum_and_noise_of_the_size_that_is_charged():
    still = job(IMAGE, rows=8, local_steps=1)
    rows = 8
    loud = private(still, multiplier=4.0, clip=0.5, rate=1.0)
    noise = SystemNoise._repeatable_for_tests(bytes(32))
    drawn = [DeepTrainer(noise).train(loud).vector for _ in range(3)]
    spread = (drawn[0] - drawn[1]).std() / np.sqrt(2)
    assert spread == pytest.approx(0.05 * 4.0 * 0.5 / rows, rel=0.03)
    mean = np.mean(drawn, axis=0)
    assert abs(mean.mean()) < 5 * spread / np.sqrt(len(mean))
    found = DeepTrainer().train(loud)
    assert found.private == loud.private
    assert np.isnan(found.loss)


def test_two_private_rounds_never_draw_the_same_noise():
    this = private(job(local_steps=1), rate=1.0)
    assert not np.array_equal(DeepTrainer().train(this).vector, DeepTrainer().train(this).vector)


def test_with_hardly_any_noise_a_private_step_is_a_plain_one():
    still = job(rows=16, batch_size=16, local_steps=1, measure_loss=False)
    found = DeepTrainer().train(private(still, multiplier=1e-4, clip=50.0, rate=1.0)).vector
    assert np.abs(found - plainly(still)).max() < 1e-4


def test_more_steps_than_were_charged_are_refused():
    this = private(job())
    with pytest.raises(BadInput, match="charged for 5 steps"):
        DeepTrainer().train(replace(this, private=DpSgd(1.0, 1.0, 0.5, 5)))


def test_own_odds_are_refused_where_no_noise_covers_them():
    with pytest.raises(BadInput, match="not covered"):
        DeepTrainer().train(private(job(IMAGE, local_odds=True)))


def test_a_hospital_without_rows_changes_nothing():
    this = job(rows=0)
    found = DeepTrainer().train(this)
    assert (found.steps, found.vector.any()) == (0, False)


def test_the_trainer_is_chosen_by_the_model():
    assert isinstance(trainer_for(SIGNAL), DeepTrainer)
    assert isinstance(trainer_for(IMAGE, private=True), DeepTrainer)
    with pytest.raises(BadInput, match="no network"):
        DeepTrainer().train(replace(job(), model=Perceptron(18)))
    with pytest.raises(BadInput, match="trained by PyTorch"):
        _ = job().perceptron
