"""Growth is measured point by point, fitted, judged and drawn."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from aegis.bench import growing
from aegis.bench.growing import Case
from aegis.bench.scale import exponent, scale, table
from aegis.bench.scale_picture import picture
from aegis.bench.scene import EPSILON
from aegis.cli.app import run_command
from aegis.errors import CheckFailed


def grown(case: Case, power: float = 1.0, leak: float = 0.0) -> dict:
    """A federation that only says what it took: time by the hospitals to the ``power``."""
    size = case.hospitals**power
    if case.sides:
        bytes_ = dict.fromkeys(("to_hospital", "from_hospital", "to_coordinator"), 1000 * size)
        sides = {"hospital_s": 1e-3 * case.hospitals, "coordinator_s": 1e-4 * size}
        return asdict(case) | sides | {f"{name}_bytes": one for name, one in bytes_.items()}
    seconds = 1e-3 * size * (1 + case.parameters / 1000)
    memory = 1e-3 * case.hospitals * case.parameters + leak * case.rounds
    took = {"round_s": seconds, "last_tenth_s": seconds * (1 + leak * case.rounds / 1000)}
    return asdict(case) | took | {"peak_mb": memory, "grown_mb": memory, "disk_bytes": 10}


def test_an_exponent_is_the_slope_over_the_last_decade():
    sizes = [1, 10, 100, 300, 1000]
    assert exponent(sizes, [7, 7, *(s**1.5 for s in sizes[2:])]) == pytest.approx(1.5)


def test_what_grows_as_it_should_meets_every_bar(tmp_path):
    found = scale(measure=grown)
    assert all(one["met"] for one in found["targets"])
    assert len(found["targets"]) == 13
    assert "MISSED" not in table(found)
    assert json.loads(json.dumps(found)) == found
    assert picture(found, tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_what_grows_too_fast_is_named():
    found = scale(measure=lambda case: grown(case, power=2.5))
    missed = [one["what"] for one in found["targets"] if not one["met"]]
    assert any("hospitals: CPU seconds a round, each update seen" in what for what in missed)
    assert any("the coordinator" in what for what in missed)
    assert not any("parameters" in what for what in missed)


def test_a_run_that_slows_down_or_fills_memory_as_it_goes_is_named():
    found = scale(measure=lambda case: grown(case, leak=1.0))
    missed = [one["what"] for one in found["targets"] if not one["met"]]
    assert [what.split(",")[0] for what in missed] == [
        "a round after 1000 over one after 100",
        "MB of memory per 100 rounds",
        "MB of memory per 100 rounds",
    ]


def test_larger_federations_than_asked_for_are_left_out():
    asked: list[Case] = []
    scale((30,), measure=lambda case: asked.append(case) or grown(case))
    assert max(case.hospitals for case in asked) == 30
    assert not any(case.hospitals > 30 for case in asked)


@pytest.mark.parametrize("privacy", ["none", "local_update"])
def test_a_point_is_a_whole_federation(privacy):
    found = growing.run(Case(3, 200, 2, privacy=privacy))
    assert found["rounds_done"] == 2
    assert found["events"] == found["entries"] > 8
    assert found["round_s"] > 0
    if privacy != "none":
        assert (found["ledgers"], found["charges"]) == (3, 6)
        assert 0 < found["epsilon"] <= 1.2 * EPSILON  # by Renyi


def test_the_two_sides_of_a_sum_are_measured_apart():
    few, many = (growing.sides(Case(n, 200, 1, "masked", sides=True)) for n in (4, 12))
    assert many["to_coordinator_bytes"] > 3 * few["to_coordinator_bytes"]
    assert many["to_hospital_bytes"] > few["to_hospital_bytes"]


def test_a_case_that_breaks_is_named_with_its_last_words():
    from aegis.bench.scale import _run

    with pytest.raises(CheckFailed, match="ended with 1"):
        _run(Case(0, 200, 2))


def test_the_command_writes_a_document_a_table_and_a_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("aegis.bench.scale._run", grown)
    assert run_command(["bench", "scale", "--out", str(tmp_path / "scale")]) == 0
    assert "# Growth" in capsys.readouterr().out
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".md", ".png"]
