"""What goes into a rule and what comes out; whatever cannot be combined is refused here, by name.

A rule is a frozen value and pure: the same rows, weights and context give the same result. What it
must remember from one round to the next (FoolsGold's histories, the centre of clipping) it returns
as ``memory`` and gets back in the next round's context; whoever keeps the memory can resume
exactly. Rows are changes of the model, never the model itself: all of them are small and comparable
only after what they share has been taken away.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.aggregation.conditions import smallest
from aegis.errors import BadInput, RunAborted
from aegis.messages import Vector

Matrix: TypeAlias = NDArray[np.floating]
Numbers: TypeAlias = NDArray[np.float64]
Memory: TypeAlias = Mapping[str, Vector]

MOST_OVER_MEDIAN = 3.0
OWN = "rule/"  # what every key of a rule's memory begins with


@dataclass(frozen=True)
class Context:
    """Whose rows these are, in which round, and the rule's memory of the rounds before.

    Without ``names`` the rows are called by their numbers.
    """

    names: tuple[str, ...] = ()
    round: int = 1
    memory: Memory = field(default_factory=dict)


FIRST = Context()


@dataclass(frozen=True)
class Combined:
    """``vector`` is (d,) float64. ``shares`` (n,) is the part of each row in it, where a rule
    works on whole rows; a rule that decides coordinate by coordinate has none."""

    vector: Numbers
    memory: Memory = field(default_factory=dict)
    shares: Numbers | None = None


class Rule(Protocol):
    """``needs``: a weighted ``sum`` is enough (so a masked one will do), or each of the
    ``updates``; ``smallest``: the fewest updates for which it keeps its promise."""

    @property
    def name(self) -> str: ...
    @property
    def paper(self) -> str: ...
    @property
    def needs(self) -> Literal["sum", "updates"]: ...
    @property
    def f(self) -> int: ...
    @property
    def smallest(self) -> int: ...
    def __call__(
        self, updates: Matrix, weights: NDArray[np.floating], context: Context = ...
    ) -> Combined: ...


@dataclass(frozen=True)
class Seen:
    """Rows that can be combined: (n, d) numbers, (n,) weights with a positive sum, n names."""

    updates: Matrix
    weights: Numbers
    names: tuple[str, ...]
    round: int
    memory: Memory

    @property
    def order(self) -> list[int]:
        """Rows by name: what is drawn or tied does not depend on the order they came in."""
        return sorted(range(len(self.names)), key=lambda row: self.names[row])


@dataclass(frozen=True)
class RobustRule(ABC):
    """A rule that looks at each update and withstands ``f`` dishonest ones."""

    f: int = 0

    name: ClassVar[str]
    paper: ClassVar[str]
    needs: ClassVar[Literal["sum", "updates"]] = "updates"

    def __post_init__(self) -> None:
        if self.f < 0:
            raise BadInput(f"{self.name} cannot withstand {self.f} hospitals", "f is at least 0")

    @property
    def smallest(self) -> int:
        return smallest(self.name, self.f)

    def __call__(
        self, updates: Matrix, weights: NDArray[np.floating], context: Context = FIRST
    ) -> Combined:
        """``updates`` (n, d) of float32 or float64, ``weights`` (n,) numbers of examples.

        Raises ``RunAborted`` where there are too few rows for ``f``, or a row or weight is no
        finite number; the hospital is named.
        """
        return self.combine(admit(self, updates, weights, context))

    @abstractmethod
    def combine(self, seen: Seen) -> Combined: ...


def admit(rule: Rule, updates: Matrix, weights: NDArray[np.floating], context: Context) -> Seen:
    """What the rule may work on; raises ``RunAborted`` where it may not."""
    rows = np.asarray(updates)
    if rows.ndim != 2 or rows.dtype not in (np.float32, np.float64):
        raise RunAborted(
            f"{rule.name} got updates of shape {rows.shape} and type {rows.dtype}",
            "it needs one row of float32 or float64 numbers per hospital",
        )
    count = len(rows)
    digits = len(str(count))
    names = context.names or tuple(f"{row:0{digits}}" for row in range(count))
    voices = np.asarray(weights, dtype=np.float64)
    if len(names) != count or len(set(names)) != count or voices.shape != (count,):
        raise RunAborted(
            f"{rule.name} got {count} updates, {len(set(names))} names and {voices.size} weights",
            "each update has one of both",
        )
    if count < rule.smallest:
        withstanding = f" with f={rule.f}" if rule.f else ""
        raise RunAborted(
            f"{rule.name}{withstanding} needs at least {rule.smallest} updates, got {count}",
            way_out="Wait for more hospitals, or lower robust_aggregation.num_byzantine",
        )
    bad = np.flatnonzero(~(np.isfinite(voices) & (voices >= 0)))
    if len(bad):
        row = int(bad[0])
        raise RunAborted(f"{names[row]} claims {weights[row]} examples", "a number from 0 on")
    if not voices.sum() > 0:
        raise RunAborted("no update carries any example", "a mean needs at least one row")
    return Seen(rows, voices, names, context.round, context.memory)


def not_finite(seen: Seen) -> RunAborted:
    """The error for rows that a kernel could not work with, naming whose they are."""
    bad = [
        name
        for name, row in zip(seen.names, seen.updates, strict=True)
        if not np.isfinite(row).all()
    ]
    if bad:
        return RunAborted(f"the update of {', '.join(bad[:5])} is not finite")
    longest = int(np.argmax([float(np.abs(row).max(initial=0.0)) for row in seen.updates]))
    return RunAborted(
        f"the update of {seen.names[longest]} is too long for float64 arithmetic",
        "the square of its length must be a finite number",
    )


def capped(weights: Numbers) -> Numbers:
    """Numbers of examples, none above three times their median: a hospital cannot claim its way
    to the result."""
    positive = weights[weights > 0]
    return np.minimum(weights, MOST_OVER_MEDIAN * float(np.median(positive)))
