"""``aegis query`` as people and scripts type it."""

import json

import pytest


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("AEGIS_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_a_count_says_the_number_the_noise_and_the_price(home, aegis):
    code, out, err = aegis("query", "count", "--where", "mean radius > 12")
    assert (code, err) == (0, "")
    for wanted in (
        "where mean radius > 12",
        "5 hospitals answered",
        "0.1 now",
        "of 1 in all",
        "far below the sum of their epsilons",
    ):
        assert wanted in " ".join(out.split())
    again = " ".join(aegis("query", "count", "--where", "mean radius > 12")[1].split())
    assert "0 now, as this was asked before" in again


def test_a_histogram_has_a_bar_for_each_cell(home, aegis):
    code, out, _ = aegis("query", "histogram", "diagnosis", "--epsilon", "0.5")
    assert code == 0
    bars = [line for line in out.splitlines() if "█" in line or "#" in line]
    assert len(bars) == 2
    assert "negative" in bars[0]
    assert "positive" in bars[1]


def test_a_crosstab_has_a_row_and_a_column_for_each_value(home, aegis):
    code, out, _ = aegis("query", "crosstab", "mean radius", "diagnosis", "--bins", "3")
    assert code == 0
    lines = out.splitlines()
    assert sum("or more" in line for line in lines) == 1
    assert any("negative" in line and "positive" in line for line in lines)


def test_json_is_one_object(home, aegis):
    code, out, _ = aegis(
        "query", "histogram", "mean radius", "--bins", "4", "--hospitals", "3", "--json"
    )
    document = json.loads(out)
    assert code == 0
    assert out.count("\n") == 1
    assert document["status"] == "answered"
    assert len(document["cells"]) == 5
    assert len(document["hospitals"]) == 3
    assert document["privacy"]["epsilon"] == 0.1


def test_without_noise_says_that_it_is_not_private(home, aegis):
    code, out, _ = aegis("query", "count", "--without-noise")
    assert code == 0
    assert "569" in out
    assert "NOT PRIVATE" in out


def test_a_spent_budget_exits_with_3_and_says_so(home, aegis):
    codes = [
        aegis("query", "count", "--epsilon", "0.5", "--where", f"mean radius > {radius}")
        for radius in range(8, 14)
    ]
    assert codes[0][0] == 0
    code, out, err = codes[-1]
    assert (code, out) == (3, "")
    assert "have spent epsilon" in err
    code, out, _ = aegis(
        "query", "count", "--epsilon", ".5", "--where", "mean radius > 13", "--json"
    )
    assert code == 3
    assert set(json.loads(out)["error"]) == {"value", "need", "way_out"}


def test_a_price_above_the_policy_exits_with_3(home, aegis):
    code, _, err = aegis("query", "count", "--epsilon", "8")
    assert code == 3
    assert "above 0.5" in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["count", "--where", "mean radios > 3"], "Did you mean mean radius?"),
        (["count", "--where", "mean radius > tall"], "mean radius is a number, got tall"),
        (["histogram", "radius"], "no column is called radius"),
        (["histogram", "mean radius", "--bins", "0"], "1 to 50 bins"),
        (["crosstab", "diagnosis", "diagnosis"], "twice"),
        (["crosstab", "diagnosis"], "COLUMN"),
        (["count", "--epsilon", "0"], "above 0"),
        (["count", "--epsilon", "nan"], "above 0"),
        (["count", "--delta", "0.1"], "delta"),
        (["count", "--task", "hart"], "heart"),
        (["count", "--task", "heart"], "AEGIS_DATA_DIR"),
        (["count", "--hospitals", "0"], "federated.num_clients"),
        (["mean", "age"], "mean"),
    ],
)
def test_bad_input_exits_with_2_says_so_and_writes_nothing(home, aegis, words, expected):
    code, _, err = aegis("query", *words)
    assert code == 2
    assert expected in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) <= 3
    assert not home.exists()
