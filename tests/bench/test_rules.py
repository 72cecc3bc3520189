import json
from importlib.util import find_spec

import numpy as np
import pytest

from aegis.aggregation.rules import rule
from aegis.bench import rules_course
from aegis.bench.peers import rules as peers
from aegis.bench.rules import rules, table
from aegis.errors import CheckFailed


class Course:
    """Processes that only say how long they took."""

    def __init__(self, apart=0.0):
        self.apart, self.asked = apart, []

    def __call__(self, rows, length, f, turns):
        self.asked.append((rows, length, f, turns))
        mine = {key: [0.01, 0.02, 0.03] for key in (*rules_course.RULES, *rules_course.OTHERS)}
        return {
            "seconds": {
                "aegis": mine,
                "flower": {"median": [0.2], "krum": [0.9], "bulyan": [0.3]},
                "flower messages": {"krum": [0.06, 0.06], "bulyan": [0.5]},
                "byzfl": {"median": [0.1]},
            },
            "reading": [0.011, 0.012, 0.013],
            "apart": {"flower": self.apart},
            "extra_mb": {"median": 80.0, "krum": None},
            "bytes": 4 * rows * length,
        }


def test_ratios_are_of_medians_and_over_the_faster_of_flower_s_ways():
    course = Course()
    found = rules((10, 20), measure=course)
    assert course.asked == [(10, 1_000_000, 1, 5), (20, 10_000_000, 4, 2)]
    size = found["sizes"][0]
    assert size["ratios"]["median"] == {
        "flower": pytest.approx(10.0),
        "byzfl": pytest.approx(5.0),
    }
    assert size["ratios"]["krum"]["flower"] == pytest.approx(3.0)
    assert size["ratios"]["bulyan"]["flower"] == pytest.approx(15.0)
    assert size["ratios"]["bulyan"]["flower messages"] == pytest.approx(25.0)
    assert size["ratios"]["foolsgold"] == {}
    assert size["fedavg_of_reading"] == pytest.approx(0.6)
    assert size["reading_gb_s"] == pytest.approx(10 / 3)


def test_targets_are_checked_and_shown():
    found = rules((10, 20), measure=Course())
    met = {one["what"]: one["met"] for one in found["targets"]}
    assert met["median of 10 over Flower"]
    assert not met["bulyan of 10 over Flower"]
    assert met["extra memory for 20 x 10000000, MB"]
    text = table(json.loads(json.dumps(found)))
    assert "| median | 20 | 200 |  | 100 | 10 | 5 |" in text
    assert "MISSED" in text


def test_another_result_than_ours_ends_the_comparison():
    with pytest.raises(CheckFailed, match=r"flower is 1\.0e-03 away from ours"):
        rules((10,), measure=Course(apart=1e-3))


def test_the_course_measures_every_contender_that_is_here(tmp_path):
    out = tmp_path / "out.json"
    rules_course.main("7", "3000", "1", "1", str(out))
    found = json.loads(out.read_text())
    assert set(found["seconds"]["aegis"]) == {*rules_course.RULES, *rules_course.OTHERS}
    assert all(gap <= 1e-5 for gap in found["apart"].values())
    assert found["bytes"] == 84_000
    assert ("flower" in found["seconds"]) == (find_spec("flwr") is not None)


@pytest.mark.skipif(find_spec("flwr") is None, reason="flwr is not installed")
def test_flower_s_rules_are_called_as_they_are_meant():
    """Where both implement the same thing they find the same."""
    matrix = np.random.default_rng(0).standard_normal((7, 400)).astype(np.float32)
    found = peers.flower(matrix, 1, 1)
    messages = peers.flower_messages(matrix, 1, 1)
    for name in ("fedavg", "median", "trimmed_mean", "krum", "multi_krum"):
        ours = rule(name, f=0 if name == "fedavg" else 1)(matrix, np.ones(7)).vector
        assert np.abs(found[name]() - ours).max() <= 1e-5, name
        if name in messages:
            assert np.abs(messages[name]() - ours).max() <= 1e-5, name
    assert np.isfinite(found["bulyan"]()).all()
    assert np.isfinite(messages["bulyan"]()).all()
