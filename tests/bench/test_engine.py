import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from aegis.bench.contender import CONTENDERS, contender, peak_mb
from aegis.bench.engine import NOISY, TITLES, engine
from aegis.bench.memory import MemoryWatch
from aegis.bench.problem import MODEL, rows_of, start
from aegis.bench.table import table
from aegis.errors import CheckFailed


class Course:
    """Contenders that only say how fast they were: ``ms`` per round at 8 hospitals, and as many
    times more as there are more hospitals."""

    def __init__(self, ms: dict[str, float], off: dict[str, float] | None = None) -> None:
        self.ms, self.off, self.asked = ms, off or {}, []

    def __call__(self, name: str, hospitals: int, rounds: int) -> dict:
        self.asked.append((name, hospitals, rounds))
        second = self.ms[name] * hospitals / 8 / 1000
        return {
            "seconds": [2 * second, second, second],
            "weights": [1.0, 2.0 + self.off.get(name, 0.0)],
            "peak_mb": 50.0,
        }


FAST = {"engine": 2.0, "flower": 200.0}


def test_ratios_are_of_medians_and_of_minima():
    found = engine((8, 1000), contenders=list(FAST), measure=Course(FAST))
    for size in found["sizes"]:
        assert size["ratios"] == {
            "engine": {"median": pytest.approx(100), "min": pytest.approx(100)}
        }
        assert size["contenders"]["engine"]["us_per_hospital"] == pytest.approx(250)
    assert all(target["met"] for target in found["targets"])


def test_contenders_take_turns():
    course = Course(FAST)
    engine((8, 20), repeats=2, contenders=list(FAST), measure=course)
    assert [name for name, _, _ in course.asked] == ["engine", "flower"] * 4
    assert [size for _, size, _ in course.asked] == [8] * 4 + [20] * 4


def test_a_target_that_is_missed_is_said():
    slow = {"engine": 10.0, "flower": 200.0}
    found = engine((8,), contenders=list(slow), measure=Course(slow))
    (target,) = found["targets"]
    assert (target["value"], target["target"], target["met"]) == (pytest.approx(20), 40, False)
    assert "MISSED" in table(found)


def test_other_weights_than_ours_void_the_comparison():
    course = Course(FAST, {"flower": 2e-5})
    with pytest.raises(CheckFailed, match=r"flower is 2\.0e-05 away from ours"):
        engine((8,), contenders=list(FAST), measure=course)
    with pytest.raises(CheckFailed, match="flower is nan away"):
        engine((8,), contenders=list(FAST), measure=Course(FAST, {"flower": float("nan")}))


def test_every_size_is_measured_once_however_little_time_there_is():
    said: list[str] = []
    course = Course(FAST)
    engine((8, 20), repeats=3, seconds=0, contenders=list(FAST), measure=course, told=said.append)
    assert len(course.asked) == 4
    assert any("stopped after 1 of 3" in text for text in said)


def test_without_the_yardstick_there_are_no_ratios_but_times():
    found = engine((8,), contenders=["engine"], measure=Course(FAST))
    assert found["sizes"][0]["ratios"] == {}
    assert found["targets"] == []
    assert "Aegis, engine alone | 2 (2)" in table(found)


def test_what_is_not_installed_is_said_and_left_out(monkeypatch):
    from aegis.bench import engine as module

    monkeypatch.setitem(module.NEEDS, "flower", ("no_such_module",))
    course = Course(FAST)
    found = engine((8,), contenders=list(FAST), measure=course)
    assert {name for name, _, _ in course.asked} == {"engine"}
    assert found["absent"] == {"flower": "not installed: no_such_module"}
    assert "not installed: no_such_module" in table(found)


def test_a_contender_that_breaks_is_named_with_its_last_words():
    with pytest.raises(CheckFailed, match="engine ended with 1 at 0 hospitals"):
        engine((0,), contenders=["engine"], rounds=3)


def test_every_contender_has_a_title():
    assert set(CONTENDERS) <= set(TITLES)


def test_hospitals_are_the_same_in_every_process():
    code = "from aegis.bench.problem import rows_of; print(float(rows_of(7)[0].sum()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) == float(rows_of(7)[0].sum())


def test_hospitals_are_as_the_course_says():
    sizes = [len(rows_of(number)[1]) for number in range(100)]
    assert 75 <= min(sizes) < 100
    assert 275 < max(sizes) <= 300
    assert MODEL.size == 3521


def test_ours_and_the_plain_loop_end_alike():
    ours, plain = (contender(name)(3, 4) for name in ("engine", "plain"))
    assert len(ours.seconds) == len(plain.seconds) == 3
    assert np.abs(ours.weights - plain.weights).max() < 1e-5
    assert np.abs(ours.weights - start()).max() > 1e-3


def test_the_whole_run_ends_as_the_engine_does():
    ours, whole = (contender(name)(3, 5) for name in ("engine", "whole"))
    assert len(whole.seconds) == 3
    assert np.abs(ours.weights - whole.weights).max() < 1e-5


@pytest.mark.parametrize("name", sorted(NOISY))
def test_a_run_with_noise_is_measured_and_ends_elsewhere(name):
    ours, noisy = (contender(one)(3, 5) for one in ("engine", name))
    assert len(noisy.seconds) == 3
    assert np.isfinite(noisy.weights).all()
    assert np.abs(ours.weights - noisy.weights).max() > 1e-3


def test_what_is_noisy_is_not_held_to_the_same_weights():
    course = Course(FAST | {"charged": 5.0}, {"charged": 1.0})
    found = engine((8,), contenders=[*FAST, "charged"], measure=course)
    assert [one["met"] for one in found["targets"]] == [True, True]


@pytest.mark.skipif(peak_mb() is None, reason="this system has no /proc")
def test_the_memory_of_a_child_process_is_seen():
    code = "import time, subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    child = "x = bytearray(60 << 20); import time; time.sleep(1)"
    process = subprocess.Popen([sys.executable, "-c", code, child])
    with MemoryWatch(process.pid, every_s=0.05) as memory:
        process.wait()
    assert memory.peak_mb is not None
    assert 60 < memory.peak_mb < 160


@pytest.mark.engine
def test_flower_on_ray_ends_with_our_weights():
    for module in ("flwr", "ray", "torch"):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    found = engine((2,), repeats=1, rounds=3, contenders=["engine", "flower"])
    (size,) = found["sizes"]
    assert size["contenders"]["flower"]["apart"] < 1e-5
    assert size["ratios"]["engine"]["median"] > 1
    assert "Flower simulation (Ray)" in table(found)
