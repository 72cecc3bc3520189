"""A fault of a whole plan: which keys do not go together, why, and the nearest legal edits."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from aegis.plan.layers import FOLLOWING
from aegis.plan.sentences import show


@dataclass(frozen=True)
class Edit:
    """Keys to change together, and what that costs or gives, in a few words."""

    changes: Mapping[str, Any]
    note: str = ""

    def phrase(self, said: Collection[str]) -> str:
        """The edit as someone would type it: keys that would follow by themselves left out."""
        shown = {k: v for k, v in self.changes.items() if k not in FOLLOWING or k in said}
        shown = shown or dict([next(iter(self.changes.items()))])
        changes = " and ".join(f"{k}: {show(v)}" for k, v in shown.items())
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
