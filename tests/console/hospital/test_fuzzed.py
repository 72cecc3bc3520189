"""Sixty requests made of a hospital's own description; `make prove` sends ten thousand."""

from __future__ import annotations

from tests.console.fuzzing import fuzzed
from tests.console.hospital.everybody import everybody, opened


def test_no_made_up_request_breaks_a_route_or_reaches_it_without_the_right(north, monkeypatch):
    with opened(north, monkeypatch) as window:
        found = fuzzed(window.app, everybody(), 60)
    assert found["cases"] >= 40
    assert not found["wrong"], found["wrong"]
    assert {"200", "401", "403", "422"} <= set(found["statuses"])
