"""One sealed sum taken apart: all messages are made once, then one side does its work again.

The measured hospital draws the same random bytes each time, so the messages of the others, which
were encrypted to its keys, stay right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from aegis.errors import CheckFailed
from aegis.identity.keys import SigningKey
from aegis.identity.roster import Roster
from aegis.messages.learning import Statistics
from aegis.messages.stages import (
    Advertise,
    Confirm,
    Mask,
    Masked,
    Opened,
    Share,
    Stage,
    StageReply,
    Unmask,
)
from aegis.secagg import (
    DOMAIN,
    Context,
    Encoding,
    Opening,
    Participant,
    Slot,
    begin,
    combiner,
)

CLIP = 8.0
_PIECE = 1 << 16


def lost_of(hospitals: int) -> int:
    """A tenth of them, at least one."""
    return max(1, hospitals // 10)


def floor(size: int) -> None:
    """AES-256 makes ``size`` bytes, piece by piece, and nothing else happens."""
    stream = Cipher(algorithms.AES(bytes(32)), modes.CTR(bytes(16))).encryptor()
    zeros, room = bytes(_PIECE), bytearray(_PIECE + 15)
    for _ in range(-(-size // _PIECE)):
        stream.update_into(zeros, room)


class Round:
    """All messages of one round; ``hospital`` and ``coordinator`` do one side's work once more."""

    def __init__(self, hospitals: int, numbers: int, bits: Literal[64, 32]) -> None:
        self.names = tuple(f"h{number:03}" for number in range(hospitals))
        self._keys = {name: SigningKey.from_raw(_drawn(name, 32)) for name in self.names}
        self._roster = Roster(tuple((n, key.public.raw) for n, key in self._keys.items()))
        slot = Slot("update", numbers, CLIP, 24 if bits == 64 else 16)
        self._encoding = Encoding((slot,), hospitals, bits)
        digests = self._roster.sha256, "", self._encoding.sha256
        self._context = Context("bench", 1, 1, "train", *digests)
        rng = np.random.default_rng(hospitals)
        self.updates = {
            name: np.clip(rng.normal(size=numbers), -CLIP, CLIP).astype(np.float32)
            for name in self.names
        }
        self.asked: list[Stage] = []
        self.answers: list[dict[str, StageReply]] = []
        self._run(self.names[hospitals - lost_of(hospitals) :])

    def hospital(self) -> None:
        """All that the first hospital computes in a round, from encoding to checking."""
        one, name = self._participant(self.names[0]), self.names[0]
        for request in self.asked:
            self._answer(one, name, request)

    def coordinator(self) -> NDArray[np.float64]:
        """All that the coordinator computes in a round; the opened sum."""
        state: Any = begin(
            self._context,
            self._roster,
            length=self._encoding.size,
            ring_bits=self._encoding.ring_bits,
        )
        for answers in self.answers:
            combiner.requests(state, dict.fromkeys(self.names, Statistics("bench", "")))
            state = combiner.step(state, answers)
        if not isinstance(state, Opening):
            raise CheckFailed("the measured round did not open its sum")
        return self._encoding.decode(state.groups[0].vector)["update"]

    def _run(self, lost: tuple[str, ...]) -> None:
        """One honest round; what the first hospital was asked and all answers are kept."""
        participants = {name: self._participant(name) for name in self.names}
        state: Any = begin(
            self._context,
            self._roster,
            length=self._encoding.size,
            ring_bits=self._encoding.ring_bits,
        )
        while not isinstance(state, Opening):
            inner = dict.fromkeys(self.names, Statistics("bench", ""))
            asked = combiner.requests(state, inner)
            there = {n: r for n, r in asked.items() if n not in lost or not self._late(r)}
            answers = {n: self._answer(participants[n], n, r) for n, r in there.items()}
            self.asked.append(asked[self.names[0]])
            self.answers.append(answers)
            state = combiner.step(state, answers)
        self.asked.append(combiner.requests(state)[self.names[0]])

    @staticmethod
    def _late(request: Stage) -> bool:
        return not isinstance(request, Advertise | Share)

    def _participant(self, name: str) -> Participant:
        sign = partial(self._keys[name].sign, DOMAIN)
        encoding, entropy = self._encoding, _entropy(name)
        return Participant(
            name, self._context, self._roster, sign, encoding=encoding, entropy=entropy
        )

    def _answer(self, one: Participant, name: str, request: Stage) -> StageReply:
        match request:
            case Advertise():
                return one.advertise()
            case Share():
                return one.share(request)
            case Mask():
                ring = self._encoding.encode({"update": self.updates[name]})
                vector = one.mask(ring, request.shares)
                commitment = one.commitment
                assert commitment is not None
                signed = commitment.sha256, commitment.signature
                about = request.run, request.round, request.attempt, request.purpose
                return Masked(*about, name, vector, *signed)
            case Confirm():
                return one.confirm(request)
            case Unmask():
                return one.unmask(request)
            case Opened():
                return one.check(request)


def _drawn(text: str, size: int) -> bytes:
    return hashlib.shake_256(text.encode()).digest(size)


def _entropy(name: str) -> Callable[[int], bytes]:
    """NOT SECRET: the same bytes in each turn."""
    calls = iter(range(1 << 30))
    return lambda size: _drawn(f"{name} {next(calls)}", size)
