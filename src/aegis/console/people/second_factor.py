"""The second factor: a code of six digits that changes every 30 s (RFC 6238), and ten recovery
codes for the day the telephone is lost.

A code is good once. One step of the clock before and after is taken, for clocks that are not quite
right. SHA-1 is what authenticator applications understand; HMAC does not need its collisions hard.
"""

from __future__ import annotations

import base64
import re
import secrets
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor import InvalidToken
from cryptography.hazmat.primitives.twofactor.totp import TOTP

STEP_S, DIGITS = 30, 6
RECOVERY_CODES = 10
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that looks like another


def new_secret() -> str:
    """160 bits in base 32, as a person would type them."""
    return base64.b32encode(secrets.token_bytes(20)).decode()


def address(secret: str, name: str, issuer: str) -> str:
    """The ``otpauth`` address that an authenticator application reads."""
    label = f"{quote(issuer, safe='')}:{quote(name, safe='')}"
    return f"otpauth://totp/{label}?secret={secret}&issuer={quote(issuer, safe='')}"


def code(secret: str, now: float) -> str:
    return _totp(secret).generate(int(now)).decode()


def step_of(secret: str, given: str, now: float, last: int) -> int | None:
    """The step of the clock this code belongs to, None where it is wrong or not newer than
    ``last``, the step of the code used before."""
    text = given.replace(" ", "")
    if not re.fullmatch(r"[0-9]{6}", text):
        return None
    for step in (int(now) // STEP_S + shift for shift in (-1, 0, 1)):
        if step > last:
            try:
                _totp(secret).verify(text.encode(), step * STEP_S)
            except InvalidToken:
                continue
            return step
    return None


def recovery_codes() -> list[str]:
    """Each of about 59 bits, in three groups."""
    return [
        "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(3))
        for _ in range(RECOVERY_CODES)
    ]


def as_typed(recovery: str) -> str:
    """A recovery code without what a person may add or leave out."""
    return re.sub(r"[\s-]", "", recovery).lower()[:64]


def picture(text: str) -> str | None:
    """A QR code as the address of an SVG image, None where the optional library is not installed.

    An image is a document of its own, so that no style of the page reaches into it."""
    if find_spec("segno") is None:
        return None
    made: Any = import_module("segno").make(text, error="m", micro=False)
    address: str = made.svg_data_uri(scale=5, border=4, dark="#000", light="#fff")
    return address


def _totp(secret: str) -> TOTP:
    return TOTP(base64.b32decode(secret), DIGITS, SHA1(), STEP_S)  # noqa: S303
