import numpy as np

from aegis.training.dropout import dropout_key, kept

KEYS = np.array([dropout_key(16, 1, name) for name in ("a", "b")])


def test_about_one_minus_the_rate_is_kept():
    mask = kept(KEYS, 0, 0, 1000, 50, 0.3)
    assert mask.shape == (2, 1000, 50)
    spread = np.sqrt(0.3 * 0.7 / 50_000)
    assert np.abs(mask.mean(axis=(1, 2)) - 0.7).max() < 5 * spread


def test_a_short_batch_sees_the_first_rows_of_a_full_one():
    assert (kept(KEYS, 4, 1, 32, 7, 0.5)[:, :5] == kept(KEYS, 4, 1, 5, 7, 0.5)).all()


def test_steps_layers_rounds_and_hospitals_drop_different_units():
    masks = [
        kept(KEYS[:1], 0, 0, 8, 8, 0.5),
        kept(KEYS[1:], 0, 0, 8, 8, 0.5),
        kept(KEYS[:1], 1, 0, 8, 8, 0.5),
        kept(KEYS[:1], 0, 1, 8, 8, 0.5),
        kept(np.array([dropout_key(16, 2, "a")]), 0, 0, 8, 8, 0.5),
    ]
    assert len({mask.tobytes() for mask in masks}) == len(masks)


def test_neighbouring_steps_are_not_related():
    one, next_one = (kept(KEYS, step, 0, 100, 100, 0.5)[0].ravel() for step in (0, 1))
    assert abs(np.corrcoef(one, next_one)[0, 1]) < 0.05
