"""A hundred requests made of the API's own description; `make prove` sends ten thousand."""

from __future__ import annotations

import pytest

from aegis.console.coordinator.runs import steering
from tests.console.asking import PEOPLE, belongs
from tests.console.fuzzing import fuzzed

EVERYBODY = {**PEOPLE, "nobody": None, "of hospital_01": belongs("hospital_01")}


@pytest.fixture
def started(monkeypatch, finished_home):
    """A start is answered, and starts no process."""
    monkeypatch.setattr(steering, "start", lambda *said: finished_home.open)


def test_no_made_up_request_breaks_a_route_or_reaches_it_without_the_right(window, started):
    found = fuzzed(window.app, EVERYBODY, 120)
    assert found["cases"] >= 80
    assert not found["wrong"], found["wrong"]
    assert {"200", "401", "403", "422"} <= set(found["statuses"])
