"""The stacked engine against PyTorch's own loop, and against itself in other company."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from aegis.tasks.models import Perceptron
from aegis.training.batched import StackedTrainer
from aegis.training.cohort import Cohorts
from aegis.training.network import NetworkTrainer
from aegis.training.trainer import Settings, batches
from tests.training.jobs import SIZES, furthest, jobs

MODEL = Perceptron(7, (16, 8, 4))
DROPPING = Perceptron(7, (16, 8, 4), (0.3, 0.0, 0.5))
KINDS = {
    "sgd": (MODEL, Settings()),
    "momentum": (MODEL, Settings(momentum=0.9, local_epochs=3)),
    "adam": (MODEL, Settings(optimizer="adam", local_epochs=2)),
    "adam with decay": (MODEL, Settings(optimizer="adam", weight_decay=0.1, batch_size=4)),
    "proximal": (MODEL, Settings(proximal_mu=0.5, local_epochs=2, batch_size=10)),
    "ridge and decay": (MODEL, Settings(l2=3.0, weight_decay=0.01)),
    "local steps": (MODEL, Settings(local_steps=13)),
    "dropout": (DROPPING, Settings(local_epochs=2)),
    "dropout, adam": (DROPPING, Settings(optimizer="adam", local_steps=7)),
    "full batch": (MODEL, Settings(solver="gradient", l2=2.0)),
    "full batch, dropout": (DROPPING, Settings(solver="gradient")),
    "one layer": (Perceptron(7, (8,)), Settings(momentum=0.5)),
    "no layer": (Perceptron(7), Settings(optimizer="adam")),
}


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_stack_equals_the_plain_loop_in_float64(kind, corrected):
    model, settings = KINDS[kind]
    # Adam divides by what may be a rounding error, so its rate bounds how near two can be.
    rate = 0.005 if settings.optimizer == "adam" else 0.05
    given = jobs(model, settings, corrected=corrected, learning_rate=rate)
    stacked = StackedTrainer(np.float64).train_many(given)
    plain = NetworkTrainer(np.float64).train_many(given)
    assert furthest(stacked, plain) < 1e-12
    for one, other in zip(stacked, plain, strict=True):
        assert one.steps == other.steps
        assert one.loss == pytest.approx(other.loss, abs=1e-12)
        assert np.abs(one.vector).max() > 1e-4


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "adam" not in kind])
def test_the_stack_equals_the_plain_loop_in_float32(kind):
    model, settings = KINDS[kind]
    given = jobs(model, settings, dtype=np.float32)
    stacked = StackedTrainer(np.float32).train_many(given)
    assert stacked[0].vector.dtype == np.float32
    assert furthest(stacked, NetworkTrainer(np.float32).train_many(given)) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_a_hospitals_bits_do_not_depend_on_its_company(kind):
    model, settings = KINDS[kind]
    given = jobs(model, settings, dtype=np.float32)
    together = StackedTrainer().train_many(given)
    trainer = StackedTrainer()
    backwards = trainer.train_many(given[::-1])[::-1]
    some = {number: trainer.train_many(given[number::3]) for number in range(3)}
    for number, trained in enumerate(together):
        for other in (
            backwards[number],
            some[number % 3][number // 3],
            trainer.train(given[number]),
        ):
            assert other.vector.tobytes() == trained.vector.tobytes()
            assert other.loss == trained.loss


def test_more_hospitals_than_fit_side_by_side_change_nothing():
    sizes = tuple(range(20, 120))
    given = jobs(Perceptron(7, (64, 32)), sizes=sizes, dtype=np.float32)
    trainer = StackedTrainer()
    together = trainer.train_many(given)
    assert furthest(together[::9], [trainer.train(job) for job in given[::9]]) == 0


def test_repeating_gives_the_same_bits_and_another_round_gives_others():
    trainer = StackedTrainer()
    first, again, later = (
        trainer.train_many(jobs(MODEL, dtype=np.float32, round=round)) for round in (3, 3, 4)
    )
    assert furthest(first, again) == 0
    assert furthest(first, later) > 0


def test_vectors_are_rows_of_one_array_in_the_order_of_the_jobs():
    found = StackedTrainer().train_many(jobs(MODEL))
    matrix = found[0].vector.base
    assert matrix.shape == (len(SIZES), MODEL.size)
    for row, trained in zip(matrix, found, strict=True):
        assert np.shares_memory(row, trained.vector)


def test_hospitals_with_weights_rates_and_settings_of_their_own_go_together():
    kinds = [Settings(), Settings(momentum=0.9), Settings(optimizer="adam")]
    given = [
        replace(
            job,
            weights=job.weights * (1 + number / 10),
            learning_rate=0.002 * (1 + number),
            settings=kinds[number % 3],
        )
        for number, job in enumerate(jobs(MODEL))
    ]
    stacked = StackedTrainer(np.float64).train_many(given)
    assert furthest(stacked, NetworkTrainer(np.float64).train_many(given)) < 1e-12


def test_two_models_go_together():
    given = [*jobs(MODEL)[:3], *jobs(Perceptron(7))[:3]]
    stacked = StackedTrainer(np.float64).train_many(given)
    assert furthest(stacked, NetworkTrainer(np.float64).train_many(given)) < 1e-12


def test_a_hospital_without_rows_takes_no_step():
    trained = StackedTrainer().train_many(jobs(MODEL, sizes=(0, 40)))
    assert (trained[0].steps, trained[0].loss, np.abs(trained[0].vector).max()) == (0, 0.0, 0.0)
    assert trained[1].steps == 2


def test_nobody_to_train_is_nothing_trained():
    assert StackedTrainer().train_many([]) == []


def test_a_diverging_hospital_neither_warns_nor_touches_its_neighbours():
    given = jobs(MODEL, Settings(local_epochs=20), (64, 64), dtype=np.float32)
    wild = [given[0], replace(given[1], learning_rate=1e30)]
    quiet, diverged = StackedTrainer().train_many(wild)
    assert not np.isfinite(diverged.vector).all()
    assert quiet.vector.tobytes() == StackedTrainer().train(given[0]).vector.tobytes()


def test_more_rows_than_one_window_are_trained_alike():
    given = jobs(Perceptron(200, (4,)), Settings(local_epochs=3), (1700, 90))
    stacked = StackedTrainer(np.float64).train_many(given)
    assert stacked[0].steps == len(batches(given[0])) == 162
    assert furthest(stacked, NetworkTrainer(np.float64).train_many(given)) < 1e-12


def test_rows_laid_together_are_found_again_and_forgotten_with_their_hospital():
    given = jobs(MODEL)
    cohorts, dtype = Cohorts(), np.dtype(np.float32)
    one = cohorts.of(MODEL, Settings(), 32, given, dtype)
    assert cohorts.of(MODEL, Settings(), 32, given, dtype) is one
    assert cohorts.of(MODEL, Settings(), 32, given[:4], dtype) is not one
    seen = weakref.ref(one)
    del one, given
    gc.collect()
    assert seen() is None


def test_new_rows_under_an_old_address_are_noticed():
    trainer = StackedTrainer(np.float64)
    for round in range(20):
        given = jobs(MODEL, sizes=(40,), round=round)
        moved = [replace(job, design=job.design + round) for job in given]
        expected = NetworkTrainer(np.float64).train_many(moved)
        assert furthest(trainer.train_many(moved), expected) < 1e-12
        del given, moved
