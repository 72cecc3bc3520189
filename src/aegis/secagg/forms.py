"""Whether a message holds what its fields say, before any of it is looked at.

Bytes from outside can make the right class with any content; a text where a number should be, or
one that has no UTF-8, must be a refusal and never a crash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

_MOST = 2**63


def formed(message: Any) -> bool:
    """Every field of a stage's message, and of what is listed in it; not what is asked inside."""
    cls: type = type(message)
    return all(_fits(getattr(message, name), kind) for name, kind in _fields(cls))


@cache
def _fields(kind: type) -> tuple[tuple[str, Any], ...]:
    return tuple((name, of) for name, of in get_type_hints(kind).items() if name != "inner")


def named_bytes(values: Any) -> bool:
    """Whether these are bytes by names of hospitals."""
    return _fits(values, Mapping[str, bytes])


def _fits(value: Any, kind: Any) -> bool:
    if kind is int:
        return type(value) is int and 0 <= value < _MOST
    if kind is bytes:
        return type(value) is bytes
    if kind is str:
        return _is_text(value)
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Literal:
        return type(value) is str and value in inside
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(one, inside[0]) for one in value)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(
            _fits(key, inside[0]) and _fits(one, inside[1]) for key, one in value.items()
        )
    if is_dataclass(kind):
        return type(value) is kind and formed(value)
    return isinstance(value, np.ndarray)


def _is_text(value: Any) -> bool:
    if type(value) is not str:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
