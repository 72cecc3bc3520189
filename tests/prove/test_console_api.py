"""Ten thousand made-up requests by everybody: nothing fails, nobody gets what is not theirs.

Both windows are the real ones: the coordinator's on two finished runs, where only a start begins
nothing, and a hospital's on invented patients, where own training begins nothing.
AEGIS_PROVE_CASES asks for another number.
"""

from __future__ import annotations

import os

import pytest

from aegis.console.coordinator.runs import steering
from aegis.console.people.roles import Role
from tests.console.asking import PEOPLE, belongs
from tests.console.conftest import finished_home  # noqa: F401  (a fixture)
from tests.console.coordinator.conftest import window  # noqa: F401
from tests.console.fuzzing import fuzzed
from tests.console.hospital.conftest import north, sample  # noqa: F401  (fixtures)
from tests.console.hospital.everybody import everybody, opened

pytestmark = pytest.mark.prove

CASES, PARTS = int(os.environ.get("AEGIS_PROVE_CASES", "11500")), 10
EVERYBODY = {
    **PEOPLE,
    "nobody": None,
    "an operator of hospital_01": belongs("hospital_01"),
    "a viewer of hospital_02": belongs("hospital_02", Role.VIEWER),
}


@pytest.mark.parametrize("part", range(PARTS))
def test_ten_thousand_requests_break_nothing(window, monkeypatch, measured, part):  # noqa: F811
    monkeypatch.setattr(steering, "start", lambda *said: window.desk.reading.latest())
    found = measured(
        f"part {part}", lambda: fuzzed(window.app, EVERYBODY, CASES // PARTS, number=part)
    )
    print(part, found["cases"], found["statuses"])
    assert found["wrong"] == []
    assert found["cases"] > 0.8 * CASES / PARTS


@pytest.mark.parametrize("part", range(PARTS))
def test_ten_thousand_requests_break_nothing_at_a_hospital(
    north,  # noqa: F811
    monkeypatch,
    measured,
    part,
):
    def how():
        with opened(north, monkeypatch) as own:
            return fuzzed(own.app, everybody(), CASES // PARTS, number=part)

    found = measured(f"hospital, part {part}", how)
    print(part, found["cases"], found["statuses"])
    assert found["wrong"] == []
    assert found["cases"] > 0.8 * CASES / PARTS
