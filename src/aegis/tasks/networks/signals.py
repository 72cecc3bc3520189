"""Which columns of a table are a signal: those numbered one after the other, wave_01, wave_02, ...

Columns of one name with numbers from 1 on are one lead, in the order of their numbers; a table may
hold several leads of one length. What is left (the times between beats, an age) stands beside.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from aegis.errors import BadInput

LEAST_POINTS = 8
_NUMBERED = re.compile(r"(.+?)_(\d+)$")


def leads(names: Sequence[str]) -> tuple[tuple[int, int], int]:
    """((leads, length), columns beside) of columns in this order. Raises ``BadInput`` where there
    is no lead, where leads differ in length, or where other columns come before the last of one."""
    lengths: dict[str, int] = {}
    beside = 0
    for name in names:
        found = _NUMBERED.match(name)
        of = found.group(1) if found else ""
        if found and int(found.group(2)) == lengths.get(of, 0) + 1 and not beside:
            lengths[of] = lengths.get(of, 0) + 1
        else:
            beside += 1
    if not lengths or min(lengths.values()) < LEAST_POINTS or len(set(lengths.values())) > 1:
        raise BadInput(
            "cnn1d finds no signal in these columns",
            f"it takes numbered columns such as wave_01, wave_02, ..., {LEAST_POINTS} or more",
            "Use model.name: mlp for a table without a signal",
        )
    return (len(lengths), next(iter(lengths.values()))), beside
