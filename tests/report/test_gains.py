from __future__ import annotations

import pytest

from aegis.report.gains import gains, own_together, tally
from aegis.report.verdict import headline
from aegis.report.withheld import KEPT, TOO_FEW


@pytest.mark.parametrize(
    ("interval", "word"),
    [([0.001, 0.2], "better"), ([-0.2, -0.001], "worse"), ([-0.1, 0.2], "no clear difference"),
     ([0.0, 0.2], "no clear difference"), ([0.0, 0.0], "no clear difference"),
     (None, "not comparable"), ([None, 0.1], "not comparable")],
)  # fmt: skip
def test_only_an_interval_beside_zero_makes_a_difference_clear(interval, word, a_result):
    result = a_result(centres={"one": (90, 40, 0.5)})
    result["comparison"]["hospitals"][0]["difference"]["ci95"] = interval
    assert [gain.word for gain in gains(result)] == [word]


def test_overlapping_intervals_of_the_models_do_not_decide(a_result):
    result = a_result(centres={"one": (90, 40, 0.5)})
    entry = result["comparison"]["hospitals"][0]
    entry["alone"]["ci95"] = entry["federated"]["ci95"] = [0.1, 0.9]
    entry["difference"] = {"accuracy": 0.05, "ci95": [0.01, 0.09]}
    assert gains(result)[0].word == "better"


def test_hospitals_are_sorted_by_gain_and_those_without_one_come_last(a_result):
    result = a_result()
    result["comparison"]["hospitals"][1]["difference"] = None
    found = gains(result)
    known = [gain.difference.value for gain in found[:-1]]
    assert known == sorted(known, reverse=True)
    assert found[-1].hospital == "hungarian"


def test_a_small_hospital_is_not_ranked_by_what_is_withheld(a_result):
    centres = {"small": (90, 9, 0.5), "x": (90, 30, 0.5), "y": (90, 40, 0.5)}
    result = a_result(centres=centres)
    result["comparison"]["hospitals"][0]["difference"] = {"accuracy": 0.9, "ci95": [0.8, 0.95]}
    found = gains(result)
    assert [gain.hospital for gain in found] == ["y", "small", "x"]
    # of the whole 79, less 40 and 30, the small one's would be left
    assert [gain.withheld for gain in found] == ["", TOO_FEW, KEPT]


def test_a_hospital_that_could_not_train_alone_is_named_with_a_reason(a_result):
    result = a_result()
    del result["comparison"]["hospitals"][2]
    result["hospitals"][2]["local"] = None
    last = gains(result)[-1]
    assert (last.hospital, last.word, last.reason) == (
        "switzerland",
        "not comparable",
        "no own model",
    )
    assert tally(gains(result))["not comparable"] == 1
    assert own_together(result) is None


def test_own_models_together_count_right_answers_on_all_test_patients(a_result):
    result = a_result()
    entries = result["comparison"]["hospitals"]
    right = sum(round(e["alone"]["accuracy"] * e["examples"]) for e in entries)
    assert own_together(result) == (right, 254)
    result["global"]["examples"] = 255
    assert own_together(result) is None


def spread(result, words):
    ends = {"better": [0.01, 0.2], "level": [-0.1, 0.1], "worse": [-0.2, -0.01]}
    for entry, word in zip(result["comparison"]["hospitals"], words, strict=True):
        entry["difference"]["ci95"] = ends[word]
    return headline(result)


def test_the_headline_says_worse_as_plainly_as_better(a_result):
    assert spread(a_result(), ["better", "worse", "worse", "level"]) == (
        "The shared model was clearly better than the hospital’s own model in 1 of 4 hospitals, "
        "not clearly different in 1, and clearly worse in 2."
    )
    assert spread(a_result(), ["worse"] * 4) == (
        "The shared model was clearly better than the hospital’s own model in none of 4 hospitals, "
        "not clearly different in none, and clearly worse in 4."
    )
    assert spread(a_result(), ["level"] * 4).startswith(
        "On a hospital’s own patients there is no clear difference"
    )


def test_the_headline_of_one_hospital_is_about_that_hospital(a_result):
    one = {"only": (90, 40, 0.5)}
    assert "clearly worse than the hospital’s own model" in spread(a_result(centres=one), ["worse"])
    assert "not clearly different from" in spread(a_result(centres=one), ["level"])


def test_without_a_comparison_nothing_is_claimed(a_result):
    result = a_result()
    result["comparison"] = None
    for hospital in result["hospitals"]:
        hospital["local"] = None
    assert "was not tested" in headline(result)


def test_a_run_without_a_scored_model_says_how_it_ended(a_result):
    result = a_result() | {"status": "aborted", "global": {}}
    assert headline(result) == "This run was aborted without a scored model."


def test_a_model_that_does_not_travel_is_told_from_one_that_does(a_result):
    from aegis.report.verdict import explanation, headline

    result = a_result()
    for entry, own in zip(result["comparison"]["hospitals"], (0.7, 0.75, 0.8, 0.82), strict=True):
        entry["everywhere"] = {
            "examples": 254,
            "alone": {"accuracy": own, "ci95": [own - 0.05, own + 0.05]},
            "federated": {"accuracy": 0.83, "ci95": [0.79, 0.87]},
            "difference": {"accuracy": 0.83 - own, "ci95": [0.83 - own - 0.06, 0.9 - own]},
        }
    assert "On the patients of all hospitals it was clearly better than 2 of 4" in headline(result)
    assert any("70.0 % to 82.0 %" in text.replace("\u00a0", " ") for text in explanation(result))
