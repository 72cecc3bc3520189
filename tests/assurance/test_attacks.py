"""Each attack by hand, by its law, and against a model that remembers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import norm

from aegis.assurance.attacks import (
    ATTACKS,
    Answers,
    Calibrated,
    Lira,
    LossBased,
    References,
    Rmia,
    Shadow,
    Threshold,
    read,
)
from aegis.assurance.intervals import auc
from aegis.errors import BadInput

logits = hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(-40, 40))


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _target(margin, hospitals=None, labels=None):
    margin = np.asarray(margin, float)
    n = len(margin)
    labels = np.ones(n, np.int64) if labels is None else labels
    places = np.zeros(n, int) if hospitals is None else np.asarray(hospitals)
    return Answers(margin, _sigmoid(np.abs(margin)), labels, places)


def _remembering(n=400, models=40, seed=0, leak=3.0):
    """Models whose margin on a patient is higher by ``leak`` if the patient was in."""
    rng = np.random.default_rng(seed)
    difficulty, labels = rng.normal(0, 2, n), rng.integers(0, 2, n)
    kept = rng.random((models, n)) < 0.5
    margin = difficulty + leak * kept + rng.normal(0, 0.5, (models, n))
    inside = rng.random(n) < 0.5
    own = difficulty + leak * inside + rng.normal(0, 0.5, n)
    return _target(own, labels=labels), References(margin, kept), inside


@given(logits, st.data())
@settings(max_examples=200, deadline=None)
def test_two_ways_to_write_two_classes_are_one(z, data):
    labels = np.array(data.draw(st.lists(st.integers(0, 1), min_size=len(z), max_size=len(z))))
    one, two = read(z, labels), read(np.stack([np.zeros_like(z), z], axis=1), labels)
    assert np.allclose(one.margin, two.margin, atol=1e-12)
    assert np.allclose(one.confidence, two.confidence, atol=1e-12)
    assert np.allclose(one.loss, -norm_log_softmax(z, labels), atol=1e-9)
    assert np.allclose(one.probability, np.exp(-one.loss))


def norm_log_softmax(z, labels):
    both = np.stack([np.zeros_like(z), z], axis=1)
    shifted = both - both.max(1, keepdims=True)
    said = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return said[np.arange(len(z)), labels]


def test_the_loss_of_many_classes_is_the_cross_entropy():
    rng = np.random.default_rng(0)
    z, labels = rng.normal(0, 3, (50, 4)), rng.integers(0, 4, 50)
    said = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    answers = read(z, labels)
    assert np.allclose(answers.loss, -np.log(said[np.arange(50), labels]))
    assert np.allclose(answers.confidence, said.max(1))


@pytest.mark.parametrize(
    ("said", "labels"),
    [
        (np.array([1.0, np.nan]), np.array([0, 1])),
        (np.array([1.0, np.inf]), np.array([0, 1])),
        (np.array([1.0, 2.0]), np.array([0, 2])),
        (np.array([1.0, 2.0]), np.array([-1, 0])),
        (np.zeros((2, 3)), np.array([0, 3])),
        (np.zeros(3), np.array([0, 1])),
    ],
)
def test_an_answer_that_means_nothing_is_refused(said, labels):
    with pytest.raises(BadInput):
        read(said, labels)


def test_threshold_and_loss_are_different_questions():
    z, labels = np.array([-3.0, -1.0, 2.0, 4.0]), np.array([0, 1, 1, 0])
    right, wrong = read(z, labels), read(z, 1 - labels)
    none = References(np.zeros((0, 4)), np.zeros((0, 4), bool))
    assert np.array_equal(Threshold().scores(right, none), Threshold().scores(wrong, none))
    assert not np.array_equal(LossBased().scores(right, none), LossBased().scores(wrong, none))
    orders = [np.argsort(a.scores(right, none)).tolist() for a in (Threshold(), LossBased())]
    assert orders[0] != orders[1]


@pytest.mark.parametrize("attack", [*ATTACKS, Lira(online=False), Rmia(online=False)])
def test_every_attack_catches_a_model_that_remembers(attack):
    target, references, inside = _remembering()
    found = auc(attack.scores(target, references), inside, target.hospitals)
    blind = ("threshold", "loss_based", "shadow")  # they do not know how hard each patient is
    assert found.low > (0.5 if attack.name in blind else 0.9), attack.name


@pytest.mark.parametrize("attack", [*ATTACKS, Lira(online=False), Rmia(online=False)])
def test_no_attack_finds_what_is_not_there(attack):
    found = []
    for seed in range(20):
        target, references, inside = _remembering(seed=seed, leak=0.0)
        found.append(auc(attack.scores(target, references), inside, target.hospitals).value)
    assert abs(np.mean(found) - 0.5) < 0.02, attack.name


def test_references_beat_the_loss_alone():
    target, references, inside = _remembering(leak=1.0)
    area = {
        a.name: auc(a.scores(target, references), inside, target.hospitals).value for a in ATTACKS
    }
    assert min(area["lira"], area["rmia"], area["calibrated"]) > area["loss_based"] + 0.1


def test_names_are_the_ones_of_the_report():
    assert [attack.name for attack in ATTACKS[:2]] == ["threshold", "loss_based"]
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) == 6


def test_lira_is_the_ratio_of_two_gaussians():
    target, references, _ = _remembering(n=20, models=80)
    m, kept = references.margin, references.kept
    expected = []
    for i, t in enumerate(target.margin):
        ins, outs = m[kept[:, i], i], m[~kept[:, i], i]
        expected.append(
            norm.logpdf(t, ins.mean(), ins.std()) - norm.logpdf(t, outs.mean(), outs.std())
        )
    assert np.allclose(Lira().scores(target, references), expected)
    offline = [
        (t - m[~kept[:, i], i].mean()) / m[~kept[:, i], i].std()
        for i, t in enumerate(target.margin)
    ]
    assert np.allclose(Lira(online=False).scores(target, references), offline)


def test_lira_with_few_models_has_one_variance_for_all():
    target, references, _ = _remembering(n=50, models=16)
    m, kept = references.margin, references.kept
    squares = dict.fromkeys((True, False), 0.0)
    count = dict.fromkeys((True, False), 0)
    for i in range(50):
        for side in (True, False):
            own = m[kept[:, i] == side, i]
            squares[side] += ((own - own.mean()) ** 2).sum()
            count[side] += len(own) - 1
    spread = {side: np.sqrt(squares[side] / count[side]) for side in (True, False)}
    expected = [
        norm.logpdf(t, m[kept[:, i], i].mean(), spread[True])
        - norm.logpdf(t, m[~kept[:, i], i].mean(), spread[False])
        for i, t in enumerate(target.margin)
    ]
    assert np.allclose(Lira().scores(target, references), expected)


def _by_hand():
    target = _target([2.0, 0.0, -1.0, 3.0])
    margin = np.array([[1.0, 0.5, 0.0, 2.0], [3.0, -0.5, -1.0, 0.0], [0.0, 0.0, -2.0, 1.0]])
    kept = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]], bool)
    return target, References(margin, kept)


def test_rmia_by_hand():
    target, references = _by_hand()
    said, kept = _sigmoid(references.margin), references.kept
    expected = np.array(
        [(said[kept[:, i], i].mean() + said[~kept[:, i], i].mean()) / 2 for i in range(4)]
    )
    ratio = _sigmoid(target.margin) / expected
    for gamma in (1.0, 1.2):
        by_hand = [np.mean(ratio[i] / ratio >= gamma) for i in range(4)]
        assert np.allclose(Rmia(gamma=gamma).scores(target, references), by_hand)
    a = 0.3
    out = np.array([said[~kept[:, i], i].mean() for i in range(4)])
    ratio = _sigmoid(target.margin) / (((1 + a) * out + 1 - a) / 2)
    by_hand = [np.mean(ratio[i] >= ratio) for i in range(4)]
    assert np.allclose(Rmia(online=False).scores(target, references), by_hand)


def test_rmia_compares_patients_of_one_hospital_only():
    target, references, _ = _remembering(n=60, models=20)
    places = np.arange(60) % 3
    here = places == 0
    alone = Rmia().scores(
        Answers(*(v[here] for v in (target.margin, target.confidence, target.labels, places))),
        References(references.margin[:, here], references.kept[:, here]),
    )
    together = Rmia().scores(
        Answers(target.margin, target.confidence, target.labels, places), references
    )
    assert np.array_equal(together[here], alone)


@given(st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_the_calibrated_score_is_a_share_that_grows_with_the_margin(seed):
    target, references, _ = _remembering(n=10, models=8, seed=seed)
    low = Calibrated().scores(target, references)
    higher = Answers(target.margin + 1, target.confidence, target.labels, target.hospitals)
    high = Calibrated().scores(higher, references)
    assert ((low >= 0) & (high <= 1) & (high >= low)).all()


def test_shadow_learns_what_differs_between_classes():
    """Members fit better in one class and worse in the other: the loss alone sees nothing."""
    rng = np.random.default_rng(1)
    n, models = 600, 30
    labels = rng.integers(0, 2, n)
    sign = 2.0 * labels - 1
    kept = rng.random((models, n)) < 0.5
    inside = rng.random(n) < 0.5
    target = _target(sign * inside + rng.normal(0, 0.3, n) - sign / 2, labels=labels)
    references = References(sign * kept + rng.normal(0, 0.3, (models, n)) - sign / 2, kept)
    shadow = auc(Shadow().scores(target, references), inside, target.hospitals)
    loss = auc(LossBased().scores(target, references), inside, target.hospitals)
    assert shadow.value > 0.9
    assert loss.value < 0.6


def test_a_patient_in_every_model_is_judged_by_the_others_and_the_usual_gap():
    margin = np.array([[1.0, 4.0], [2.0, 6.0], [5.0, 8.0]])
    kept = np.array([[True, True], [False, True], [False, True]])
    mean = References(margin, kept).mean(margin, kept=False)
    assert mean.tolist() == [3.5, 8.0]  # 6 + (3.5 - 1), but no model said more than 8
    assert References(margin / 4, kept).mean(margin, kept=True).tolist() == [1.0, 6.0]


def test_models_that_all_know_the_same_patients_are_no_references():
    same = References(np.zeros((3, 2)), np.ones((3, 2), bool))
    with pytest.raises(BadInput, match="never differ"):
        Rmia().scores(_target([0.0, 1.0]), same)
