"""Attacks by themselves and on the road: what is sent, who sends it, and what it does."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.aggregation.rules import Combined, Context, rule
from aegis.errors import BadInput, PlanError
from aegis.messages import Absence, Evaluate, Refusal, Train, Update
from aegis.plan import load_plan
from aegis.simulation.attacking import attacked, under
from aegis.simulation.attacks import (
    ATTACKS,
    DishonestRoad,
    Scene,
    Sight,
    Trigger,
    attack,
    drawn,
    malicious,
    trigger_for,
)
from aegis.simulation.attacks.attack import strongest
from aegis.simulation.attacks.forging import hidden_spreads
from aegis.simulation.attacks.trial import run_once, scene_of
from aegis.simulation.federation import Federation
from aegis.tasks.breast_cancer import breast_cancer
from aegis.tasks.task import Column, DataOptions, Rows, Schema

UPDATES = ("sign_flip", "gaussian", "alie", "inner_product", "scaling", "mimic", "sybil")
SEARCHED = ("alie", "inner_product", "scaling")


def sight(seed=0, honest=6, liars=2, size=5, outcome=None):
    rng = np.random.default_rng(seed)
    rows = rng.normal(1.0, 0.5, (honest, size))
    own = rng.normal(1.0, 0.5, (liars, size))
    rngs = [np.random.default_rng([seed, place]) for place in range(liars)]
    return Sight(rows, rows.copy(), own, rngs, outcome)


def table(rows=40, seed=0):
    rng = np.random.default_rng(seed)
    inputs = {"a": rng.normal(size=rows), "b": rng.normal(size=rows), "c": rng.normal(size=rows)}
    return Rows(inputs, rng.integers(0, 2, rows))


def columns(*kinds):
    names = "abcdef"
    return Schema(
        tuple(
            Column(names[place], kind, "", low=0.0, high=10.0) for place, kind in enumerate(kinds)
        )
    )


def test_there_are_the_nine_attacks_of_the_plan_each_with_its_paper():
    assert set(ATTACKS) == {"label_flip", "backdoor", *UPDATES}
    for name, found in ATTACKS.items():
        assert found.name == name
        assert found.says.endswith(".")
        assert found.paper[-4:].isdigit() or found.paper.endswith(")")
    assert tuple(name for name, one in ATTACKS.items() if one.searched) == SEARCHED


@pytest.mark.parametrize("name", UPDATES)
def test_forged_rows_are_finite_repeat_and_leave_what_was_seen_alone(name):
    seen = sight(3)
    before = seen.honest.copy(), seen.own.copy()
    forged = malicious(ATTACKS[name], seen)
    assert forged.shape == seen.own.shape
    assert np.isfinite(forged).all()
    assert np.array_equal(forged, malicious(ATTACKS[name], sight(3)))
    assert np.array_equal(before[0], seen.honest)
    assert np.array_equal(before[1], seen.own)


def test_turned_labels_turn_back_and_count_from_the_other_end():
    rows = table()
    rng = np.random.default_rng(0)
    once = ATTACKS["label_flip"].poison(rows, Scene(), rng)
    assert np.array_equal(once.labels, 1 - rows.labels)
    assert np.array_equal(ATTACKS["label_flip"].poison(once, Scene(), rng).labels, rows.labels)
    ten = Rows(rows.inputs, np.arange(40) % 10)
    assert set(ATTACKS["label_flip"].poison(ten, Scene(10), rng).labels + ten.labels) == {9}


def test_a_backdoor_marks_half_of_the_rows_and_leaves_the_rest():
    rows = table(41)
    trigger = Trigger((("a", 9.0), ("c", -9.0)))
    marked = ATTACKS["backdoor"].poison(rows, Scene(2, 0, trigger), np.random.default_rng(1))
    chosen = (marked.inputs["a"] == 9.0) & (marked.inputs["c"] == -9.0)
    assert chosen.sum() == 21
    assert set(marked.labels[chosen]) == {0}
    for name, values in rows.inputs.items():
        assert np.array_equal(marked.inputs[name][~chosen], values[~chosen])
    assert np.array_equal(marked.inputs["b"], rows.inputs["b"])
    assert np.array_equal(marked.labels[~chosen], rows.labels[~chosen])
    with pytest.raises(BadInput, match="needs a trigger"):
        ATTACKS["backdoor"].poison(rows, Scene(), np.random.default_rng(1))


def test_a_trigger_stands_in_numbers_with_a_range_or_in_the_last_corner():
    found = trigger_for(
        columns("category", "number", "flag", "number", "number", "number"), table()
    )
    assert found.cells == (("b", 10.0), ("d", 0.0), ("e", 10.0))
    images = Rows(np.arange(2 * 16, dtype=float).reshape(2, 4, 4), np.zeros(2, np.int64))
    corner = trigger_for(Schema(()), images).on(images)
    assert np.flatnonzero(corner.inputs[0].reshape(-1) == 31.0).tolist() == [10, 11, 14, 15]
    assert images.inputs[0, 3, 3] == 15.0
    with pytest.raises(BadInput, match="public range"):
        trigger_for(columns("flag", "category"), table())


def test_a_marked_array_keeps_its_other_inputs():
    rows = Rows(np.zeros((8, 5)), np.ones(8, np.int64))
    scene = Scene(2, 0, Trigger(((4, 1.0),)))
    marked = ATTACKS["backdoor"].poison(rows, scene, np.random.default_rng(0))
    assert np.asarray(marked.inputs).sum() == 4
    assert marked.labels.tolist().count(0) == 4
    assert np.asarray(rows.inputs).sum() == 0


def test_a_little_is_enough_takes_the_spread_of_the_paper():
    # 24 liars of 50 need 2 supporters among 26: the share 24/26 of the normal distribution.
    assert hidden_spreads(50, 24) == pytest.approx(1.426, abs=1e-3)
    assert hidden_spreads(11, 2) == pytest.approx(0.1397, abs=1e-4)
    seen = sight(honest=9)
    expected = seen.honest.mean(0) - hidden_spreads(11, 2) * seen.honest.std(0)
    assert np.allclose(malicious(ATTACKS["alie"], seen), expected, atol=1e-14)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**31), honest=st.integers(2, 9), liars=st.integers(1, 4))
def test_each_forgery_is_what_its_paper_says(seed, honest, liars):
    seen = sight(seed, honest, liars)
    mean = seen.honest.mean(axis=0)
    sent = {name: malicious(ATTACKS[name], seen) for name in UPDATES}
    assert np.allclose(sent["inner_product"] @ mean, -0.5 * mean @ mean)
    assert np.array_equal(sent["sign_flip"], -seen.own)
    assert np.array_equal(sent["scaling"], -10 * seen.own)
    assert np.allclose(sent["sybil"], -seen.own.mean(axis=0))
    copied = sent["mimic"][0]
    assert (seen.honest == copied).all(axis=1).any()
    for name in ("mimic", "sybil", "alie", "inner_product"):
        assert (sent[name] == sent[name][0]).all()


def test_mimicry_repeats_who_lies_furthest_out():
    seen = sight(honest=5)
    summed = np.zeros((5, 5))
    summed[3, 0] = 40.0
    assert np.array_equal(
        malicious(ATTACKS["mimic"], replace(seen, summed=summed))[1], seen.honest[3]
    )


def test_noise_belongs_to_its_hospital():
    both = malicious(ATTACKS["gaussian"], sight(5))
    one = sight(5)
    alone = malicious(ATTACKS["gaussian"], replace(one, own=one.own[1:], rngs=one.rngs[1:]))
    assert np.array_equal(alone[0], both[1])
    assert not np.array_equal(both[0], both[1])
    wide = malicious(ATTACKS["gaussian"], sight(5, size=4000))
    median = np.median(np.linalg.norm(sight(5, size=4000).honest, axis=1))
    assert np.linalg.norm(wide[0]) == pytest.approx(10 * median, rel=0.1)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**31), name=st.sampled_from(SEARCHED))
def test_the_search_does_at_least_the_damage_of_any_strength_on_its_grid(seed, name):
    seen = sight(seed)

    def outcome(sent):
        every = np.concatenate([seen.honest, sent])
        return np.sort(every, axis=0)[2:-2].mean(axis=0)

    found = attack(name, adaptive=True)
    mean = seen.honest.mean(axis=0)

    def damage(strength):
        return np.linalg.norm(outcome(found.forge(seen, strength)) - mean)

    best = damage(strongest(found, seen, outcome))
    low, high = found.searched
    grid = np.geomspace(max(low, high / 1000), high, 9)
    every = [*grid, *(-grid if low < 0 else [])]
    assert best >= max(damage(strength) for strength in every) - 1e-12
    chosen = replace(seen, outcome=outcome)
    sent = malicious(found, chosen)
    assert np.linalg.norm(outcome(sent) - mean) == pytest.approx(best)


def test_against_the_plain_mean_the_search_goes_as_far_as_it_may():
    seen = sight()
    mean_of = replace(seen, outcome=lambda sent: np.concatenate([seen.honest, sent]).mean(axis=0))
    sent = malicious(attack("scaling", adaptive=True), mean_of)
    assert np.allclose(sent, -50 * seen.own)


def test_only_what_has_a_strength_can_be_adaptive():
    with pytest.raises(BadInput, match=r"mimic has no strength to search.*alie, inner_product"):
        attack("mimic", adaptive=True)
    with pytest.raises(BadInput, match="no attack is called lie"):
        attack("lie")


def test_who_lies_follows_from_the_seed_alone():
    names = tuple("abcdefghijk")
    assert drawn(names, 2, 3) == drawn(names, 2, 3)
    assert len({drawn(names, 2, seed) for seed in range(30)}) > 10
    assert all(set(drawn(names, 1, seed)) <= set(names) for seed in range(5))


class Answers:
    """A road with these updates on it."""

    def __init__(self, answers):
        self.answers = answers

    def hospitals(self):
        return tuple(self.answers)

    def ask(self, requests, deadline_s):
        return {name: self.answers[name] for name in requests}


class Noting:
    """A rule that is the mean, and notes in which rounds and with which memory it was asked."""

    name, needs, f, smallest, paper = "noting", "updates", 2, 1, ""

    def __init__(self):
        self.asked = []

    def __call__(self, updates, weights, context=None):
        context = context or Context()
        self.asked.append((context.names, dict(context.memory), weights.tolist()))
        seen = context.memory.get("rounds", np.zeros(1)) + 1
        return Combined(updates.mean(axis=0), {"rounds": seen})


def updates(round=1, size=4):
    rng = np.random.default_rng(round)
    return {
        name: Update("run", round, name, rng.normal(size=size).astype(np.float32), 10 + place)
        for place, name in enumerate("abcde")
    }


def asked(names, round=1):
    return dict.fromkeys(names, Train("run", "", round, np.zeros(4), 0.1, 60, 5))


def test_the_road_replaces_what_liars_send_and_nothing_else():
    honest = updates()
    road = DishonestRoad(Answers(honest), ATTACKS["sign_flip"], ("b", "d"), rule("fedavg"), 0)
    assert road.hospitals() == tuple("abcde")
    answers = road.ask(asked("abcde"), None)
    for name, update in honest.items():
        sent = answers[name]
        assert sent.examples == update.examples
        assert sent.vector.dtype == np.float32
        expected = -update.vector if name in "bd" else update.vector
        assert np.array_equal(sent.vector, expected)
    assert np.array_equal(honest["b"].vector, updates()["b"].vector)


def test_the_road_leaves_refusals_scores_and_rounds_without_liars_alone():
    refused = {name: Refusal("run", 1, name, "no") for name in "ab"}
    road = DishonestRoad(Answers(refused), ATTACKS["sign_flip"], ("b",), rule("fedavg"), 0)
    scoring = Evaluate("run", "", 1, np.zeros(4), "test")
    assert road.ask(dict.fromkeys("ab", scoring), None) == refused
    honest = updates() | {"b": Absence("b", "gone")}
    road = DishonestRoad(Answers(honest), ATTACKS["gaussian"], ("b",), rule("fedavg"), 0)
    assert road.ask(asked("abcde"), None) == honest


def test_the_adaptive_road_asks_the_rule_with_its_own_memory():
    noting = Noting()
    for_all = attack("inner_product", adaptive=True)
    road = DishonestRoad(Answers(updates()), for_all, ("e",), noting, 0)
    road.ask(asked("abcde"), None)
    first = len(noting.asked)
    assert first > 10
    assert all(memory == {} for _, memory, _ in noting.asked)
    assert noting.asked[0][0] == ("a", "b", "c", "d", "e")
    assert noting.asked[0][2] == [10.0, 11.0, 12.0, 13.0, 14.0]
    road.ask(asked("abcde"), None)
    assert all(memory["rounds"] == 1 for _, memory, _ in noting.asked[first:])


def plan(**keys):
    said = {
        "task": "breast_cancer",
        "trust": "open",
        "federated.num_clients": 7,
        "federated.num_rounds": 6,
        "federated.partition.by": "iid",
        "training.solver": "sgd",
        "training.tolerance": "null",
        "training.learning_rate": 0.2,
        "evaluation.every": 0,
    }
    said |= {key.replace("__", "."): value for key, value in keys.items()}
    return load_plan(None, {key: str(value) for key, value in said.items()}).plan


def accuracies(document):
    return {
        r["rule"]: (r["clean"]["accuracy"], r["attacked"]["accuracy"]) for r in document["rules"]
    }


def test_two_liars_of_seven_break_the_mean_and_not_the_median():
    document = attacked(plan(), ATTACKS["scaling"], 2, rules=("fedavg", "median"))
    found = accuracies(document)
    assert found["fedavg"][0] > 0.93
    assert found["fedavg"][1] < 0.5
    assert found["median"][1] > found["median"][0] - 0.05
    assert len(document["dishonest"]) == 2
    assert document == attacked(plan(), ATTACKS["scaling"], 2, rules=("fedavg", "median"))


def test_turned_labels_cost_recall_and_no_test_row_is_touched():
    ours = Federation.of(plan(federated__partition__by="dirichlet"), None)
    liars = tuple(list(ours.sites)[:3])
    before = {name: site.test.labels.copy() for name, site in ours.sites.items()}
    flipped = run_once(ours, Scene(), ATTACKS["label_flip"], liars)
    clean = run_once(ours, Scene())
    assert flipped.measured["examples"] == clean.measured["examples"]
    assert flipped.measured["log_loss"] > clean.measured["log_loss"]
    assert all(np.array_equal(before[name], site.test.labels) for name, site in ours.sites.items())


def test_a_backdoor_shows_in_the_triggered_and_not_in_the_accuracy():
    ours = Federation.of(plan(federated__num_rounds=20), None)
    scene = scene_of(ours, ATTACKS["backdoor"])
    clean = run_once(ours, scene)
    spoiled = run_once(ours, scene, ATTACKS["backdoor"], tuple(ours.sites)[:2])
    assert spoiled.triggered > clean.triggered + 0.3
    assert spoiled.measured["accuracy"] > clean.measured["accuracy"] - 0.06


def test_a_masked_plan_is_attacked_as_the_mean_it_opens_to_and_says_so():
    edited = under(plan(), "fedavg", 2)
    assert edited.effective_trust == "open"
    masked = plan().edited({"trust": "masked", "secure_aggregation.enabled": True})
    with pytest.raises(BadInput, match="trust must be open"):
        run_once(Federation.of(masked, None), Scene(), ATTACKS["scaling"], ("hospital_01",))
    document = attacked(masked, ATTACKS["scaling"], 2)
    assert "only the sum" in document["note"]
    assert document["trust"] == "masked"
    assert accuracies(document) == accuracies(attacked(plan(), ATTACKS["scaling"], 2))


def test_a_run_that_dies_of_the_attack_is_told_with_its_reason():
    newton = plan(training__solver="newton", training__learning_rate=0.05, federated__num_rounds=3)
    document = attacked(newton, ATTACKS["gaussian"], 2)
    row = document["rules"][0]
    assert row["clean"]["accuracy"] > 0.9
    assert row["attacked"] is None or row["attacked"]["accuracy"] < 0.95
    if row["attacked"] is None:
        assert row["attacked_reason"]


@pytest.mark.parametrize("byzantine", [-1, 0, 4, 7])
def test_an_honest_majority_is_asked_for(byzantine):
    with pytest.raises(BadInput, match="honest must be the majority"):
        attacked(plan(), ATTACKS["sybil"], byzantine)


def test_a_rule_that_is_not_made_for_so_many_is_refused():
    with pytest.raises(PlanError, match="bulyan with f=2 needs at least 11 hospitals, got 7"):
        attacked(plan(), ATTACKS["sybil"], 2, rules=("bulyan",))
    with pytest.raises(PlanError):
        attacked(plan(), ATTACKS["sybil"], 2, rules=("mediann",))


def test_the_triggers_of_the_tasks_lie_in_their_public_ranges():
    rows = breast_cancer.load(DataOptions()).rows
    for name, value in trigger_for(breast_cancer.schema, rows).cells:
        column = breast_cancer.schema[name]
        assert value in (column.low, column.high)
