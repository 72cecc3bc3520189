from importlib.util import find_spec

import numpy as np
import pytest

from aegis.bench import privacy as module
from aegis.bench.privacy import (
    ROUNDS,
    check_agreement,
    contenders_of,
    privacy,
    private_job,
    table,
)
from aegis.bench.problem import rows_of, start
from aegis.cli.app import run_command
from aegis.errors import CheckFailed
from aegis.training.private import PrivateTrainer


class Clock:
    """Contenders that only say how long they took, in seconds of a clock that nobody waits for."""

    def __init__(self, monkeypatch, **seconds):
        self.now, self.seconds, self.calls = 0.0, seconds, []
        monkeypatch.setattr(module, "perf_counter", lambda: self.now)
        monkeypatch.setattr(module, "monotonic", lambda: self.now)

    def __call__(self, hospitals):
        def contender(name, took):
            def round(weights):
                assert np.array_equal(weights, start())
                self.calls.append((hospitals, name))
                # What finds cold caches takes ten times as long.
                first = len(self.calls) < 2 or self.calls[-2][1] != name
                self.now += (10 if first else 1) * took

            return round

        return {name: contender(name, took) for name, took in self.seconds.items()}


def test_ratios_are_over_ours_and_the_first_round_of_a_turn_is_not_counted(monkeypatch):
    clock = Clock(monkeypatch, private=2.0, silent=1.0, ordinary=0.5, opacus=80.0)
    found = privacy((100,), repeats=3, seconds=1e9, rounds=clock)
    (one,) = found["sizes"]
    assert {name: ratio["median"] for name, ratio in one["ratios"].items()} == pytest.approx(
        {"silent": 0.5, "ordinary": 0.25, "opacus": 40.0}
    )
    assert one["contenders"]["private"]["rounds"] == 3 * (ROUNDS - 1)
    assert [target["met"] for target in found["targets"]] == [True, True]
    names = [name for _, name in clock.calls]
    assert names[: 4 * ROUNDS : ROUNDS] == ["private", "silent", "ordinary", "opacus"]
    text = table(found)
    assert "| 100 | Opacus, hospital by hospital | 80000.0 (80000.0) |" in text
    assert "MISSED" not in text


def test_targets_that_are_missed_are_said(monkeypatch):
    clock = Clock(monkeypatch, private=3.0, silent=1.0, ordinary=1.0, opacus=60.0)
    found = privacy((8,), repeats=1, seconds=1e9, rounds=clock)
    assert [(t["value"], t["met"]) for t in found["targets"]] == [
        (pytest.approx(3.0), False),
        (pytest.approx(20.0), False),
    ]
    assert table(found).count("MISSED") == 2


def test_every_size_is_measured_once_however_little_time_there_is(monkeypatch):
    said = []
    clock = Clock(monkeypatch, private=1.0, silent=1.0)
    found = privacy((8, 20), repeats=4, seconds=0.0, told=said.append, rounds=clock)
    assert [one["hospitals"] for one in found["sizes"]] == [8, 20]
    assert len(clock.calls) == 2 * 2 * ROUNDS
    assert any("stopped after 1 of 4" in text for text in said)


def test_without_opacus_the_rest_is_measured_and_its_absence_said(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    found = privacy((2,), repeats=1)
    assert set(found["sizes"][0]["contenders"]) == {"private", "silent", "ordinary"}
    assert found["absent"] == {"opacus": "not installed: opacus"}
    assert "not installed: opacus" in table(found)
    assert len(found["targets"]) == 1


def test_ours_is_the_engine_that_hospitals_use_with_noise_in_every_step():
    job = private_job(3, 1, start())
    rows = len(rows_of(3)[1])
    assert job.private.sampling_rate == 32 / rows
    assert job.private.steps == -(-rows // 32)
    one, other = (PrivateTrainer().train(job).vector for _ in range(2))
    assert (one != other).mean() > 0.99


@pytest.mark.engine
def test_without_noise_opacus_makes_the_same_step():
    if find_spec("opacus") is None:
        pytest.skip("opacus is not installed")
    assert check_agreement(3) < 1e-6
    found = contenders_of(2)["opacus"](start())
    assert found.shape == (2, 3521)
    assert np.abs(found - start()).max() > 1e-3


@pytest.mark.engine
def test_another_step_voids_the_comparison(monkeypatch):
    if find_spec("opacus") is None:
        pytest.skip("opacus is not installed")
    monkeypatch.setattr(module, "CLIP", 0.5)
    monkeypatch.setattr(module, "ROUNDING_ROOM", 0.5)
    with pytest.raises(CheckFailed, match="away from ours"):
        check_agreement(2)


def test_the_command_knows_its_benchmarks(capsys):
    assert run_command(["bench", "speed"]) == 2
    assert "there are: engine, privacy" in capsys.readouterr().err
