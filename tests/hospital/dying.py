"""A hospital that dies at the n-th statement it gives to its ledger file.

A ``Trial`` plays an adaptive coordinator against one ledger: it asks, asks again, chooses the next
noise from earlier answers, and the hospital's process dies before or after a statement. What a dead
process leaves is what lies on disk at that moment: database and write-ahead log are copied then,
before the connection can tidy up, and the hospital goes on with the copy.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from pathlib import Path

from aegis.hospital.ledger import Exhausted, Ledger
from aegis.privacy.accounting import GaussianRelease, LaplaceRelease, PoissonGaussian
from aegis.privacy.filters import Cap, enforced_epsilon
from aegis.privacy.gaussian import gdp_epsilon

DATA = "d" * 64
DELTA = 1e-5
OTHERS = [
    *(LaplaceRelease(scale) for scale in (1.0, 3.0, 10.0, 40.0)),
    *(PoissonGaussian(sigma, 0.1, steps) for sigma in (0.8, 2.0) for steps in (1, 20)),
]


class Killed(BaseException):
    """The process is gone; nothing after this line of it happens."""


class MortalConnection(sqlite3.Connection):
    """Statements left to live, all connections together; None lives for ever."""

    left: int | None = None
    before = True

    def execute(self, *args):
        cls = MortalConnection
        if cls.left is None:
            return super().execute(*args)
        if cls.left < 0:
            raise Killed
        cls.left -= 1
        if cls.left < 0 and cls.before:
            raise Killed
        found = super().execute(*args)
        if cls.left < 0:
            raise Killed
        return found


class MortalLedger(Ledger):
    _connection = MortalConnection


def answered(ledger, key, event, cap, noise):
    """What a node does with one question: the bytes to send, or None where it abstains."""
    kept = ledger.payload(*key)
    if kept is not None:
        return kept
    if isinstance(ledger.reserve(*key, event, cap), Exhausted):
        return None
    payload = noise.randbytes(8)  # another each time, as true noise would be
    ledger.store(*key, payload)
    return payload


class Trial:
    """One schedule. ``path`` moves with every death."""

    def __init__(self, folder: Path, seed: int, ledgers: type[Ledger] = MortalLedger) -> None:
        self.rng, self.ledgers = random.Random(seed), ledgers
        self.folder, self.deaths = folder, 0
        self.path = folder / "0" / "ledger.db"
        self.cap = Cap(self.rng.choice([0.5, 1.0, 4.0, 8.0]), DELTA)
        self.gaussian_only = self.rng.random() < 0.5
        self.asked: dict[tuple[str, int, str], object] = {}
        self.sent: dict[tuple[str, int, str], set[bytes]] = {}
        self.head = None
        self.ledger: Ledger | None = None

    def event(self, mood: int):
        """The next event follows from the latest answer (``mood``)."""
        if self.gaussian_only or self.rng.random() < 0.6:
            return GaussianRelease(self.rng.uniform(1, 20) / self.cap.epsilon * (1 + mood % 3))
        return OTHERS[(mood + self.rng.randrange(len(OTHERS))) % len(OTHERS)]

    def question(self):
        latest = next(reversed(self.sent.values()), {b"\0"})
        mood = next(iter(latest))[0]
        key = ("ab"[self.rng.randrange(2)], self.rng.randrange(4), ("train", "sums")[mood % 2])
        if key not in self.asked:
            self.asked[key] = self.event(mood)
        return key, self.asked[key]

    def live(self, statements: int | None) -> None:
        """Asks until the hospital dies or enough was asked."""
        MortalConnection.left, MortalConnection.before = statements, self.rng.random() < 0.5
        try:
            self.ledger = self.ledgers.open(self.path, DATA, self.head)
            for _ in range(self.rng.randrange(1, 9)):
                key, event = self.question()
                payload = answered(self.ledger, key, event, self.cap, self.rng)
                if payload is not None and self.rng.random() < 0.8:  # the road may lose it
                    self.sent.setdefault(key, set()).add(payload)
                self.head = self.ledger.head()
        except Killed:
            self.die()
        finally:
            MortalConnection.left = None
        if self.ledger is not None:
            self.ledger.close()
            self.ledger = None

    def die(self) -> None:
        self.deaths += 1
        fresh = self.folder / str(self.deaths) / "ledger.db"
        fresh.parent.mkdir()
        for end in ("", "-wal"):
            if os.path.exists(f"{self.path}{end}"):
                shutil.copy(f"{self.path}{end}", f"{fresh}{end}")
        self.path = fresh

    def play(self, lives: int) -> None:
        for _ in range(lives):
            self.live(self.rng.randrange(1, 60))
        self.live(None)

    def check(self) -> None:
        """0 overspends, 0 different payloads, and no answer that was not charged."""
        ledger = Ledger.open(self.path, DATA, self.head)
        ledger.verify()
        events, charged = ledger.events(), {}
        for row in ledger.rows():
            if row.kind == "reserved":
                charged[row.run, row.round, row.purpose] = row
        assert len(events) == len(charged)
        assert enforced_epsilon(events, DELTA) <= self.cap.epsilon * (1 + 1e-8)
        if self.gaussian_only:
            exact = gdp_epsilon(sum(event.mu**2 for event in events) ** 0.5, DELTA)
            assert exact <= self.cap.epsilon
        for key, payloads in self.sent.items():
            assert len(payloads) == 1, f"two answers to {key}"
            assert key in charged
            assert ledger.payload(*key) in payloads
        ledger.close()
        shutil.rmtree(self.folder)
