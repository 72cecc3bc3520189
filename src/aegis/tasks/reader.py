"""Reading a condition: words, then a descent by hand through or, and, not, brackets, comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

from aegis.errors import BadInput
from aegis.tasks.condition import (
    _KEYWORDS,
    _ORDERS,
    _TOKEN,
    DEEPEST,
    LONGEST,
    All,
    AnyOf,
    Compare,
    Condition,
    Missing,
    Not,
    Operator,
    Topics,
    shortened,
    typed,
)
