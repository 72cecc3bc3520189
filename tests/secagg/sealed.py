"""A small federation around the sealed sum: keys, participants, and a run with chosen losses."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from aegis.errors import CheckFailed
from aegis.identity.keys import SigningKey
from aegis.identity.roster import Roster
from aegis.messages.learning import Absence, Refusal, Statistics
from aegis.messages.stages import Advertise, Checked, Confirm, Mask, Masked, Opened, Share, Unmask
from aegis.secagg import DOMAIN, Context, Participant, Topology, begin, combiner
from aegis.secagg.sums import Aborted, Opening

STAGES = ("advertise", "share", "mask", "confirm", "unmask")
KINDS = {Advertise: 0, Share: 1, Mask: 2, Confirm: 3, Unmask: 4, Opened: 5}
INNER = Statistics("run", "plan")


def entropy_of(text: str) -> Callable[[int], bytes]:
    """Known bytes in place of random ones."""
    state = hashlib.shake_256(text.encode())
    taken = 0

    def entropy(size: int) -> bytes:
        nonlocal taken
        taken += size
        return state.digest(taken)[-size:]

    return entropy


_KEYS = [SigningKey.from_raw(hashlib.sha256(bytes([n])).digest()) for n in range(128)]


@dataclass
class Federation:
    """``entropy`` gives each hospital its random bytes, ``options`` go to every participant."""

    hospitals: int
    topology: Topology = field(default_factory=Topology)
    attempt: int = 1
    entropy: Callable[[str], Callable[[int], bytes]] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.names = [f"h{number:03}" for number in range(self.hospitals)]
        self.keys = dict(zip(self.names, _KEYS, strict=False))
        self.roster = Roster(tuple((n, k.public.raw) for n, k in self.keys.items()))
        self.context = Context(
            "run", 1, self.attempt, "train", self.roster.sha256, "plan", "schema"
        )
        self.participants = {name: self.participant(name) for name in self.names}
        self.refusals: list[tuple[str, str]] = []
        self.told: list[tuple[str, Any]] = []

    def participant(self, name: str, **options: Any) -> Participant:
        if self.entropy is not None:
            options["entropy"] = self.entropy(name)
        sign = partial(self.keys[name].sign, DOMAIN)
        options = {**self.options, **options}
        return Participant(name, self.context, self.roster, sign, self.topology, **options)

    def answer(self, name: str, request: Any, vectors: Mapping[str, np.ndarray]) -> Any:
        """What a node does with a participant."""
        one = self.participants[name]
        try:
            match request:
                case Advertise():
                    return one.advertise()
                case Share():
                    return one.share(request)
                case Mask():
                    vector = one.mask(vectors[name], request.shares)
                    signed = one.commitment
                    about = request.run, request.round, request.attempt, request.purpose
                    return Masked(*about, name, vector, signed.sha256, signed.signature)
                case Confirm():
                    return one.confirm(request)
                case Unmask():
                    return one.unmask(request)
                case Opened() if one.answered:
                    return one.check(request)
                case Opened():
                    return Refusal(request.run, request.round, name, "not there to the end")
        except CheckFailed as error:
            if isinstance(request, Opened):
                about = request.run, request.round, request.attempt, request.purpose
                return Checked(*about, name, str(error))
            self.refusals.append((name, str(error)))
            return Refusal(request.run, request.round, name, str(error))

    def run(
        self,
        vectors: Mapping[str, np.ndarray],
        lost: Sequence[Sequence[str]] = ((), (), (), (), ()),
        asked: Callable[[str, str, Any], Any] = lambda stage, name, message: message,
        said: Callable[[str, str, Any], Any] = lambda stage, name, message: message,
        kept: Callable[[Any], Any] = lambda state: state,
    ) -> Opening | Aborted:
        """``lost[s]`` fall silent at stage s and stay so. ``asked`` and ``said`` alter requests and
        answers on the way, ``kept`` a state between two steps."""
        first = next(iter(vectors.values()))
        state: Any = begin(
            self.context,
            self.roster,
            self.topology,
            length=first.size,
            ring_bits=8 * first.itemsize,
            least=self.options.get("least"),
        )
        silent: set[str] = set()
        for number, stage in enumerate(STAGES):
            silent |= set(lost[number])
            answers = {}
            for name, request in combiner.requests(state, dict.fromkeys(self.names, INNER)).items():
                if name in silent:
                    answers[name] = Absence(name, "silent")
                    continue
                reply = self.answer(name, asked(stage, name, request), vectors)
                self.told.append((name, reply))
                answers[name] = said(stage, name, reply)
            state = kept(combiner.step(state, answers))
            if isinstance(state, Aborted | Opening):
                return state
        raise AssertionError("five stages end it")

    def checked(self, opening: Opening) -> dict[str, Any]:
        """What the hospitals say to the opened sums."""
        asked = combiner.requests(opening)
        return {name: self.answer(name, request, {}) for name, request in asked.items()}


def some_vectors(names: Sequence[str], size: int, seed: int, bits: int = 64) -> dict[str, Any]:
    """Signed numbers well within the ring, as its integers."""
    rng = np.random.default_rng(seed)
    most = 2**50 if bits == 64 else 2**24
    kind = np.int64 if bits == 64 else np.int32
    drawn = {name: rng.integers(-most, most, size).astype(kind) for name in names}
    return {name: v.view(np.uint64 if bits == 64 else np.uint32) for name, v in drawn.items()}


def true_sum(vectors: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    first = next(iter(vectors.values()))
    total = np.zeros_like(first)
    for name in names:
        total = total + vectors[name]
    return total


__all__ = [
    "INNER",
    "KINDS",
    "STAGES",
    "Federation",
    "entropy_of",
    "replace",
    "some_vectors",
    "true_sum",
]
