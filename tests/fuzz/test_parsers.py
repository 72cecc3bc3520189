"""A few hundred bad cases for each parser: nothing comes out but the house's own errors."""

from __future__ import annotations

import time
from importlib.util import find_spec
from random import Random

import numpy as np
import pytest

from aegis.errors import DataError
from tests.fuzz.driving import HARNESSES, harness
from tests.fuzz.harness import Harness, judged
from tests.fuzz.mutations import of_bytes

CASES = 150
FEWER = {  # what takes milliseconds, or tens of them
    **dict.fromkeys(("arff", "enrolment", "fhir", "policies", "tables", "uploads"), 40),
    **dict.fromkeys(("exports", "plans"), 10),
}


@pytest.mark.parametrize("name", HARNESSES)
def test_a_parser_takes_anything_or_says_why_not(name):
    if name == "stanzas" and find_spec("spade") is None:
        pytest.skip("needs spade: pip install -e '.[xmpp]'")
    one = harness(name)
    good = [judged(one, data) for data in one.seeds()]  # what is imported late is imported here
    found = [judged(one, one.case(number)) for number in range(FEWER.get(name, CASES))]
    assert [str(each) for each in (*good, *found) if each is not None] == []


@pytest.mark.parametrize("name", HARNESSES)
def test_a_case_is_known_by_its_number(name):
    if name == "stanzas" and find_spec("spade") is None:
        pytest.skip("needs spade: pip install -e '.[xmpp]'")
    one = harness(name)
    assert one.case(7) == one.case(7)
    assert len({one.case(number) for number in range(10)}) > 5


@pytest.mark.parametrize("name", HARNESSES)
def test_a_case_may_be_made_of_anything(name):
    """libFuzzer hands back what it made itself."""
    one, seeds = harness(name), harness(name).seeds()
    for junk in (b"", b"5", b"null", b"[]", b"{}", b"\xff" * 50, b"SIGN", b"\n\n", b"a,b\n"):
        for number in range(10):
            assert isinstance(one.mutate(Random(number), junk, seeds), bytes)


def seen(take):
    return judged(Harness("made up", take, list, of_bytes), b"case")


def test_the_houses_own_errors_are_no_finding():
    def refusing(data):
        raise DataError("no table")

    assert seen(refusing) is None
    assert seen(len) is None


def test_any_other_error_is_a_finding_at_its_line():
    def broken(data):
        return np.zeros(3)[data[99]]

    found = seen(broken)
    assert (found.kind, found.data) == ("uncaught", b"case")
    assert "IndexError" in str(found)
    assert "test_parsers.py" in str(found)


def test_what_is_slow_twice_is_a_finding_and_once_is_not(monkeypatch):
    monkeypatch.setattr("tests.fuzz.harness.LONGEST_S", 0.05)
    calls = []

    def once(data):
        calls.append(data)
        busy(0.1 if len(calls) == 1 else 0)

    assert seen(once) is None
    assert len(calls) == 2
    assert seen(lambda data: busy(0.1)).kind == "slow"


def test_what_never_ends_is_given_up(monkeypatch):
    monkeypatch.setattr("tests.fuzz.harness.GIVEN_UP_S", 0.2)
    assert seen(lambda data: busy(60)).kind == "slow"


def test_what_takes_much_memory_is_a_finding(monkeypatch):
    monkeypatch.setattr("tests.fuzz.harness.MOST_MIB", 0.0)
    peaks = iter((100.0, 300.0))
    monkeypatch.setattr("tests.fuzz.harness._peak_mib", lambda: next(peaks))
    assert seen(len).kind == "memory"


def busy(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
