"""How scored rows fall into groups of patients, and what of it leaves where scores are noisy.

With A attributes a record stands in A counts, and adds a chance of at most 1 to A sums: the
sensitivity of all of them together is the root of 2 A, and the noise is that much larger than for
one count. They are charged like one more release of scores. The hospital's own accuracy, which goes
with them, is taken from its noisy scores and costs nothing. Noisy counts leave signed, so that sums
of hospitals have no bias.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aegis.assurance.groups import PER_GROUP, PER_HOSPITAL, STEP, group_counts, hospital_counts
from aegis.evaluation.classes import right_of
from aegis.hospital.policy import Policy
from aegis.hospital.release import Account
from aegis.messages import Counts, Scores
from aegis.privacy.accounting import GaussianRelease
from aegis.privacy.filters import Cap
from aegis.privacy.gaussian import gaussian_sigma
from aegis.privacy.noise import off_grid
from aegis.tasks.groups import Grouping
from aegis.tasks.task import Rows

Noise = Callable[[float, int], NDArray[np.int64]]

GROUPS = "groups"  # what the counts by group are charged under


def scores_of(run: str) -> str:
    """The name in the ledger of a run's noisy scores, which have a budget of their own."""
    return f"{run} scores"


@dataclass(frozen=True)
class Grouped:
    """Exact counts by group, laid out as ``aegis.assurance.groups``. Sensitive."""

    counts: NDArray[np.int64]
    attributes: int


@dataclass(frozen=True)
class Counting:
    """``places`` are the group numbers (n,) of the scored rows, for each grouping."""

    groupings: tuple[Grouping, ...]
    places: tuple[NDArray[np.intp], ...]

    @classmethod
    def of(cls, groupings: tuple[Grouping, ...], rows: Rows) -> Counting:
        return cls(groupings, tuple(grouping.places(rows) for grouping in groupings))

    def counted(self, logits: NDArray[np.floating], labels: NDArray[np.int64]) -> Grouped:
        counts = group_counts(self.places, self.groupings, logits, labels)
        return Grouped(counts, len(self.groupings))


def noisy_groups(
    groups: Grouped, scores: Scores, policy: Policy, account: Account, noise: Noise
) -> NDArray[np.int64] | None:
    """The counts by group with noise, charged once; None where there is no room for them.
    ``scores`` are the noisy ones that go out with them."""
    right = min(max(right_of(scores.histogram), 0), max(scores.examples, 0))
    accuracy = hospital_counts(right, scores.examples)
    cells = groups.counts[:-PER_HOSPITAL].reshape(-1, PER_GROUP)
    if not cells.size:
        return accuracy
    own, round = scores_of(scores.run), scores.round
    reply = account.kept(own, round, GROUPS)
    if reply is None:
        sigma = gaussian_sigma(policy.score_epsilon, policy.delta)
        budget, event = Cap(policy.epsilon_cap, policy.delta), GaussianRelease(sigma)
        if account.refused(own, round, GROUPS, scores.hospital, event, budget) is not None:
            return None
        spread = sigma * math.sqrt(2 * groups.attributes)
        drawn = off_grid(noise(spread, cells.size)).reshape(cells.shape)
        drawn[:, -1] /= STEP
        noisy = np.rint(cells + drawn).astype(np.int64)
        reply = Counts(own, round, scores.hospital, noisy, scores.examples, spread, 1)
        account.store(GROUPS, reply, run=own)
    assert isinstance(reply, Counts)
    return np.concatenate([reply.cells.ravel(), accuracy])
