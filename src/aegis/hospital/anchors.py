"""What the groups of sealed sums are drawn from: a hospital's own chain, and the others' anchors.

A hospital commits itself to its chain by its anchor, when it enrols. Anchors are those of the first
sum of the run, and sums are answered in their order: what a chain reveals tells all that it would
have revealed earlier.
"""

from __future__ import annotations

import os
from typing import get_args

from aegis.errors import DataError
from aegis.messages.stages import Advertise, Purpose
from aegis.plan import Plan
from aegis.secagg.beacon import Beacon

ROUNDS = 128  # of a chain where the noise rule decides their number (80 at most)


class Anchors:
    """``draw``: where this hospital's chains begin; without it the operating system's entropy."""

    def __init__(self, name: str, draw: bytes | None) -> None:
        self._name, self._draw = name, draw
        self._own: dict[str, Beacon] = {}
        self._anchors: dict[str, dict[str, bytes]] = {}
        self._reached: dict[str, tuple[int, int, int]] = {}

    def beacon(self, run: str, plan: Plan) -> Beacon | None:
        """This hospital's chain for the run, or None where no groups are drawn."""
        if plan.trust != "grouped":
            return None
        if run not in self._own:
            rounds = plan.federated.num_rounds or ROUNDS
            self._own[run] = Beacon(self._draw or os.urandom(32), rounds, plan.federated.attempts)
        return self._own[run]

    def for_sum(self, plan: Plan, stage: Advertise) -> Beacon | None:
        """The same for one sum. Raises unless its anchors are the run's, and it is in its order."""
        beacon = self.beacon(stage.run, plan)
        if beacon is None:
            return None
        pinned = self._anchors.setdefault(stage.run, {self._name: beacon.anchor})
        for name in stage.hospitals:
            shown = stage.anchors.get(name, b"")
            if pinned.setdefault(name, shown) != shown:
                raise DataError(f"the anchor shown for {name} is not the one of this run")
        order = stage.round, get_args(Purpose).index(stage.purpose), stage.attempt
        if order < self._reached.get(stage.run, (0, 0, 0)):
            raise DataError("a sum out of its order", "later ones of this run were begun already")
        self._reached[stage.run] = order
        return beacon
