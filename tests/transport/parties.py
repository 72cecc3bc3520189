"""A coordinator and two hospitals with keys, guards and a clock that stands still."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from aegis.identity.identity import Identity
from aegis.identity.membership import Membership
from aegis.messages import Refusal, Train, Update
from aegis.store.replay import ReplayGuard, Sequence
from aegis.transport.schemas import Array, Schema
from aegis.transport.sealed import Party

NOW = 1_700_000_000.0
SIZE = 5
UPDATE = Schema.of(
    Update, vector=Array(("float32",), (SIZE,)), control=Array(("float32",), (SIZE,))
)
REFUSAL = Schema.of(Refusal)
TRAIN = Schema.of(Train, weights=Array(("float32",), (SIZE,)))


def update(hospital="mercy", run="run", round=3, vector=None, **fields):
    values = np.arange(SIZE, dtype=np.float32) if vector is None else vector
    return Update(run, round, hospital, values, 100, **fields)


def train(run="run", round=3):
    return Train(run, "0" * 64, round, np.ones(SIZE, np.float32), 0.1, 200, 2)


@dataclass
class Directory:
    """The members as they are now; a test may change them between two messages."""

    membership: Membership

    def standing(self, name):
        return self.membership.standing(name)


@dataclass
class Parties:
    folder: Path
    hybrid: bool = False
    hospitals: tuple[str, ...] = ("mercy", "other")
    now: float = NOW
    made: dict[str, Party] = field(default_factory=dict)

    def __post_init__(self):
        members = Membership("hearts")
        names = {"desk": "coordinator", **dict.fromkeys(self.hospitals, "hospital")}
        identities = {name: Identity.generate(name, self.hybrid) for name in names}
        for name, role in names.items():
            members = members.admitted(identities[name].public, role)
        self.directory, self._identities = Directory(members), identities

    def party(self, identity):
        path = self.folder / f"{identity.name}.db"
        numbers = Sequence(path, identity.name, self.clock)
        return Party(identity, self.directory, ReplayGuard(path), numbers, self.clock)

    def clock(self):
        return self.now

    def __getitem__(self, name):
        if name not in self.made:
            self.made[name] = self.party(self._identities[name])
        return self.made[name]

    def close(self):
        for party in self.made.values():
            party.guard.close()
            party.numbers.close()
