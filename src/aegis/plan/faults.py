"""A fault of a whole plan: which keys do not go together, why, and the nearest legal edits."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from aegis.plan.sentences import show

_TWINS = ("trust", "secure_aggregation.enabled")


@dataclass(frozen=True)
class Edit:
    """Keys to change together, and what that costs or gives, in a few words."""

    changes: Mapping[str, Any]
    note: str = ""

    def phrase(self, said: Collection[str]) -> str:
        """The edit as someone would type it. Trust and the secure sum follow from one another, so
        of the two only what was said is named."""
        both = all(twin in self.changes for twin in _TWINS)
        named = [twin for twin in _TWINS if twin in said] or [_TWINS[0]]
        hidden = [twin for twin in _TWINS if twin not in named] if both else []
        shown = {key: value for key, value in self.changes.items() if key not in hidden}
        changes = " and ".join(f"{key}: {show(value)}" for key, value in shown.items())
        return f"{changes} ({self.note})" if self.note else changes


@dataclass(frozen=True)
class Fault:
    keys: tuple[str, ...]
    problem: str
    edits: tuple[Edit, ...] = ()

    def sentence(self, said: Collection[str] = ()) -> str:
        """The problem and the ways out. ``said`` are the keys that somebody wrote."""
        if not self.edits:
            return self.problem
        return f"{self.problem}; use {', or '.join(edit.phrase(said) for edit in self.edits)}"

    def __str__(self) -> str:
        return self.sentence()
