"""How a page says a number: always with its unit, or as a word with its reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aegis.report.wording import NBSP, SMALL, counted, number

NOT_MEASURED = "not measured"


def score(value: Any, digits: int = 3) -> str:
    """A metric between 0 and 1, or a loss: plain decimals."""
    found = number(value)
    return NOT_MEASURED if found is None else f"{found:.{digits}f}"


def percent(value: Any) -> str:
    found = number(value)
    return NOT_MEASURED if found is None else f"{100 * found:.1f}{NBSP}%"


def interval(pair: Any, digits: int = 3) -> str:
    if not pair or len(pair) != 2 or number(pair[0]) is None or number(pair[1]) is None:
        return "no interval"
    return f"{pair[0]:.{digits}f} to {pair[1]:.{digits}f}"


def epsilon(value: Any) -> str:
    found = number(value)
    return "not charged" if found is None else f"{found:.2f}{NBSP}epsilon"


def seconds(value: Any) -> str:
    found = number(value)
    if found is None:
        return NOT_MEASURED
    if found < 120:
        return f"{found:.3g}{NBSP}s"
    minutes, rest = divmod(round(found), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{NBSP}h {minutes}{NBSP}min" if hours else f"{minutes}{NBSP}min {rest}{NBSP}s"


def utc(value: Any) -> str:
    """A stored time (ISO 8601) or seconds since 1970, as people write it."""
    if isinstance(value, int | float):
        found = datetime.fromtimestamp(value, UTC)
    else:
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            return "time not recorded"
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return f"{found.astimezone(UTC):%d %b %Y, %H:%M:%S} UTC"


def ago(value: Any, now: float | None = None) -> str:
    """How long ago, from seconds since 1970."""
    then = number(value)
    if then is None:
        return "never"
    passed = max(0.0, (datetime.now(UTC).timestamp() if now is None else now) - then)
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min"), (1, "s")):
        if passed >= size:
            many = int(passed // size)
            return f"{many}{NBSP}{'day' if unit == 'days' and many == 1 else unit} ago"
    return "just now"


def patients(value: Any) -> str:
    found = number(value)
    if found is None:
        return "number not known"
    if 0 < found < SMALL:
        return f"fewer than {SMALL} patients"
    return counted(int(found), "patient")


def short(digest: Any) -> str:
    """The beginning of a digest, enough to compare by eye."""
    text = str(digest or "")
    return f"{text[:6]}..{text[-4:]}" if len(text) > 12 else text or "none"


FILTERS: dict[str, Callable[..., str]] = {
    "score": score,
    "percent": percent,
    "interval": interval,
    "epsilon": epsilon,
    "seconds": seconds,
    "utc": utc,
    "ago": ago,
    "patients": patients,
    "short": short,
}
