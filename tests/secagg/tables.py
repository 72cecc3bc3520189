"""A coordinator by hand: each request of a sealed sum made, altered and sent at will."""

from __future__ import annotations

from typing import Any

from aegis.messages.learning import Refusal
from aegis.messages.stages import (
    Advertised,
    Confirm,
    Confirmed,
    Masked,
    Opened,
    Share,
    Shared,
    Unmask,
    Unmasked,
)
from aegis.secagg import DOMAIN, checks, threshold
from tests.secagg.sealed import INNER, Federation, some_vectors


class Table(Federation):
    """``to_...`` brings all hospitals honestly to that stage."""

    def __init__(self, hospitals: int, **options: Any) -> None:
        super().__init__(hospitals, **options)
        self.least = threshold(hospitals)
        self.vectors = some_vectors(self.names, 6, hospitals)
        self.advertised: dict[str, Advertised] = {}
        self.shared: dict[str, Shared] = {}
        self.handed_in: dict[str, Any] = {}
        self.confirmations: dict[str, bytes] = {}
        self.answered: dict[str, Unmasked] = {}

    @property
    def about(self) -> tuple[Any, ...]:
        context = self.context
        return context.run, context.plan_sha256, context.round, context.attempt, context.purpose

    @property
    def listed(self) -> list[Advertised]:
        return list(self.advertised.values())

    def share_request(self, listed: list[Advertised]) -> Share:
        return Share(*self.about, tuple(listed))

    def confirm_request(self, survivors: tuple[str, ...]) -> Confirm:
        return Confirm(*self.about, survivors)

    def unmask_request(self, confirmations: dict[str, bytes]) -> Unmask:
        return Unmask(*self.about, confirmations)

    def opened_request(self) -> Opened:
        return Opened(*self.about, self.vectors["h000"], tuple(self.names))

    def to_share(self) -> None:
        self.advertised = {n: one.advertise() for n, one in self.participants.items()}

    def to_mask(self, without: list[str] | None = None) -> None:
        self.to_share()
        sharing = [name for name in self.names if name not in (without or [])]
        request = self.share_request(self.listed)
        self.shared = {name: self.participants[name].share(request) for name in sharing}

    def parcels(self, name: str) -> dict[str, bytes]:
        return {n: one.shares[name] for n, one in self.shared.items() if n != name}

    def mask(self, name: str, parcels: dict[str, bytes]) -> Any:
        return self.participants[name].mask(self.vectors[name], parcels)

    def masked(self, name: str) -> Any:
        self.handed_in[name] = self.mask(name, self.parcels(name))
        return self.handed_in[name]

    def to_confirm(self) -> None:
        self.to_mask()
        for name in self.names:
            self.masked(name)

    def confirm(self, name: str, survivors: tuple[str, ...]) -> Confirmed | Refusal:
        reply: Confirmed | Refusal = self.answer(name, self.confirm_request(survivors), {})
        return reply

    def sign_survivors(self, name: str, survivors: tuple[str, ...]) -> bytes:
        """What only ``name`` can sign: honestly, or as a colluder."""
        return self.keys[name].sign(DOMAIN, checks.confirmed_text(self.context, survivors))

    def finish(self) -> None:
        self.to_confirm()
        survivors = tuple(self.names)
        for name in self.names:
            reply = self.confirm(name, survivors)
            assert isinstance(reply, Confirmed)
            self.confirmations[name] = reply.signature
        request = self.unmask_request(self.confirmations)
        self.answered = {n: one.unmask(request) for n, one in self.participants.items()}


__all__ = ["INNER", "Masked", "Table"]
