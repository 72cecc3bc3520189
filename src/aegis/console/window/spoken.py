"""A digest in words that two people can read to each other over a telephone.

Sixteen bits become five letters, consonant and vowel in turn, so that every group can be spoken in
most languages (proquints: Wilkerson 2009). Eight groups are 128 bits.
"""

from __future__ import annotations

CONSONANTS, VOWELS = "bdfghjklmnprstvz", "aiou"
GROUPS = 8


def spoken(sha256: str, groups: int = GROUPS) -> str:
    """The first 16 * ``groups`` bits of a hexadecimal digest. Raises ``ValueError`` for anything
    shorter or not hexadecimal."""
    data = bytes.fromhex(sha256)
    if len(data) < 2 * groups:
        raise ValueError(f"{len(data)} bytes are too few for {groups} groups")
    found = [_group(int.from_bytes(data[2 * at : 2 * at + 2], "big")) for at in range(groups)]
    return " ".join(found)


def _group(number: int) -> str:
    letters = (
        CONSONANTS[number >> 12],
        VOWELS[number >> 10 & 3],
        CONSONANTS[number >> 6 & 15],
        VOWELS[number >> 4 & 3],
        CONSONANTS[number & 15],
    )
    return "".join(letters)
