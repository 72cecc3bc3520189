"""Random federations with losses at every stage, and what has to come of them."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

import numpy as np

from aegis.messages.learning import Refusal
from aegis.messages.stages import Checked, Unmasked
from aegis.secagg import LEAST, complete, doubts, groups, threshold
from aegis.secagg.sums import Aborted, Opening
from tests.secagg.sealed import STAGES, Federation, some_vectors, true_sum


@dataclass
class Trial:
    """One federation of 3 to 12 hospitals, drawn from a seed: who falls silent at which stage, the
    ring, and whether the sum is over all or by groups."""

    seed: int

    def __post_init__(self) -> None:
        rng = random.Random(self.seed)
        self.hospitals = rng.randint(3, 12)
        self.bits = rng.choice([64, 64, 32])
        self.grouped = rng.random() < 0.3
        self.federation = Federation(self.hospitals, groups(3) if self.grouped else complete())
        names = self.federation.names
        self.least = threshold(self.hospitals)
        to_spare = self.hospitals - self.least
        most = self.hospitals if rng.random() < 0.25 else to_spare
        leaving = rng.sample(names, rng.randint(0, most))
        self.lost: list[list[str]] = [[] for _ in STAGES]
        for name in leaving:
            self.lost[rng.randrange(len(STAGES))].append(name)
        self.vectors = some_vectors(names, rng.randint(1, 40), self.seed, self.bits)

    def play(self) -> Opening | Aborted:
        return self.federation.run(self.vectors, self.lost)

    @property
    def too_many(self) -> bool:
        return sum(map(len, self.lost)) > self.hospitals - self.least

    def check(self, outcome: Opening | Aborted) -> None:
        answers = [reply for _, reply in self.federation.told if isinstance(reply, Unmasked)]
        gone = {name for stage in self.lost[:3] for name in stage}
        masked = [name for name in self.federation.names if name not in gone]
        if self.too_many:
            assert isinstance(outcome, Aborted)
            assert len(answers) < self.least
        elif isinstance(outcome, Aborted):
            assert self.grouped
            assert "three" in outcome.reason
            assert not answers
        else:
            self.check_sums(outcome, masked)
        self.check_shares(answers)

    def check_sums(self, opening: Opening, masked: list[str]) -> None:
        if not self.grouped:
            assert opening.survivors == tuple(masked)
            assert len(opening.groups) == 1
        for group in opening.groups:
            assert len(group.survivors) >= LEAST
            assert set(group.survivors) <= set(masked)
            assert np.array_equal(group.vector, true_sum(self.vectors, group.survivors))
        counted = Counter(name for group in opening.groups for name in group.survivors)
        assert set(counted.values()) == {1}
        replies = self.federation.checked(opening)
        assert set(replies) == set(opening.survivors)
        unmasked = {name for name, reply in self.federation.told if isinstance(reply, Unmasked)}
        for name, reply in replies.items():
            # Who fell silent before unmasking has nothing to check with, nor is it there.
            assert isinstance(reply, Checked if name in unmasked else Refusal)
        assert doubts(opening, replies) == ()

    def check_shares(self, answers: list[Unmasked]) -> None:
        """Never both kinds for one hospital."""
        seeds = {name for reply in answers for name in reply.self_shares}
        keys = {name for reply in answers for name in reply.mask_shares}
        assert not seeds & keys
