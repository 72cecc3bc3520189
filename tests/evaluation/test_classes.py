"""More than two classes, from counts: against scikit-learn, and as sums of hospitals' counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as theirs

from aegis.errors import BadInput, RunAborted
from aegis.evaluation.classes import (
    DRAWN,
    against_the_rest,
    called,
    examples_of,
    fault_of_counts,
    from_judged,
    judged,
    right_of,
    shape,
    without_bins,
)
from aegis.evaluation.histogram import score, score_many
from aegis.evaluation.intervals import interval
from aegis.evaluation.metrics import metrics


def patients(classes, rows, seed=0, signal=1.5):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    logits = rng.normal(size=(rows, classes))
    logits[np.arange(rows), labels] += signal
    return logits, labels


def chances_of(logits):
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("classes", [3, 5, 41])
def test_the_figures_are_those_of_scikit_learn(classes):
    logits, labels = patients(classes, 1500)
    tableau, loss = score(logits, labels)
    assert tableau.shape == shape(classes)
    found, said, chances = metrics(tableau, loss), logits.argmax(axis=1), chances_of(logits)
    assert found["examples"] == 1500
    exact = {
        "accuracy": theirs.accuracy_score(labels, said),
        "balanced_accuracy": theirs.balanced_accuracy_score(labels, said),
        "precision": theirs.precision_score(labels, said, average="macro", zero_division=0),
        "recall": theirs.recall_score(labels, said, average="macro"),
        "f1": theirs.f1_score(labels, said, average="macro"),
        "log_loss": theirs.log_loss(labels, chances),
    }
    if classes > 3:
        exact["top_3_accuracy"] = theirs.top_k_accuracy_score(labels, chances, k=3)
    for name, value in exact.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name
    truth = np.eye(classes)[labels]
    area = theirs.roc_auc_score(labels, chances, multi_class="ovr")
    assert found["auc"] == pytest.approx(area, abs=5e-4)
    precise = theirs.average_precision_score(truth, chances, average="macro")
    assert found["average_precision"] == pytest.approx(precise, abs=0.01)


@given(st.integers(3, 6), st.lists(st.integers(0, 20), min_size=1, max_size=5), st.integers(0, 99))
@settings(max_examples=200, deadline=None)
def test_the_counts_of_hospitals_add_up_to_those_of_all_rows(classes, sizes, seed):
    logits, labels = patients(classes, sum(sizes), seed)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    parts, losses = score_many(logits, labels, owner, len(sizes))
    whole, loss = score(logits, labels)
    assert np.array_equal(parts.sum(axis=0), whole)
    assert losses.sum() == pytest.approx(loss)
    assert [examples_of(part) for part in parts] == sizes
    for part, rows in zip(parts, sizes, strict=True):
        assert fault_of_counts(part, classes, rows) is None


def test_a_figure_that_does_not_exist_is_none():
    nobody = np.zeros(shape(4), dtype=np.int64)
    found = metrics(nobody, None)
    assert found.pop("examples") == 0
    assert set(found.values()) == {None}
    logits, _ = patients(4, 30)
    one_class = metrics(*score(logits, np.full(30, 2)))
    assert one_class["auc"] is None
    assert one_class["accuracy"] == one_class["balanced_accuracy"]


def test_of_equal_logits_the_first_class_is_called_and_ranks_first():
    logits, labels = np.zeros((5, 5)), np.arange(5)
    assert called(logits).tolist() == [0] * 5
    tableau, _ = score(logits, labels)
    assert right_of(tableau) == 1
    assert judged(tableau).tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]


def test_log_odds_against_the_rest_hold_for_logits_of_any_size():
    logits, _ = patients(6, 400, signal=3.0)
    chances = chances_of(logits)
    assert against_the_rest(logits) == pytest.approx(np.log(chances / (1 - chances)), abs=1e-9)
    huge = np.array([[1e4, 0.0, -1e4], [0.0, 0.0, 1e3]])
    assert against_the_rest(huge) == pytest.approx(
        np.array([[1e4, -1e4, -2e4], [-1e3, -1e3, 1e3 - np.log(2)]])
    )


def test_scores_that_are_no_scores_are_refused():
    logits, labels = patients(4, 10)
    with pytest.raises(BadInput, match="4 classes apart"):
        score(logits, np.where(labels == 3, 4, labels))
    logits[2, 1] = np.inf
    with pytest.raises(RunAborted, match="1 of 10 rows"):
        score(logits, labels)


def spoilt(change):
    tableau, _ = score(*patients(4, 60))
    change(tableau)
    return tableau


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.__setitem__((0, 0), t[0, 0] + 1),
        lambda t: t.__setitem__((1, 1), -1),
        lambda t: t.__setitem__((2, 5), 1000),
        lambda t: t.__setitem__((3, 300), t[3, 300] + 1),
        lambda t: t.__setitem__((3, -1), t[3, -1] + 1),
    ],
    ids=["one more right", "below nought", "too many first three", "own bins", "others' bins"],
)
def test_counts_that_cannot_be_of_these_rows_are_named(change):
    assert fault_of_counts(spoilt(change), 4, 60) is not None
    assert fault_of_counts(spoilt(lambda t: None), 4, 60) is None


def test_counts_of_another_number_of_classes_are_not_taken():
    tableau, _ = score(*patients(4, 60))
    assert "tableau is not (5, 1007)" in fault_of_counts(tableau, 5, 60)
    assert "histogram is not (2, 1000)" in fault_of_counts(tableau, 2, 60)
    assert "counts 60 rows, the message 61" in fault_of_counts(tableau, 4, 61)


def test_what_was_right_alone_keeps_accuracy_and_nothing_else():
    tableau, loss = score(*patients(5, 200))
    coarse = from_judged(judged(tableau))
    assert without_bins(coarse)
    assert not without_bins(tableau)
    assert fault_of_counts(coarse, 5, 200) is None
    whole, left = metrics(tableau, loss), metrics(coarse, None)
    for name in ("accuracy", "balanced_accuracy", "top_3_accuracy", "examples"):
        assert left[name] == whole[name]
    assert {left[name] for name in ("auc", "average_precision", "f1", "log_loss")} == {None}
    mixed = metrics(tableau + coarse, None)  # of one hospital the bins are known, of one not
    assert mixed["accuracy"] == whole["accuracy"]
    assert mixed["auc"] is None


@pytest.mark.parametrize("over", ["pooled", "hospitals"])
@pytest.mark.parametrize("metric", DRAWN)
def test_intervals_hold_the_figure_and_shrink_with_more_patients(metric, over):
    small, large = (
        [score(*patients(5, rows, seed))[0] for seed in range(3)] for rows in (60, 2000)
    )
    wide, narrow = interval(small, metric, over=over), interval(large, metric, over=over)
    figure = metrics(np.add.reduce(large), None)[metric]
    assert narrow[0] < figure < narrow[1]
    assert narrow[1] - narrow[0] < 0.4 * (wide[1] - wide[0])


def test_there_is_no_interval_where_rows_are_not_told_apart():
    tableau, _ = score(*patients(5, 60))
    assert interval([tableau], "auc") is None
    assert interval([np.zeros_like(tableau)], "accuracy") is None
