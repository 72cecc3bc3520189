"""What a body of JSON may hold before anything else looks at it: plain values, few and shallow."""

from __future__ import annotations

import math
from typing import Any

from aegis.errors import BadInput

DEEPEST, MOST_VALUES, LARGEST_WHOLE = 12, 5_000, 2**63


def admissible(value: Any) -> Any:
    """``value`` itself. Raises ``BadInput`` where it nests too deeply, holds too much, a number
    that is none (NaN, Infinity) or beyond 64 bits, or half a character."""
    waiting, seen = [(value, 1)], 0
    while waiting:
        one, depth = waiting.pop()
        seen += 1
        if depth > DEEPEST or seen > MOST_VALUES:
            raise BadInput(
                "the body nests too deeply or holds too much",
                f"at most {DEEPEST} levels and {MOST_VALUES} values",
            )
        match one:
            case dict():
                waiting += [(part, depth + 1) for part in (*one, *one.values())]
            case list():
                waiting += [(part, depth + 1) for part in one]
            case str():
                _text(one)
            case bool():
                pass
            case float() if not math.isfinite(one):
                raise BadInput("the body holds NaN or Infinity", "finite numbers")
            case int() if abs(one) >= LARGEST_WHOLE:
                raise BadInput("the body holds a whole number beyond 64 bits")
            case _:
                pass
    return value


def _text(text: str) -> None:
    if "\0" in text:
        raise BadInput("the body holds a null character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadInput("the body holds half a character (a lone surrogate)") from None
