"""Codes of six digits, each good once; recovery codes; and setting both up."""

from __future__ import annotations

import sys
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis.console.people import second_factor
from aegis.console.people.second_factor import STEP_S, address, code, step_of
from aegis.errors import BadInput
from tests.console.people.conftest import PASSWORD, came

# RFC 6238, appendix B, for SHA-1: the last six of its eight digits
SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
VECTORS = [
    (59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"),
    (2000000000, "279037"), (20000000000, "353130"),
]  # fmt: skip


@pytest.mark.parametrize(("now", "digits"), VECTORS)
def test_the_codes_are_those_of_the_standard(now, digits):
    assert code(SECRET, now) == digits
    assert step_of(SECRET, digits, now, 0) == now // STEP_S


@given(st.integers(10**6, 2 * 10**9), st.integers(-5, 5))
def test_a_code_counts_one_step_around_now(now, shift):
    given_code = code(SECRET, now + shift * STEP_S)
    found = step_of(SECRET, given_code, now, 0)
    if abs(shift) <= 1:
        assert found is not None
    if found is not None:
        assert abs(found - now // STEP_S) <= 1


@pytest.mark.parametrize(
    "text", ["", "12345", "1234567", "abcdef", "\u0661" * 6, "-12345", "1e1000"]
)
def test_what_is_no_code_is_none(text):
    assert step_of(SECRET, text, 1e9, 0) is None


def test_a_code_opens_once_and_older_ones_not_at_all(door, clock):
    secret = _set_up(door, clock)
    clock.now += 60
    before = code(secret, clock.now - STEP_S)
    now = code(secret, clock.now)
    assert door.proofs.check("ana", PASSWORD) is None
    assert door.proofs.check("ana", PASSWORD, "000000" if now != "000000" else "111111") is None
    assert door.proofs.check("ana", PASSWORD, f"{now[:3]} {now[3:]}") is not None
    assert door.proofs.check("ana", PASSWORD, now) is None
    assert door.proofs.check("ana", PASSWORD, before) is None
    clock.now += STEP_S
    assert door.proofs.check("ana", PASSWORD, code(secret, clock.now)) is not None


def test_the_code_that_set_it_up_does_not_open_as_well(door, clock):
    secret = _set_up(door, clock)
    assert door.proofs.check("ana", PASSWORD, code(secret, clock.now)) is None


def test_a_recovery_code_opens_once_however_it_is_typed(door, clock):
    codes = _set_up(door, clock, want_codes=True)
    assert len(set(codes)) == 10
    typed = codes[3].upper().replace("-", " ")
    assert door.proofs.check("ana", PASSWORD, typed) is not None
    assert door.proofs.check("ana", PASSWORD, codes[3]) is None
    assert door.proofs.check("ana", PASSWORD, codes[4]) is not None
    assert door.proofs.check("ana", "wrong wrong wrong", codes[5]) is None
    assert door.proofs.check("ana", PASSWORD, codes[5]) is not None  # it was not used up
    came(door, "ben")
    assert door.proofs.check("ben", PASSWORD, codes[6]) is not None  # who has none needs none
    assert door.proofs.check("ana", PASSWORD, codes[6]) is not None


def test_a_wrong_first_code_sets_nothing_up(door):
    came(door, "ana")
    secret = door.proofs.begin_second_factor("ana")
    assert door.proofs.begin_second_factor("ana") == secret
    with pytest.raises(BadInput, match="does not fit"):
        door.proofs.confirm_second_factor("ana", "12345")
    assert not door.accounts.find("ana").second_factor
    assert door.proofs.check("ana", PASSWORD) is not None


def test_without_having_begun_no_code_fits(door):
    came(door, "ana")
    with pytest.raises(BadInput):
        door.proofs.confirm_second_factor("ana", "000000")


def test_the_address_is_what_an_application_reads():
    parts = urlsplit(address(SECRET, "ana", "Aegis north & co"))
    assert (parts.scheme, parts.netloc) == ("otpauth", "totp")
    assert parse_qs(parts.query) == {"secret": [SECRET], "issuer": ["Aegis north & co"]}
    assert parts.path == "/Aegis%20north%20%26%20co:ana"


def test_the_picture_is_the_librarys_drawing_and_without_it_there_is_none(monkeypatch):
    class Made:
        def svg_data_uri(self, **options: object) -> str:
            return "data:image/svg+xml,x"

    class Segno:
        @staticmethod
        def make(text: str, **options: object) -> Made:
            assert text == "otpauth://x"
            return Made()

    monkeypatch.setattr(second_factor, "find_spec", lambda name: None)
    assert second_factor.picture("otpauth://x") is None
    monkeypatch.setattr(second_factor, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "segno", Segno)
    assert second_factor.picture("otpauth://x") == "data:image/svg+xml,x"


def _set_up(door, clock, want_codes=False):
    came(door, "ana")
    secret = door.proofs.begin_second_factor("ana")
    codes = door.proofs.confirm_second_factor("ana", code(secret, clock.now))
    return codes if want_codes else secret
