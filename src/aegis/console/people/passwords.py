"""Passwords: argon2id at the library's own cost (64 MiB, 3 passes, 4 lanes), and which are weak.

Whoever asks for a name that is not there waits as long as for one that is. Two passwords at a time
are looked at, so that a crowd at the door costs 128 MiB and not the machine.
"""

from __future__ import annotations

import threading
import unicodedata
from functools import cached_property
from typing import TYPE_CHECKING

from aegis.errors import BadInput, MissingExtra

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SHORTEST, LONGEST = 12, 256
_ENOUGH = 8
_AT_ONCE = 2
# The words most passwords are made of; each counts as one character of the strength.
_COMMON = (
    "password", "passwort", "motdepasse", "contrasena", "welcome", "willkommen", "letmein",
    "changeme", "secret", "geheim", "hospital", "krankenhaus", "klinik", "clinic", "doctor",
    "doktor", "nurse", "patient", "medical", "health", "radiology", "cardiology", "aegis",
    "coordinator", "federated", "federation", "learning", "admin", "administrator", "root",
    "researcher", "auditor", "operator", "viewer", "officer", "master", "monkey", "dragon",
    "football", "baseball", "iloveyou", "sunshine", "princess", "superman", "batman", "trustno1",
    "login", "qwertz", "qwerty", "azerty", "summer", "winter", "spring", "autumn", "sommer",
    "january", "february", "march", "april", "june", "july", "august", "september", "october",
    "november", "december", "monday", "friday", "london", "berlin", "paris", "test", "user",
    "default", "computer", "internet", "shadow", "michael", "jordan", "hello", "hallo",
)  # fmt: skip
_RUNS = ("qwertyuiop", "qwertzuiop", "asdfghjkl", "zxcvbnm", "yxcvbnm", "1234567890")
_LIKE = str.maketrans({"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a",
                       "$": "s", "!": "i"})  # fmt: skip


class Passwords:
    """``cost`` is (passes, KiB, lanes); None takes argon2-cffi's defaults."""

    def __init__(self, cost: tuple[int, int, int] | None = None) -> None:
        try:
            from argon2 import PasswordHasher
        except ImportError as error:
            raise MissingExtra("passwords", "serve") from error
        self._hasher: PasswordHasher = (
            PasswordHasher()
            if cost is None
            else PasswordHasher(time_cost=cost[0], memory_cost=cost[1], parallelism=cost[2])
        )
        self._few = threading.BoundedSemaphore(_AT_ONCE)

    @cached_property
    def _nobodys(self) -> str:
        return self._hasher.hash("nobody has this one")

    def hashed(self, password: str) -> str:
        with self._few:
            return self._hasher.hash(_normal(password))

    def fits(self, stored: str, password: str) -> bool:
        """``stored`` may be empty, for nobody; that takes as long and never fits."""
        from argon2.exceptions import InvalidHashError, VerificationError

        nobodys = self._nobodys  # made at the first call of all, whoever is asked for
        with self._few:
            try:
                self._hasher.verify(stored or nobodys, _normal(password[: LONGEST + 1]))
            except (VerificationError, InvalidHashError):
                return False
        return bool(stored)

    def outdated(self, stored: str) -> bool:
        return self._hasher.check_needs_rehash(stored)


def checked(password: str, name: str = "", hospital: str = "") -> str:
    """The password. Raises ``BadInput`` for one that is guessed soon, never showing it."""
    text = _normal(password)
    if len(text) < SHORTEST:
        raise BadInput(
            f"a password of {len(text)} characters",
            f"at least {SHORTEST}",
            "Four or five words that have nothing to do with each other are easy to keep",
        )
    if len(text) > LONGEST:
        raise BadInput(f"a password of {len(text)} characters", f"at most {LONGEST}")
    if any(unicodedata.category(one) == "Cc" for one in text):
        raise BadInput("a password with a control character", "letters, digits, signs and spaces")
    if strength(text, name, hospital) < _ENOUGH:
        raise BadInput(
            "this password is easily guessed",
            "not your name, a common word, a repetition or a row of keys",
            "Four or five words that have nothing to do with each other are easy to keep",
        )
    return password


def strength(password: str, *known: str) -> int:
    """How many characters are left to guess: a known word, a repetition and a row of keys or of the
    alphabet count as one each, however long."""
    text = _normal(password).casefold()
    words = {word.casefold() for word in known if len(word) >= 3}
    words |= {part for word in words for part in _parts(word)}
    least = len(text)
    for form in {text, text.translate(_LIKE)}:
        left = form
        for word in sorted(words | set(_COMMON), key=len, reverse=True):
            left = left.replace(word, "\0")
        least = min(least, _units(_once(left)))
    return least


def _once(text: str) -> str:
    """What is repeated over and over, once and a sign for the rest."""
    for length in range(1, len(text) // 2 + 1):
        if text == (text[:length] * (len(text) // length + 1))[: len(text)]:
            return text[:length] + "\0"
    return text


def _parts(word: str) -> set[str]:
    for sign in "._-@ ":
        word = word.replace(sign, " ")
    return {part for part in word.split() if len(part) >= 3}


def _units(text: str) -> int:
    """One a character, but nothing for one that goes on with a run or repeats what stood before."""
    units = position = 0
    while position < len(text):
        units += 1
        position += max(1, _run(text, position), _repeated(text, position))
    return units


def _run(text: str, start: int) -> int:
    """How many characters from here are one character, a row of the alphabet or of the keys; 0 for
    fewer than three."""
    longest = 1
    for step in (-1, 0, 1):
        end = start + 1
        while end < len(text) and ord(text[end]) - ord(text[end - 1]) == step:
            end += 1
        longest = max(longest, end - start)
    for row in _RUNS:
        for keys in (row, row[::-1]):
            end = start + 1
            while end < len(text) and text[start : end + 1] in keys:
                end += 1
            longest = max(longest, end - start)
    return longest if longest >= 3 else 0


def _repeated(text: str, start: int) -> int:
    """How much of what is to come stood before, for two characters and more."""
    length = 0
    while start + length < len(text) and text[start : start + length + 1] in text[:start]:
        length += 1
    return length if length >= 2 else 0


def _normal(password: str) -> str:
    return unicodedata.normalize("NFKC", password)
