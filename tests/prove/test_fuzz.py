"""Ten thousand bad cases for each parser, and then atheris along what they reach.

make prove PART=fuzz        AEGIS_FUZZ_CASES and AEGIS_FUZZ_RUNS ask for other numbers

Crashing cases are kept under benchmarks/results/prove/fuzz/; each line says how to replay its own.
"""

from __future__ import annotations

import os
import resource
import sys
import time

import pytest

from tests.fuzz.driving import HARNESSES, driven, harness
from tests.fuzz.guided import guided, installed

pytestmark = pytest.mark.prove

CASES = int(os.environ.get("AEGIS_FUZZ_CASES", "10000"))
RUNS = int(os.environ.get("AEGIS_FUZZ_RUNS", "10000"))
PARTS = 4
DEAR = {
    **dict.fromkeys(("arff", "enrolment", "fhir", "policies", "tables", "uploads"), 5),
    **dict.fromkeys(("exports", "plans"), 10),
}
"""How many times dearer than others one execution is: atheris gets fewer of them."""


def peak_mib():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", HARNESSES)
def test_ten_thousand_cases_break_nothing(name, part, measured):
    def how():
        one, each = harness(name), CASES // PARTS
        one.seeds()
        before, began = peak_mib(), time.process_time()
        told, _ = driven(one, each, begin=part * each)
        return {**told, "seconds": time.process_time() - began, "grew_mib": peak_mib() - before}

    found = measured(f"{name}, {CASES} cases, part {part}", how)
    print(name, part, found)
    assert found["findings"] == []


@pytest.mark.parametrize("name", HARNESSES)
def test_atheris_finds_nothing_either(name, measured):
    if not installed():
        pytest.skip("needs atheris, which is not built for every platform: pip install atheris")
    runs = RUNS // DEAR.get(name, 1)
    found = measured(f"{name}, {runs} runs of atheris", lambda: guided(name, runs))
    print(name, found)
    assert found["findings"] == []
    assert found["executions"] >= runs
