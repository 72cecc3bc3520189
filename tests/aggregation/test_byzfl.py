"""The same rules in ByzFL (MIT), where it is installed and where it is right."""

import importlib
import sys
import types
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from aegis.aggregation.rules import rule

RIGHT = {
    "median": lambda b, f: b.Median(),
    "trimmed_mean": lambda b, f: b.TrMean(f=f),
}


@pytest.fixture(scope="module")
def byzfl():
    """Its rules alone: the package's own front door asks for data sets and image models."""
    found = find_spec("byzfl")
    if found is None or found.origin is None:
        pytest.skip("byzfl is not installed; pip install --no-deps byzfl==0.0.11")
    for needed in ("torch", "scipy"):
        pytest.importorskip(needed)
    door = types.ModuleType("byzfl")
    door.__path__ = [str(Path(found.origin).parent)]
    before = sys.modules.get("byzfl")
    sys.modules["byzfl"] = door
    try:
        yield types.SimpleNamespace(
            rules=importlib.import_module("byzfl.aggregators.aggregators"),
            mixing=importlib.import_module("byzfl.aggregators.preaggregators"),
        )
    finally:
        sys.modules.pop("byzfl")
        if before is not None:
            sys.modules["byzfl"] = before


@pytest.mark.parametrize("n", [5, 8, 11, 30])
@pytest.mark.parametrize("name", [*RIGHT, "nnm_trimmed_mean"])
def test_median_trimmed_mean_and_mixing_are_byzfl_s(byzfl, name, n):
    for seed in range(10):
        rows, f = np.random.default_rng([n, seed]).standard_normal((n, 50)), (n - 1) // 4
        if name in RIGHT:
            wanted = RIGHT[name](byzfl.rules, f)(rows)
        else:
            wanted = byzfl.rules.TrMean(f=f)(byzfl.mixing.NNM(f=f)(rows))
        found = rule(name, f=f)(rows, np.ones(n)).vector
        assert np.abs(found - wanted).max() <= 1e-9
