"""Shuffles and batches: counted, keyed, the same for every engine."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from aegis.errors import BadInput
from aegis.tasks.models import Perceptron
from aegis.training.trainer import Settings, as_steps, batches, order, shuffle_key
from tests.training.jobs import jobs

KEYS = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4)


@given(keys=KEYS, rows=st.integers(1, 80))
@hypothesis_settings(max_examples=200)
def test_every_order_is_a_permutation(keys, rows):
    found = order(np.array(keys, np.uint64), rows)
    assert found.shape == (len(keys), rows)
    assert (np.sort(found, axis=1) == np.arange(rows)).all()


@given(keys=KEYS, counts=st.lists(st.integers(1, 40), min_size=4, max_size=4))
@hypothesis_settings(max_examples=200)
def test_orders_of_several_lengths_are_those_of_each_alone(keys, counts):
    keys = np.array(keys, np.uint64)
    counts = np.array(counts[: len(keys)], np.intp)
    together = order(keys, 48, counts)
    for key, count, found in zip(keys, counts, together, strict=True):
        assert (found[:count] == order(np.array([key]), int(count))[0]).all()


def test_another_seed_round_epoch_or_hospital_shuffles_differently():
    names = [(1, 0, 0, "a"), (2, 0, 0, "a"), (1, 1, 0, "a"), (1, 0, 1, "a"), (1, 0, 0, "b")]
    orders = {tuple(order(np.array([shuffle_key(*name)]), 40)[0]) for name in names}
    assert len(orders) == len(names)


def test_a_shuffle_is_fair_to_every_row_and_place():
    found = order(np.arange(6000, dtype=np.uint64), 6)
    counts = np.array([np.bincount(found[:, place], minlength=6) for place in range(6)])
    expected, free = 1000, 25
    assert ((counts - expected) ** 2 / expected).sum() < free + 5 * np.sqrt(2 * free)


def test_batches_cover_every_row_once_an_epoch():
    job = jobs(Perceptron(3), Settings(batch_size=32, local_epochs=3), (75,))[0]
    found = batches(job)
    assert [len(rows) for rows in found] == [32, 32, 11] * 3
    for epoch in range(3):
        rows = np.concatenate(found[3 * epoch : 3 * epoch + 3])
        assert (np.sort(rows) == np.arange(75)).all()
    assert not (found[0] == found[3]).all()


def test_local_steps_replace_epochs():
    few, many = (
        batches(jobs(Perceptron(3), Settings(batch_size=4, local_steps=steps), (10,))[0])
        for steps in (2, 7)
    )
    assert (len(few), len(many)) == (2, 7)
    assert all((a == b).all() for a, b in zip(few, many, strict=False))


def test_a_hospital_without_rows_has_no_batch():
    assert batches(jobs(Perceptron(3), Settings(local_steps=5), (0,))[0]) == []


def test_newton_takes_no_steps():
    with pytest.raises(BadInput, match="newton takes no steps"):
        as_steps(Settings(solver="newton"))
