import json
import re

import pytest

from aegis.report.tripod import ITEMS, tripod, tripod_json, tripod_markdown
from tests.report.findings import with_findings

# Main items with their parts, as the statement numbers them.
PARTS = {3: 3, 5: 2, 6: 3, 8: 3, 9: 3, 12: 7, 18: 6, 20: 3, 23: 2, 27: 3}


def test_it_has_the_52_items_of_the_statement():
    wanted = []
    for number in range(1, 28):
        parts = PARTS.get(number)
        wanted += [f"{number}{chr(97 + i)}" for i in range(parts)] if parts else [str(number)]
    assert [item.number for item in ITEMS] == wanted
    assert len(wanted) == 52


def test_what_a_run_cannot_know_is_left_to_the_authors(a_result):
    found = {one["item"]: one for one in tripod(with_findings(a_result()))["items"]}
    for number in ("3a", "5b", "6b", "8c", "17", "18a", "18b", "18d", "19", "27b"):
        assert found[number]["status"] == "to be filled by the authors"
        assert found[number]["text"].startswith("To be filled by the authors")
    for number in ("12a", "12e", "21", "22", "23a", "23b"):
        assert found[number]["status"] == "from the run"
        assert "authors" not in found[number]["text"]
    assert found["14"]["status"] == "partly"
    assert "sex" in found["14"]["text"]


def test_answers_are_the_results(a_result):
    result = with_findings(a_result())
    found = {one["item"]: one["text"] for one in tripod(result)["items"]}
    accuracy = 100 * result["global"]["accuracy"]
    assert f"{accuracy:.1f}" in found["23a"]
    assert result["model_sha256"] in found["22"]
    assert result["plan_sha256"] in found["18c"]
    assert "female" in found["23a"]


def test_a_bare_result_claims_nothing():
    found = tripod({"run": "r"})
    whole = [one["item"] for one in found["items"] if one["status"] == "from the run"]
    assert set(whole) <= {"12d", "12e", "12g", "13", "18f"}, "what holds for every run"
    assert found["counts"]["to be filled by the authors"] > 25


def test_markdown_is_one_table_that_names_cannot_break(a_result):
    result = with_findings(a_result())
    result["data"]["positive"] = "a | b\n<script>"
    lines = tripod_markdown(result).splitlines()
    rows = [line for line in lines if re.match(r"\| \d", line)]
    assert len(rows) == 52
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 6 for row in rows)
    assert "<script>" not in "\n".join(lines)


def test_json_holds_the_same(a_result):
    result = with_findings(a_result())
    assert json.loads(tripod_json(result)) == tripod(result)


@pytest.mark.parametrize("word", ["compliant", "guaranteed", "anonymous"])
def test_nothing_forbidden_is_claimed(word, a_result):
    assert word not in tripod_markdown(with_findings(a_result())).lower()
