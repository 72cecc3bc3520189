"""A budget is calibrated to, warned about, re-planned for, and never exceeded."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import BadInput
from aegis.privacy.accounting import GaussianRelease, PoissonGaussian, epsilon_pld, epsilon_rdp
from aegis.privacy.budget import Action, Orchestrator, least_noise

DELTA = 1e-5


def sampled(multiplier):
    return PoissonGaussian(multiplier, 0.1, 16)


SHAPES = {"gaussian": GaussianRelease, "sampled": sampled}


@pytest.mark.parametrize("shape", SHAPES)
def test_planned_noise_uses_the_budget_up(shape):
    plan = Orchestrator(4.0, DELTA, 20, SHAPES[shape])
    noise = plan.planned_noise()
    assert 4.0 * (1 - 1e-4) < epsilon_rdp([SHAPES[shape](noise)] * 20, DELTA) <= 4.0
    before = [GaussianRelease(5.0)]
    more = plan.planned_noise(before)
    assert more > noise
    assert epsilon_rdp([*before, *[SHAPES[shape](more)] * 20], DELTA) <= 4.0


@given(
    st.sampled_from(sorted(SHAPES)),
    st.floats(0.3, 20),
    st.integers(1, 25),
    st.floats(0.2, 5),
    st.data(),
)
@settings(max_examples=100, deadline=None)
def test_a_run_that_follows_the_advice_never_ends_above_its_budget(
    shape, epsilon, rounds, times, data
):
    """Rounds get lost after they were charged, and the first noise may be far too small."""
    plan = Orchestrator(epsilon, DELTA, rounds, SHAPES[shape], most_noise=1e4)
    noise, spent, done = plan.planned_noise() * times, [], 0
    while done < rounds:
        advice = plan.advise(spent, rounds - done, noise)
        if not advice.goes_on:
            break
        if advice.action is Action.INCREASE_NOISE:
            assert advice.noise_multiplier > noise
        noise = advice.noise_multiplier
        spent.append(SHAPES[shape](noise))  # what the ledger is charged is what the round used
        done += data.draw(st.sampled_from([1, 1, 1, 0]))
    assert epsilon_rdp(spent, DELTA) <= epsilon
    assert done == rounds or plan.advise(spent, rounds - done, noise).action is Action.HALT


def test_a_budget_too_small_raises_the_noise_and_finishes_all_rounds():
    plan = Orchestrator(2.0, DELTA, 10, sampled)
    spent, used = [], []
    noise = 0.8
    for left in range(10, 0, -1):
        advice = plan.advise(spent, left, noise)
        noise = advice.noise_multiplier
        used.append((advice.action, noise))
        spent.append(sampled(noise))
    assert used[0][0] is Action.INCREASE_NOISE
    assert used[0][1] > 0.8
    assert len({round(noise, 6) for _, noise in used}) == 1
    assert epsilon_rdp(spent, DELTA) <= 2.0
    assert "fit" in plan.advise([], 10, 0.8).reason


def test_an_unreachable_budget_never_acts():
    """Sixteen steps a round with noise .8 cost 28 in twenty rounds: 50 is no limit."""
    plan = Orchestrator(50.0, DELTA, 20, lambda s: PoissonGaussian(s, 1 / 8, 16))
    events = [PoissonGaussian(0.8, 1 / 8, 16)]
    costs = [(10, 19.2, 17.4), (20, 28.0, 25.6)]
    for rounds, rdp, pld in costs:
        assert epsilon_rdp(events * rounds, DELTA) == pytest.approx(rdp, abs=0.1)
        assert epsilon_pld(events * rounds, DELTA) == pytest.approx(pld, abs=0.1)
        advice = plan.advise(events * rounds, 1, 0.8)
        assert advice.action is Action.CONTINUE


def test_warnings_come_at_three_quarters_and_nine_tenths():
    plan = Orchestrator(4.0, DELTA, 100, GaussianRelease)
    noise = plan.planned_noise()
    seen = {}
    for done in range(100):
        advice = plan.advise([GaussianRelease(noise)] * done, 100 - done, noise)
        seen.setdefault(advice.action, advice.share)
    assert list(seen) == [Action.CONTINUE, Action.WARNING, Action.CRITICAL]
    assert seen[Action.WARNING] == pytest.approx(0.75, abs=0.02)
    assert seen[Action.CRITICAL] == pytest.approx(0.9, abs=0.02)


def test_a_spent_budget_halts_with_its_reason():
    plan = Orchestrator(1.0, DELTA, 5, GaussianRelease)
    advice = plan.advise([GaussianRelease(1.0)], 3, 4.0)
    assert advice.action is Action.HALT
    assert not advice.goes_on
    assert "too little for 3 more rounds" in advice.reason
    assert plan.advise([], 0, 4.0).reason.startswith("all rounds are done")


def test_a_hospital_without_room_is_left_out_and_the_others_go_on():
    plan = Orchestrator(1.0, DELTA, 5, GaussianRelease)
    noise = plan.planned_noise()
    full = [GaussianRelease(noise)] * 5
    advice = plan.advise_hospital("va", full, noise)
    assert advice.action is Action.EXCLUDE
    assert "va has spent 1 of 1" in advice.reason
    assert plan.advise_hospital("cleveland", full[:4], noise).action is Action.CONTINUE


@pytest.mark.parametrize("epsilon", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_budget_is_refused(epsilon):
    with pytest.raises(BadInput, match="epsilon_budget"):
        least_noise(lambda s: [GaussianRelease(s)], epsilon, DELTA)


def test_a_budget_that_no_noise_fits_is_refused():
    with pytest.raises(BadInput, match="is spent already"):
        least_noise(lambda s: [GaussianRelease(s)], 1.0, DELTA, [GaussianRelease(1.0)])


def test_a_plan_of_no_rounds_is_refused():
    with pytest.raises(BadInput, match="at least one round"):
        Orchestrator(1.0, DELTA, 0, GaussianRelease)


def test_gaussian_plans_can_be_calibrated_exactly():
    exact = least_noise(lambda s: [GaussianRelease(s)], 1.0, DELTA, accountant="gdp")
    assert exact == pytest.approx(3.7306, rel=2e-4)


def test_an_exact_budget_is_watched_exactly():
    """By Renyi the same rounds would seem to cost a tenth more."""
    exact = Orchestrator(2.0, DELTA, 10, GaussianRelease, accountant="gdp")
    noise = exact.planned_noise()
    for done in range(10):
        advice = exact.advise([GaussianRelease(noise)] * done, 10 - done, noise)
        assert advice.noise_multiplier == noise
    rough = Orchestrator(2.0, DELTA, 10, GaussianRelease)
    assert rough.advise([], 10, noise).action is Action.INCREASE_NOISE
    assert exact.advise([], 10, noise / 2).noise_multiplier == pytest.approx(noise, rel=1e-3)
    known = Orchestrator(2.0, DELTA, 10, GaussianRelease, accountant="pld")
    assert known.advise([], 10, noise * (1 + 1e-6)).action is Action.CONTINUE
