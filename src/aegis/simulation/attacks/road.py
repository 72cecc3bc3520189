"""A road on which some hospitals lie: whatever they answered to ``Train`` is replaced on the way.

It stands between the nodes and the coordinator, so every gate at a hospital and every check of the
coordinator is passed as always; neither knows of it. Who sends a forged update claims its true
number of rows, for that is what it enrolled with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from aegis.aggregation.rules import Context, Rule
from aegis.messages import Answer, Request, Update, Vector
from aegis.simulation.attacks.attack import Attack, Matrix, Sight, malicious
from aegis.transport.transport import Transport


class DishonestRoad:
    """``road`` with the hospitals ``dishonest`` following ``attack``. ``rule`` is what the
    coordinator combines with; only an adaptive attack asks it."""

    def __init__(
        self, road: Transport, attack: Attack, dishonest: Sequence[str], rule: Rule, seed: int
    ) -> None:
        self._road, self._attack, self._rule, self._seed = road, attack, rule, seed
        self._dishonest = frozenset(dishonest)
        self._summed: dict[str, Matrix] = {}
        self._memory: Mapping[str, Vector] = {}

    def hospitals(self) -> tuple[str, ...]:
        return self._road.hospitals()

    def ask(
        self, requests: Mapping[str, Request], deadline_s: float | None
    ) -> Mapping[str, Answer]:
        answers = dict(self._road.ask(requests, deadline_s))
        updates = {name: a for name, a in answers.items() if isinstance(a, Update)}
        liars = [name for name in updates if name in self._dishonest]
        honest = [name for name in updates if name not in self._dishonest]
        if not liars or not honest:
            return answers
        rows = {name: np.asarray(u.vector, dtype=np.float64) for name, u in updates.items()}
        for name in honest:
            self._summed[name] = self._summed.get(name, 0.0) + rows[name]
        round = updates[liars[0]].round
        sight = Sight(
            honest=np.stack([rows[name] for name in honest]),
            summed=np.stack([self._summed[name] for name in honest]),
            own=np.stack([rows[name] for name in liars]),
            rngs=[generator(self._seed, f"round {round}", name) for name in liars],
            outcome=lambda sent: self._combined(updates, honest, liars, rows, sent)[0],
        )
        forged = malicious(self._attack, sight)
        if self._attack.adaptive:
            self._memory = self._combined(updates, honest, liars, rows, forged)[1]
        for name, row in zip(liars, forged, strict=True):
            vector = row.astype(updates[name].vector.dtype)
            answers[name] = replace(updates[name], vector=vector)
        return answers

    def _combined(
        self,
        updates: Mapping[str, Update],
        honest: Sequence[str],
        liars: Sequence[str],
        rows: Mapping[str, Vector],
        sent: Matrix,
    ) -> tuple[Vector, Mapping[str, Vector]]:
        """What the rule makes of the honest rows and ``sent``, and what it then remembers."""
        names = [*honest, *liars]
        matrix = np.concatenate([np.stack([rows[name] for name in honest]), sent])
        examples = np.array([updates[name].examples for name in names], dtype=np.float64)
        round = updates[names[0]].round
        made = self._rule(matrix, examples, Context(tuple(names), round, self._memory))
        return made.vector, made.memory


def drawn(names: Sequence[str], byzantine: int, seed: int) -> tuple[str, ...]:
    """Which ``byzantine`` of the hospitals are dishonest, in their own order."""
    order = generator(seed, "who").permutation(len(names))[:byzantine]
    return tuple(names[place] for place in sorted(order.tolist()))


def generator(seed: int, what: str, hospital: str = "") -> np.random.Generator:
    """Random numbers that depend on the seed, on what they are for and on whose they are."""
    text = f"aegis/attack/v1|{seed}|{what}|{hospital}"
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
    return np.random.Generator(np.random.Philox(key=key))
