import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.assurance.benefit import PAIRS, benefit, paired, sentence, share, summary, together


def right(n: int, k: int) -> np.ndarray:
    return np.arange(n) < k


def test_one_hospital_has_each_model_and_each_difference_there_is():
    row = benefit({"alone": right(50, 30), "federated": right(50, 40), "tuned": None})
    assert row["examples"] == 50
    assert row["alone"]["accuracy"] == 0.6
    assert row["difference"]["accuracy"] == pytest.approx(0.2)
    assert "tuned" not in row
    assert set(PAIRS) & set(row) == {"difference"}


def test_together_counts_every_patient_once_and_only_where_both_models_are():
    found = together(
        [
            {"alone": right(40, 20), "federated": right(40, 30), "pooled": right(40, 30)},
            {"alone": right(10, 10), "federated": right(10, 5), "pooled": None},
        ]
    )
    assert found["difference"]["examples"] == 50
    assert found["difference"]["accuracy"] == pytest.approx((35 - 30) / 50)
    assert found["pooled_difference"]["examples"] == 40
    assert found["pooled_difference"]["hospitals"] == 1
    assert "tuned_difference" not in found


@pytest.mark.parametrize(
    ("shared", "said"),
    [(90, "Measurable gain"), (60, "No measurable gain"), (20, "No gain, a loss")],
)
def test_the_sentence_says_gain_only_where_chance_is_left_out(shared, said):
    found = together([{"alone": right(100, 60), "federated": right(100, shared)}])
    assert sentence(found).startswith(said)


def test_a_difference_that_touches_zero_is_no_gain():
    ours, theirs = right(100, 61), right(100, 60)
    found = together([{"alone": theirs, "federated": ours}])
    assert found["difference"]["ci95"][0] <= 0
    assert sentence(found).startswith("No measurable gain")


def test_what_fitting_and_pooling_do_is_said_either_way():
    models = {"alone": right(100, 50), "federated": right(100, 50)}
    better = sentence(together([{**models, "tuned": right(100, 90), "pooled": right(100, 90)}]))
    assert "clearly better still" in better
    assert "clearly worse than a model of all rows" in better
    worse = sentence(together([{**models, "tuned": right(100, 10), "pooled": right(100, 50)}]))
    assert "makes it clearly worse" in worse
    assert "right for exactly the same patients" in worse


def test_nothing_compared_is_nothing_said():
    assert together([]) == {}
    assert sentence({}) == ""


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_turned_round_a_difference_changes_its_sign_only(pairs):
    ours, theirs = (np.array(side) for side in zip(*pairs, strict=True))
    there, back = paired(ours, theirs), paired(theirs, ours)
    assert back["accuracy"] == -there["accuracy"]
    low, high = there["ci95"]
    assert low <= there["accuracy"] <= high
    assert share(ours)["accuracy"] - share(theirs)["accuracy"] == pytest.approx(there["accuracy"])


def test_the_summary_counts_clear_ones():
    rows = [{"difference": {"ci95": ends}} for ends in ([0.1, 0.2], [-0.2, -0.1], [-0.1, 0.1])]
    assert summary(rows) == {"better": 1, "worse": 1, "no_clear_difference": 1}
    assert summary([{}]) == {"better": 0, "worse": 0, "no_clear_difference": 0}
