"""Ten thousand federations with losses at every stage: each sum exact, each abort without a leak.

A thousand at a time are kept, so that a part that was cut off goes on where it stopped.
"""

from __future__ import annotations

import time
from collections import Counter

import pytest

from aegis.secagg.sums import Opening
from tests.secagg.trials import Trial

FEDERATIONS = 10_000
AT_A_TIME = 1_000


def played(first: int) -> dict[str, float]:
    began = time.perf_counter()
    found: Counter[str] = Counter()
    for seed in range(first, first + AT_A_TIME):
        trial = Trial(seed)
        outcome = trial.play()
        trial.check(outcome)
        opened = isinstance(outcome, Opening)
        found["opened" if opened else "aborted"] += 1
        found["numbers"] += sum(g.vector.size for g in outcome.groups) if opened else 0
        found["losses"] += sum(map(len, trial.lost))
        found["too many"] += trial.too_many
        found["grouped"] += trial.grouped
        found["32-bit"] += trial.bits == 32
        for stage, names in enumerate(trial.lost):
            found[f"with losses at stage {stage}"] += bool(names)
    return {**found, "seconds": round(time.perf_counter() - began, 1)}


@pytest.mark.prove
def test_ten_thousand_federations_sum_exactly_or_abort_without_a_leak(measured):
    total: Counter[str] = Counter()
    for first in range(0, FEDERATIONS, AT_A_TIME):
        total.update(measured(f"seeds from {first}", lambda first=first: played(first)))
    print(
        f"\n{FEDERATIONS} federations, {total['losses']} losses: {total['opened']} opened, every "
        f"sum exact ({total['numbers']} numbers); {total['aborted']} aborted, {total['too many']} "
        f"of them for too many losses, none with t shares of a secret; {total['seconds']:.0f} s"
    )
    assert total["opened"] + total["aborted"] == FEDERATIONS
    assert total["too many"] > FEDERATIONS / 20
    assert all(total[f"with losses at stage {stage}"] > FEDERATIONS / 10 for stage in range(5))
