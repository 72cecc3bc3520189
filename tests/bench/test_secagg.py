from importlib.util import find_spec

import numpy as np
import pytest

from aegis.bench import secagg as module
from aegis.bench.sealed import Round, lost_of
from aegis.bench.secagg import check_agreement, contenders_of, secagg, table
from aegis.cli.app import run_command
from aegis.errors import CheckFailed


class Clock:
    """Contenders that only say how long each side took, by a clock that nobody waits for."""

    def __init__(self, monkeypatch, **seconds):
        self.now, self.seconds, self.calls = 0.0, seconds, []
        monkeypatch.setattr(module, "process_time", lambda: self.now)
        monkeypatch.setattr(module, "monotonic", lambda: self.now)

    def __call__(self, hospitals, numbers):
        def side(name, took):
            def work():
                self.calls.append((hospitals, numbers, name))
                self.now += took

            return work

        return {name: [side(name, took) for took in both] for name, both in self.seconds.items()}


FAST = {
    "ring64": (0.2, 0.8),
    "floor64": (0.1, 0.5),
    "ring32": (0.1, 0.4),
    "floor32": (0.05, 0.25),
    "flower": (2.0, 30.0),
}


def test_ratios_are_over_ours_and_over_the_floor_side_by_side(monkeypatch):
    clock = Clock(monkeypatch, **FAST)
    found = secagg((50,), repeats=3, contenders=clock)
    (one,) = found["sizes"]
    assert one["faster"]["ring64"] == pytest.approx({"hospital": 10.0, "coordinator": 37.5})
    assert one["faster"]["ring32"] == pytest.approx({"hospital": 20.0, "coordinator": 75.0})
    assert one["over_floor"]["ring64"] == pytest.approx({"hospital": 2.0, "coordinator": 1.6})
    assert (one["lost"], one["turns"]) == (5, 3)
    assert [name for _, _, name in clock.calls[:10:2]] == list(FAST)
    text = table(found)
    assert "| 50 (5) | 1000000 | Aegis, 64-bit ring | 0.200 (0.200) | 0.800 (0.800) |" in text
    assert len(found["targets"]) == 6


def test_targets_that_are_missed_are_said(monkeypatch):
    slow = {**FAST, "ring64": (0.7, 11.0), "ring32": (0.4, 6.0)}
    found = secagg((50,), repeats=1, contenders=Clock(monkeypatch, **slow))
    assert [target["met"] for target in found["targets"]] == [False] * 6
    assert table(found).count("MISSED") == 6
    late = {"ring64": (2.1, 3.1)}
    found = secagg((8, 100), repeats=1, contenders=Clock(monkeypatch, **late))
    assert [(t["value"], t["met"]) for t in found["targets"]] == [
        (pytest.approx(2.1), False),
        (pytest.approx(3.1), False),
        (pytest.approx(3.1), False),
    ]


def test_every_size_is_measured_once_however_little_time_there_is(monkeypatch):
    said = []
    clock = Clock(monkeypatch, ring64=(1.0, 1.0))
    found = secagg((8, 20), repeats=4, seconds=0.0, told=said.append, contenders=clock)
    assert [(one["hospitals"], one["numbers"]) for one in found["sizes"]] == [
        (8, 11_181_642),
        (20, 1_000_000),
    ]
    assert len(clock.calls) == 4
    assert any("stopped after 1 of 4" in text for text in said)


def test_without_flower_the_rest_is_measured_and_its_absence_said(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    monkeypatch.setattr(module, "CASES", {4: 300})
    found = secagg((4,), repeats=1)
    assert set(found["sizes"][0]["contenders"]) == {"ring64", "floor64", "ring32", "floor32"}
    assert found["absent"] == {"flower": "not installed: flwr"}
    assert "not installed: flwr" in table(found)


@pytest.mark.parametrize("bits", [64, 32])
def test_ours_opens_the_true_sum_of_those_who_stayed_and_again_each_turn(bits):
    measured = Round(11, 50, bits)
    kept = measured.names[: 11 - lost_of(11)]
    assert lost_of(11) == 1
    true = sum(measured.updates[name].astype(np.float64) for name in kept)
    for _ in range(2):
        measured.hospital()
        assert np.abs(measured.coordinator() - true).max() < 11 * 2.0 ** (
            -17 if bits == 32 else -25
        )


@pytest.mark.engine
def test_flower_opens_the_same_mean():
    if find_spec("flwr") is None:
        pytest.skip("flwr is not installed")
    assert check_agreement() < 2e-5
    client, server = contenders_of(8, 40)["flower"]
    client()
    assert server().shape == (40,)


@pytest.mark.engine
def test_another_mean_voids_the_comparison(monkeypatch):
    if find_spec("flwr") is None:
        pytest.skip("flwr is not installed")
    from aegis.bench.peers import flower_secagg

    honest = flower_secagg.mean
    monkeypatch.setattr(flower_secagg, "mean", lambda updates, kept: honest(updates, kept) * 1.01)
    with pytest.raises(CheckFailed, match="away from ours"):
        check_agreement()


def test_the_command_names_its_benchmarks(capsys):
    assert run_command(["bench", "speed"]) == 2
    assert "secagg" in capsys.readouterr().err
