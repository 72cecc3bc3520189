"""Flags on the page: who, in which rounds, how high, and why nobody looked."""

from aegis.report.flags import flag_table, no_flags
from aegis.report.html import html_report


def entry(name, rounds, score=7.25, reason="5 times as long as the others' median"):
    return {
        "hospital": name,
        "rounds": rounds,
        "score": score,
        "detector": "length",
        "reason": reason,
    }


def test_a_flagged_hospital_is_one_row_with_its_rounds():
    found = flag_table(
        {"detection": {"z_threshold": 3.0, "hospitals": [entry("va", [1, 2, 3, 7])]}}
    )
    assert found.rows == (("va", "1-3, 7", "7.2", "5 times as long as the others' median"),)
    assert found.note == "Scores are robust z; flagged above 3."


def test_a_score_beyond_all_measure_is_cut():
    found = flag_table({"detection": {"hospitals": [entry("va", [4], 1e6)]}})
    assert found.rows[0][1:3] == ("4", "over 1000")


def test_nobody_flagged_and_nobody_looking_are_told_apart():
    assert flag_table({"detection": {"z_threshold": 3.0, "hospitals": []}}) is None
    assert no_flags({"detection": {"hospitals": []}}) == "No update was flagged in any round."
    assert no_flags({"detection": None, "detection_reason": "not available: masked"}) == (
        "Nobody looked: not available: masked."
    )
    assert "enable_detection was off" in no_flags({})


def test_the_page_names_the_flagged_hospital(a_built_result):
    result = a_built_result
    page = html_report({**result, "detection": {"hospitals": [entry("va", [2])]}})
    assert "Was any update unusual?" in page
    assert "5 times as long as the others&#39; median" in page
    assert "Nobody looked: " in html_report(result)
