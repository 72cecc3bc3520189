"""Rules that remember: FoolsGold's histories by name, and what a resumed run must find again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.aggregation import foolsgold
from aegis.aggregation.foolsgold import HISTORY, FoolsGold, folded, trust
from aegis.aggregation.rules import RULES, Context, rule
from aegis.errors import RunAborted
from tests.aggregation import references

NAMES = ("a", "b", "c", "d", "e")


def round_of(rows, number=1, memory=None, names=NAMES):
    context = Context(names, number, memory or {})
    return FoolsGold()(np.asarray(rows, float), np.ones(len(rows)), context)


def ways(*directions):
    """Unit vectors in the plane, by their angle in degrees."""
    return np.array([[np.cos(np.radians(d)), np.sin(np.radians(d))] for d in directions])


@given(st.integers(2, 8), st.integers(2, 6), st.integers(0, 2**32))
@settings(max_examples=200)
def test_voices_are_those_of_the_paper(n, d, seed):
    histories = np.random.default_rng(seed).standard_normal((n, d))
    lengths = np.linalg.norm(histories, axis=1)
    cosines = histories @ histories.T / np.outer(lengths, lengths)
    wanted = references.foolsgold(histories)
    assert np.abs(trust(np.clip(cosines, -1, 1)) - wanted).max() <= 1e-6


def test_two_sybils_share_one_voice_and_the_honest_keep_theirs():
    rows = ways(0, 80, 160, 240, 240)
    found = round_of(rows)
    assert np.abs(found.shares - [1 / 3, 1 / 3, 1 / 3, 0, 0]).max() < 0.01


def test_a_hospital_near_two_sybils_is_pardoned():
    """Unlike enough from the sybils to be told apart; without pardon c would lose its voice."""
    rows = ways(0, 95, 190, 240, 240)
    found = round_of(rows)
    assert found.shares[2] > 0.25
    assert found.shares[3:].max() < 0.01


def test_histories_grow_by_name_and_absent_hospitals_keep_theirs():
    first = round_of(ways(0, 80, 160, 240, 300))
    second = round_of(ways(10, 90)[::-1], 2, first.memory, ("b", "a"))
    assert np.allclose(second.memory[HISTORY + "a"], ways(0)[0] + ways(10)[0])
    assert np.allclose(second.memory[HISTORY + "b"], ways(80)[0] + ways(90)[0])
    assert (second.memory[HISTORY + "e"] == first.memory[HISTORY + "e"]).all()
    assert len(second.memory) == 5


def test_sybils_that_take_turns_are_found_by_their_histories():
    """One of two sybils sits out in each round, so no round shows both."""
    memory = {}
    for number in range(1, 7):
        there = ("a", "b", "c", "d" if number % 2 else "e")
        found = round_of(ways(0, 90, 180, 270), number, memory, there)
        memory = found.memory
    assert found.shares[3] < 0.01


def test_a_history_that_differs_over_the_rounds_is_told_apart_although_one_round_is_alike():
    memory = {}
    for number in range(1, 6):
        memory = round_of(ways(0, 70, 140, 210, 280), number, memory).memory
    found = round_of(ways(0, 0, 0, 210, 280), 6, memory)
    assert found.shares.min() > 0.1


def test_of_two_that_stand_still_nothing_is_held_against_either():
    rows = np.vstack([ways(0, 80, 160), np.zeros((2, 2))])
    assert np.isfinite(round_of(rows).vector).all()
    assert np.allclose(round_of(rows).shares, 0.2)


def test_when_all_are_copies_nobody_is_believed():
    with pytest.raises(RunAborted, match="a, b, c, d, e for copies of one another"):
        round_of(np.tile(ways(30), (5, 1)))
    with pytest.raises(RunAborted, match="needs at least 2 updates, got 1"):
        round_of(ways(30), names=("a",))


def test_claimed_examples_are_capped():
    rows = ways(0, 80, 160, 240, 300)
    found = FoolsGold()(rows, np.array([1.0, 1.0, 1.0, 1.0, 1e12]), Context(NAMES))
    assert found.shares[4] <= 3 * found.shares[0] + 1e-12


def test_long_updates_are_folded_and_keep_their_angles(monkeypatch):
    monkeypatch.setattr(foolsgold, "WIDEST", 1 << 12)
    rows = np.random.default_rng(0).standard_normal((4, 50_001)).astype(np.float32)
    rows[1] = rows[0] + 0.5 * rows[1]
    small = folded(rows, seed=3)
    assert small.shape == (4, 1 << 12)
    assert np.abs(cosines(small) - cosines(rows)).max() < 4 / np.sqrt(1 << 12)
    assert (small == folded(rows, seed=3)).all()
    assert (small != folded(rows, seed=4)).any()
    assert np.allclose(folded(rows[:, :50], 0), rows[:, :50])


def cosines(rows):
    inner = rows.astype(float) @ rows.astype(float).T
    lengths = np.sqrt(np.diagonal(inner))
    return inner / np.outer(lengths, lengths)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_that_gets_its_memory_back_goes_on_as_if_nothing_had_happened(name):
    rng = np.random.default_rng(0)
    made = rule(name, f=0 if name == "fedavg" else 1, seed=2)
    rounds = rng.standard_normal((4, 7, 9))
    straight, memories = [], [{}]
    for number, rows in enumerate(rounds, 1):
        found = made(rows, np.ones(7), Context(tuple("abcdefg"), number, memories[-1]))
        straight.append(found.vector)
        memories.append(found.memory)
        assert all(key.startswith("rule/") for key in found.memory)
    copied = {key: value.copy() for key, value in memories[2].items()}
    resumed = made(rounds[2], np.ones(7), Context(tuple("abcdefg"), 3, copied))
    assert (resumed.vector == straight[2]).all()
    assert all((copied[key] == memories[2][key]).all() for key in copied)
