"""Which passwords are taken, and that they are kept as argon2id at its own cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis.console.people.passwords import LONGEST, Passwords, checked, strength
from aegis.errors import BadInput
from tests.console.people.conftest import CHEAP, PASSWORD, came

LETTERS = st.characters(min_codepoint=33, max_codepoint=126)
WEAK = [
    "password1234", "Passw0rd!Passw0rd!", "aaaaaaaaaaaa", "abcabcabcabcabc", "123456789012345",
    "qwertyuiop123456", "abcdefghijklmnop", "hospitalhospital", "ana.meier2026!!",
    "anameieranameier", "Administrator1!", "letmeinletmein", "zxcvbnmasdfghjkl",
    "AegisCoordinator1", "000000000000000001", "Welcome2026Welcome", "P@$$w0rdP@$$w0rd",
    "NorthNorthNorth",
]  # fmt: skip
GOOD = [
    "kettle orbit walnut pier", "Wm3!kz9-Qv7x", "zwei Fische lesen Zeitung",
    "\u6211\u7684\u5bc6\u7801\u662f\u4e00\u53ea\u5feb\u4e50\u7684\u732b\u548c\u72d7",
    "correct horse battery staple",
]  # fmt: skip


@pytest.mark.parametrize("password", WEAK)
def test_a_password_that_is_long_but_guessed_soon_is_refused(password):
    with pytest.raises(BadInput, match="easily guessed") as refused:
        checked(password, "ana.meier", "north")
    assert password not in str(refused.value)


@pytest.mark.parametrize("password", GOOD)
def test_some_words_of_ones_own_are_taken(password):
    assert checked(password, "ana.meier", "north") == password


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("elevenchars", "at least 12"),
        ("x" * (LONGEST + 1), "at most"),
        ("a\0b kettle orbit", "control"),
    ],
)
def test_a_password_of_the_wrong_shape_is_refused(password, why):
    with pytest.raises(BadInput, match=why):
        checked(password)


@given(st.text(LETTERS, min_size=1, max_size=6), st.integers(4, 20))
def test_repeating_something_short_never_makes_it_strong(unit, times):
    assert strength(unit * times) < 8


@given(st.text(max_size=30), st.text(max_size=5))
def test_a_password_is_never_stronger_than_it_is_long(password, name):
    assert 0 <= strength(password, name) <= max(len(password) * 18, 0)


@given(st.text(max_size=40))
def test_what_was_hashed_fits_and_nothing_else_does(password):
    passwords = Passwords(CHEAP)
    stored = passwords.hashed(password)
    assert passwords.fits(stored, password)
    assert not passwords.fits(stored, password + "x")
    assert not passwords.fits("", password)
    assert not passwords.fits("$argon2id$damaged", password)


def test_two_ways_to_write_the_same_letters_are_one_password():
    passwords = Passwords(CHEAP)
    stored = passwords.hashed("caf\u00e9 orbit walnut")
    assert passwords.fits(stored, "cafe\u0301 orbit walnut")


def test_the_cost_is_the_librarys_own_and_cheaper_hashes_are_made_anew(door):
    stored = Passwords().hashed("kettle orbit walnut pier")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert Passwords().outdated(Passwords(CHEAP).hashed("kettle orbit walnut pier"))
    assert not Passwords().outdated(stored)


def test_an_outdated_hash_is_replaced_at_the_next_login(door):
    came(door, "ana")
    door.accounts.passwords = Passwords((2, 16, 1))
    assert door.proofs.check("ana", PASSWORD) is not None
    (stored,) = door.accounts.book.row("SELECT password FROM people")
    assert "m=16,t=2" in stored


def test_a_password_that_was_reset_meanwhile_is_not_written_back(door):
    came(door, "ana")
    hashed = Passwords((2, 16, 1)).hashed

    class Slow(Passwords):
        def hashed(self, password: str) -> str:
            door.accounts.reset("ana", "root")
            return hashed(password)

    door.accounts.passwords = Slow((2, 16, 1))
    door.proofs.check("ana", PASSWORD)
    assert door.accounts.book.row("SELECT password FROM people") == ("",)
    door.accounts.passwords = Passwords(CHEAP)
    door.accounts.welcome(door.accounts.reset("ana", "root"), "", PASSWORD)
    door.accounts.passwords = Slow(CHEAP)
    with pytest.raises(BadInput, match="was reset"):
        door.proofs.change_password("ana", PASSWORD + " and more")
