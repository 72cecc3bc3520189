"""How a good case goes bad: in its bytes, its words, its lines, or its structure.

Everything follows from the generator that is handed in, so a case is known by its seed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from tests.fuzz.harness import LARGEST, Mutate

NUMBERS = (
    *("0", "-1", "1e999", "-1e999", "nan", "Infinity", "NaN", "1e308", "5e-324", "0.1", "-0"),
    *("2147483648", "4294967296", "9007199254740993", "9223372036854775808", "1" * 400, "9" * 5000),
)
WORDS = (
    *("", " ", "\0", "\ud800", "\ufeff", "\u202e", "é", "\U0001f9ea", "'", '"', '""', "\\", "%s"),
    *("null", "true", "no", "..", "../../etc/passwd", "__class__", "=1+1", "@array", "a" * 5000),
    *("\t", "\r", "\n", "\r\n", "\x85", "\u2028", "{}", "[]", "[[", "{{", "&a", "*a", "!!x", "#"),
    *("0001-01-01", "9999-12-31", "0000-00-00", "2024-02-30", "0001-01-01T00:00:00+14:00"),
)
_INTERESTING = (0, 1, 0x7F, 0x80, 0xFE, 0xFF, 10, 13, 34, 39, 44, 92)
_TOKEN = re.compile(rb"[A-Za-z0-9_.+-]+")


def of_bytes(rng: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    """One to four changes that know nothing of the format."""
    for _ in range(rng.randint(1, 4)):
        data = rng.choice(_BYTES)(rng, data, seeds)[:LARGEST]
    return data


def of_words(rng: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    """Words and numbers become others, its own or hostile ones."""
    for _ in range(rng.randint(1, 3)):
        found = list(_TOKEN.finditer(data))
        if not found:
            return data + _word(rng)
        at = rng.choice(found)
        own = rng.choice(found).group()
        number = at.group()[:1].isdigit() and rng.random() < 0.7
        other = rng.choice(NUMBERS).encode() if number else rng.choice((own, _word(rng)))
        data = data[: at.start()] + other + data[at.end() :]
    return data


def of_lines(rng: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    """Lines go, come twice, change places, are cut, or come from another seed."""
    lines = data.splitlines(keepends=True) or [b""]
    for _ in range(rng.randint(1, 3)):
        at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        match rng.randrange(7):
            case 0 if len(lines) > 1:
                del lines[at]
            case 1:
                lines.insert(other, lines[at])
            case 2:
                lines[at], lines[other] = lines[other], lines[at]
            case 3:
                lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
            case 4:
                lines.insert(at, rng.choice(rng.choice(seeds).splitlines(keepends=True) or [b""]))
            case 5:
                lines[at] *= min(rng.choice((2, 50, 2000)), 1 + LARGEST // (1 + len(lines[at])))
            case _:
                lines[at] = of_words(rng, lines[at], seeds)
    return b"".join(lines)[:LARGEST]


def of_json(rng: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    """The same document with one to three of its values changed, moved, wrapped or gone."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return of_bytes(rng, data, seeds)
    return json.dumps(changed(rng, document)).encode()


def changed(rng: Random, document: Any) -> Any:
    for _ in range(rng.randint(1, 3)):
        places = list(_places(document))
        if not places:
            return hostile(rng)
        holder, key = rng.choice(places)
        match rng.randrange(8):
            case 0:
                del holder[key]
            case 1:
                holder[key] = [holder[key]]
            case 2:
                holder[key] = _copied(rng.choice([held[at] for held, at in places]))
            case 3 if isinstance(holder, dict):
                holder[rng.choice(WORDS)] = holder.pop(key)
            case 3 | 4 if isinstance(holder, list):
                holder.insert(key, _copied(holder[key]))
            case 5 if isinstance(holder[key], str) and holder[key]:
                holder[key] = _respelled(rng, holder[key])
            case 6 if isinstance(holder[key], int | float):
                holder[key] = rng.choice((holder[key] + 1, -holder[key], 2**63, 10**400, 1e308))
            case _:
                holder[key] = hostile(rng)
    return document


def hostile(rng: Random) -> Any:
    deep: Any = 0
    for _ in range(rng.choice((3, 200))):
        deep = [deep]
    return rng.choice(
        (
            *(None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**64, 10**400, 0.5, 1e308),
            *(float("nan"), float("inf"), -float("inf"), [], {}, [None], {"": None}, [[]], deep),
            rng.choice(WORDS),
            rng.choice(NUMBERS),
        )
    )


def one_of(*ways: Mutate) -> Mutate:
    def mutate(rng: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
        return rng.choice(ways)(rng, data, seeds)

    return mutate


def mended(way: Mutate, mend: Callable[[bytes], bytes]) -> Mutate:
    """``mend`` makes lengths, digests or signatures fit again, so that what is behind them is
    reached."""

    def mutate(rng: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
        return mend(way(rng, data, seeds))

    return mutate


text = one_of(of_bytes, of_words, of_lines)
document = one_of(of_json, of_json, of_words, of_bytes)


def _copied(value: Any) -> Any:
    """No value holds itself."""
    return json.loads(json.dumps(value))


def _places(document: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    left = [document]
    while left:
        holder = left.pop()
        if isinstance(holder, dict | list):
            for key in holder if isinstance(holder, dict) else range(len(holder)):
                found.append((holder, key))
                left.append(holder[key])
    return found


def _respelled(rng: Random, word: str) -> str:
    at = rng.randrange(len(word))
    match rng.randrange(4):
        case 0:
            return word[:at]
        case 1:
            return word[:at] + rng.choice(WORDS) + word[at:]
        case 2:
            return word[:at] + rng.choice("0189afAZ_ .") + word[at + 1 :]
        case _:
            return word + word


def _word(rng: Random) -> bytes:
    chosen = rng.choice(rng.choice((WORDS, NUMBERS)))
    return chosen.encode("utf-8", "surrogatepass")


def _span(rng: Random, data: bytes) -> tuple[int, int]:
    begin = rng.randrange(len(data) + 1)
    return begin, min(len(data), begin + rng.choice((1, 2, 4, 8, 32, 200)))


def _flipped(rng: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    if not data:
        return b"\0"
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _set(rng: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + bytes([rng.choice(_INTERESTING)]) + data[at + 1 :]


def _cut(rng: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    begin, end = _span(rng, data)
    return data[:begin] + data[end:]


def _ended(rng: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _doubled(rng: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    begin, end = _span(rng, data)
    times = rng.choice((1, 1, 2, 30, 3000))
    return data[:begin] + data[begin:end] * (1 + times) + data[end:]


def _inserted(rng: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice((_word(rng), rng.randbytes(rng.randint(1, 8)))) + data[at:]


def _spliced(rng: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    other = rng.choice(seeds)
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _exchanged(rng: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    (a, b), (c, d) = sorted((_span(rng, data), _span(rng, data)))
    return data if b > c else data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


_BYTES: tuple[Mutate, ...] = (
    *(_flipped, _set, _cut, _ended, _doubled, _inserted, _spliced, _exchanged),
)
