"""How a number is said: with its unit, its interval and its count, or as a word with a reason.

A result holds numbers, nulls and gaps. Whatever is not a finite number becomes ``n/a: reason``,
never 0 and never a bare dash. Groups under ten are said to be under ten.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

NBSP = "\u00a0"
MINUS = "\u2212"
SMALL = 10
FEWER = f"fewer than {SMALL}"
ONE_CLASS = "one class absent"
DISCLAIMER = "Not medical software. Not independently audited."

_UNSHARED = {"auc", "average_precision", "log_loss"}
_UNDEFINED = {
    "auc": ONE_CLASS,
    "balanced_accuracy": ONE_CLASS,
    "average_precision": "no patient has the condition",
    "recall": "no patient has the condition",
    "precision": "no patient was called positive",
    "f1": "no patient has the condition or was called positive",
}


def number(value: Any) -> float | None:
    """``value`` where it is a finite number, else nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def mapping(value: Any) -> Mapping[str, Any]:
    """``value`` where it is a mapping, else an empty one: a gap reads like an empty section."""
    return value if isinstance(value, Mapping) else {}


def sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def interval_of(metrics: Any, key: str) -> tuple[float, float] | None:
    """The 95 % interval of ``key``: ``ci95`` is a pair, or a pair for each metric."""
    found = mapping(metrics).get("ci95")
    pair = sequence(mapping(found).get(key) if isinstance(found, Mapping) else found)
    if len(pair) != 2:
        return None
    low, high = number(pair[0]), number(pair[1])
    return None if low is None or high is None else (low, high)


def absent(metrics: Any, key: str) -> str:
    """Why ``key`` is not there: the reason that was recorded, else the one that must hold."""
    given = mapping(metrics)
    recorded = mapping(given.get("reasons")).get(key) or given.get(f"{key}_reason")
    if isinstance(recorded, str) and recorded:
        return f"n/a: {recorded}"
    if number(given.get("examples")) == 0:
        return "n/a: no test patients"
    if key in _UNDEFINED and key in given and number(given.get("accuracy")) is not None:
        return f"n/a: {_UNDEFINED[key]}"
    return "n/a: not measured"


def percent(share: float) -> str:
    return f"{100 * share:.1f}{NBSP}%"


def score(value: float) -> str:
    return f"{value:.3f}"


def measured(metrics: Any, key: str) -> str:
    """One metric as text; shares as per cent, the others with three decimals."""
    value = number(mapping(metrics).get(key))
    if value is None:
        return absent(metrics, key)
    return percent(value) if key not in _UNSHARED else score(value)


def interval(pair: tuple[float, float] | None) -> str:
    """``76.8 to 86.2 %``, of two shares."""
    if pair is None:
        return "no interval"
    return f"{100 * pair[0]:.1f} to {100 * pair[1]:.1f}{NBSP}%"


def signed(value: float) -> str:
    """A number of percentage points with its sign, one decimal; what rounds to zero has none."""
    text = f"{100 * abs(value):.1f}"
    if text == "0.0":
        return text
    return f"{'+' if value > 0 else MINUS}{text}"


def points(value: float, pair: tuple[float, float] | None = None) -> str:
    """``+3.8 points (−0.5 to +8.1)``, of a difference of two shares."""
    text = f"{signed(value)}{NBSP}points"
    return text if pair is None else f"{text} ({span(pair)})"


def span(pair: tuple[float, float]) -> str:
    """The interval of a difference. One without width comes from two models that were right for
    the same patients: a resampling then knows no chance error, and none must be read from it."""
    if pair == (0.0, 0.0):
        return "no one differed"
    return f"{signed(pair[0])} to {signed(pair[1])}"


def counted(n: int, thing: str) -> str:
    """``1 hospital``, ``1,308 patients``."""
    return f"{n:,}{NBSP}{thing}" + ("" if n == 1 else "s")


def patients(value: Any) -> str:
    """A number of patients, small ones hidden."""
    n = number(value)
    if n is None:
        return "n/a: not recorded"
    return FEWER if n < SMALL else f"{round(n):,}"


def p_value(value: float | None) -> str:
    if value is None:
        return "n/a: not estimable"
    return f"<{NBSP}0.001" if value < 0.001 else f"{value:.3f}"


def significant(value: float, digits: int = 3) -> str:
    """Plain digits where they are readable, powers of ten where they are not."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        text = f"{value:.{digits}g}"
        return text if "e" not in text else f"{value:,.0f}"
    return f"{value:.{digits - 1}e}"


def ratio(value: float) -> str:
    """An odds ratio: two decimals where they say something."""
    return f"{value:.2f}" if 0.1 <= value < 100 else significant(value)


def seconds(value: Any) -> str:
    found = number(value)
    if found is None:
        return "n/a: not recorded"
    return f"{found * 1000:.0f}{NBSP}ms" if found < 1 else f"{found:,.1f}{NBSP}s"


def task_title(result: Mapping[str, Any]) -> str:
    """The task's name as words: ``breast_cancer`` becomes ``Breast cancer``."""
    return (str(result.get("task") or "a task")).replace("_", " ").strip().capitalize()
