"""Which backups stay: the latest few, and one for each of the last days, weeks and months."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from aegis.errors import BadInput


@dataclass(frozen=True)
class Keep:
    """Of each period the latest backup stays; together at least one always does."""

    last: int = 7
    daily: int = 0
    weekly: int = 0
    monthly: int = 0

    def __post_init__(self) -> None:
        if min(self.last, self.daily, self.weekly, self.monthly) < 0:
            raise BadInput("a number of backups to keep is below 0")
        if self.last + self.daily + self.weekly + self.monthly < 1:
            raise BadInput("this would keep no backup at all", "at least one stays")


_PERIODS: tuple[tuple[str, Callable[[datetime], str]], ...] = (
    ("daily", lambda time: f"{time:%Y-%m-%d}"),
    ("weekly", lambda time: f"{time:%G-%V}"),
    ("monthly", lambda time: f"{time:%Y-%m}"),
)


def thinned(dated: Mapping[str, datetime], keep: Keep, now: datetime) -> set[str]:
    """The names that go. One dated after ``now`` (a clock was wrong) stays."""
    latest = sorted(dated, key=lambda name: (dated[name], name), reverse=True)
    stay = set(latest[: keep.last]) | {name for name in latest if dated[name] > now}
    for field, period in _PERIODS:
        seen: list[str] = []
        for name in latest:
            said = period(dated[name])
            if said not in seen:
                if len(seen) >= getattr(keep, field):
                    break
                seen.append(said)
                stay.add(name)
    return set(dated) - stay
