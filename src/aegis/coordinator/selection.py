"""Who is asked in a round. Seeded by (seed, round), so a resumed round asks the same hospitals.

``random`` draws a fraction; ``resource_based`` draws it with chances proportional to the speed each
hospital declared (Efraimidis and Spirakis 2006); ``participation_based`` takes those who took part
least so far, ties by seed; cyclic weight transfer takes one after the other in an order that is
drawn anew for every cycle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from aegis.messages import Enrolled
from aegis.plan import Plan


def select(
    plan: Plan,
    hospitals: Sequence[Enrolled],
    round: int,
    participation: Mapping[str, int],
) -> tuple[str, ...]:
    """Names of the hospitals to ask, in the order of enrolment."""
    names = [hospital.hospital for hospital in hospitals if hospital.examples > 0]
    if not names:
        return ()
    if plan.server.optimizer == "cyclic":
        cycle, place = divmod(round - 1, len(names))
        return (names[_rng(plan.seed, cycle, 1).permutation(len(names))[place]],)
    if plan.federated.selection == "all":
        return tuple(names)
    wanted = max(1, math.ceil(plan.federated.fraction_fit * len(names) - 1e-9))
    draw = _rng(plan.seed, round, 0).random(len(names))
    match plan.federated.selection:
        case "random":
            rank = draw
        case "resource_based":
            speed = {hospital.hospital: hospital.resources for hospital in hospitals}
            rank = np.array(
                [-(u ** (1.0 / max(speed[n], 1e-9))) for n, u in zip(names, draw, strict=True)]
            )
        case "participation_based":
            rank = np.array([participation.get(n, 0) + u for n, u in zip(names, draw, strict=True)])
    chosen = set(np.argsort(rank, kind="stable")[:wanted].tolist())
    return tuple(name for place, name in enumerate(names) if place in chosen)


def _rng(seed: int, round: int, purpose: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, (round << 8) | purpose]))
