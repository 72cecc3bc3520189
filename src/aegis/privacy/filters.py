"""Saying no in time: a cap that holds however cleverly the next question is chosen.

An accountant adds up what was done. A filter decides, before anything is done, whether the next
release still fits, and its promise must hold when noise and questions follow from earlier answers.
The Renyi filter of Feldman and Zrnic (2021) keeps one sum per order; the next release is admitted
while some order has room for it.

Choosing the order afterwards is free where all releases favour the same one, as Gaussian releases
do: then delta is exactly as promised. Where releases of different shapes are mixed AND their choice
follows from earlier answers, delta can be exceeded up to the number of orders that could have come
out best. A ``Cap`` with an ``order`` fixed beforehand has no such clause; ``fixed_for`` finds the
order that suits a plan.

Where every release was Gaussian, a history is counted exactly instead: Gaussian differential
privacy composes without loss for an adaptive analyst too, so its sum of squares is a filter (Smith
and Thakurta 2022). Renyi's figure is up to a tenth higher, and a plan for all of a hospital's
budget would end some rounds before its last. From the first other release on, all is counted by
Renyi, the past included; whoever chooses that by earlier answers can double delta at most.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from aegis.errors import BadInput, DataError, RunAborted
from aegis.privacy.accounting import (
    ORDERS,
    Curve,
    Event,
    GaussianRelease,
    allowance,
    composed,
    epsilon_gdp,
    epsilon_of_curve,
    epsilon_rdp,
    renyi,
)

_ROUNDING = 1e-9  # a plan calibrated to the cap itself must fit it


@dataclass(frozen=True)
class Cap:
    """The most that may be spent: (epsilon, delta), by Renyi divergence at any order or at one."""

    epsilon: float
    delta: float
    order: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.epsilon) and self.epsilon > 0):
            raise BadInput(f"a cap must be finite and above 0, got epsilon {self.epsilon}")
        if not 0 < self.delta < 1:
            raise BadInput(f"a cap's delta must be above 0 and below 1, got {self.delta}")
        if self.order is not None and self.order not in ORDERS:
            raise BadInput(
                f"{self.order} is no order of this account", "orders are 1.1 to 1024", "See ORDERS"
            )

    @cached_property
    def room(self) -> Curve:
        """The allowance at each order; nothing at an order that is not this cap's."""
        room = allowance(self.epsilon, self.delta)
        return room if self.order is None else np.where(self.order == ORDERS, room, -np.inf)

    def fits(self, curve: Curve) -> bool:
        """Whether a history with this divergence curve is within the cap."""
        room = self.room
        return bool(np.any((curve <= room + _ROUNDING * np.abs(curve)) & (room >= 0)))

    def holds(self, events: Sequence[Event]) -> bool:
        """Whether this history is within the cap."""
        if self._exactly(events):
            return epsilon_gdp(events, self.delta) <= self.epsilon * (1 + _ROUNDING)
        return self.fits(composed(events))

    def cost(self, events: Sequence[Event]) -> float:
        """What this history costs, as ``holds`` counts."""
        if self._exactly(events):
            return epsilon_gdp(events, self.delta)
        return self.spent(composed(events))

    def _exactly(self, events: Sequence[Event]) -> bool:
        return self.order is None and bool(events) and all_gaussian(events)

    def spent(self, curve: Curve) -> float:
        """What a history with this divergence curve costs, at this cap's delta and order."""
        if self.order is None or not curve.any():
            return epsilon_of_curve(curve, self.delta)
        cost = (curve - allowance(0.0, self.delta))[self.order == ORDERS]
        return max(0.0, float(cost[0]))

    def fixed_for(self, events: Iterable[Event]) -> Cap:
        """The same cap at the one order that leaves these events the most room."""
        curve = composed(events)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(self.room > 0, curve / self.room, np.inf)
        return replace(self, order=float(ORDERS[int(np.argmin(share))]))


class RdpFilter:
    """Sums per order, and whether the next event still fits ``cap``."""

    def __init__(self, epsilon: float, delta: float, order: float | None = None) -> None:
        self.cap = Cap(epsilon, delta, order)
        self.sums: Curve = np.zeros(len(ORDERS))

    def admits(self, event: Event) -> bool:
        return self.cap.fits(self.sums + renyi(event))

    def spend(self, event: Event) -> None:
        """Charges the event; ``RunAborted`` where it does not fit, and nothing is charged."""
        if not self.admits(event):
            raise RunAborted(
                f"{event} does not fit the privacy budget: {self.epsilon():.4g} of "
                f"{self.cap.epsilon:g} is spent at delta {self.cap.delta:g}",
                way_out="Nothing was released",
            )
        self.sums = self.sums + renyi(event)

    def epsilon(self) -> float:
        """What is spent so far, at the cap's delta."""
        return self.cap.spent(self.sums)

    def to_json(self) -> str:
        return json.dumps(
            {
                "epsilon": self.cap.epsilon,
                "delta": self.cap.delta,
                "order": self.cap.order,
                "sums": self.sums.tolist(),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> RdpFilter:
        try:
            fields = json.loads(text)
            found = cls(fields["epsilon"], fields["delta"], fields["order"])
            sums = np.array(fields["sums"], dtype=np.float64)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"these are not the sums of a privacy filter ({error})") from error
        if sums.shape != ORDERS.shape or not np.all(sums >= 0):
            raise DataError(f"a privacy filter has {len(ORDERS)} sums that are not negative")
        found.sums = sums
        return found


def enforced_epsilon(events: Sequence[Event], delta: float) -> float:
    """What a history costs: exact where it is all Gaussian, else by Renyi."""
    if events and all_gaussian(events):
        return epsilon_gdp(events, delta)
    return epsilon_rdp(events, delta)


def all_gaussian(events: Iterable[Event]) -> bool:
    return all(isinstance(event, GaussianRelease) for event in events)
