"""What both sides look at alike: signed texts, who is enough, and what is opened for whom."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from aegis.errors import CheckFailed
from aegis.identity.roster import Roster
from aegis.messages.stages import Advertised
from aegis.secagg.context import DOMAIN, LEAST, Context, framed
from aegis.secagg.topology import Topology

_KEY_BYTES = 32


def advertised_text(
    context: Context, name: str, encryption_key: bytes, mask_key: bytes, reveal: bytes
) -> bytes:
    return context.bound("advertised", name, encryption_key, mask_key, reveal)


def confirmed_text(context: Context, survivors: Sequence[str]) -> bytes:
    listed = hashlib.sha256(framed(*sorted(survivors))).digest()
    return context.bound("confirmed", listed)


def seed_sha256(context: Context, name: str, seed: bytes) -> bytes:
    return hashlib.sha256(context.bound("seed", name, seed)).digest()


def digest_of(values: Mapping[str, bytes]) -> bytes:
    parts = [part for name in sorted(values) for part in (name, values[name])]
    return hashlib.sha256(framed(*parts)).digest()


def digest_of_advertised(advertised: Iterable[Advertised]) -> bytes:
    lines = {}
    for number, one in enumerate(advertised):
        keys = one.encryption_key, one.mask_key, one.reveal, one.signature
        name = one.run, one.round, one.attempt, one.purpose
        lines[f"{number:06}"] = framed(*name, one.hospital, *keys)
    return digest_of(lines)


def places(roster: Roster) -> dict[str, int]:
    """Where a hospital's shares stand on the polynomials: the same whoever takes part."""
    return {name: number for number, name in enumerate(roster.names, start=1)}


def enough(names: Sequence[str], least: int, did: str) -> None:
    if len(names) < least:
        raise CheckFailed(f"{len(names)} hospitals {did}", f"{least} must have")


def fault_of_advertised(
    one: Advertised, context: Context, roster: Roster, topology: Topology
) -> str | None:
    """Why this cannot be what the hospital advertised."""
    if not context.names(one):
        return "keys for another sum"
    if one.hospital not in roster.names:
        return "keys of a stranger"
    if {len(one.encryption_key), len(one.mask_key), len(one.reveal)} != {_KEY_BYTES}:
        return "keys that do not have 32 bytes"
    text = advertised_text(context, one.hospital, one.encryption_key, one.mask_key, one.reveal)
    if not roster.key(one.hospital).verifies(DOMAIN, text, one.signature):
        return "keys that its pinned identity did not sign"
    if not topology.revealed(one.hospital, one.reveal, context):
        return "a reveal that does not lead to its anchor"
    return None


def checked_advertised(
    advertised: Sequence[Advertised],
    context: Context,
    roster: Roster,
    topology: Topology,
    least: int,
) -> dict[str, Advertised]:
    """By name, sorted. Raises ``CheckFailed``."""
    found = {one.hospital: one for one in sorted(advertised, key=lambda one: one.hospital)}
    if len(found) != len(advertised):
        raise CheckFailed("a hospital that advertised twice in one list")
    for one in advertised:
        fault = fault_of_advertised(one, context, roster, topology)
        if fault:
            raise CheckFailed(f"{one.hospital} is listed with {fault}")
    keys = [key for one in advertised for key in (one.encryption_key, one.mask_key)]
    if len(set(keys)) != len(keys):
        raise CheckFailed("one public key listed twice", "each hospital makes two of its own")
    enough(list(found), least, "advertised keys")
    return found


def checked_survivors(survivors: Sequence[str], senders: Sequence[str], least: int) -> None:
    if list(survivors) != sorted(set(survivors)):
        raise CheckFailed("a list of survivors that is not sorted, each once")
    if not set(survivors) <= set(senders):
        raise CheckFailed("survivors that never shared their secrets", "their masks would stay")
    enough(survivors, least, "survived")


def checked_confirmations(
    confirmations: Mapping[str, bytes],
    survivors: Sequence[str],
    context: Context,
    roster: Roster,
    least: int,
) -> None:
    """At least the threshold of the survivors signed this very list."""
    text = confirmed_text(context, survivors)
    valid = [
        name
        for name, signature in confirmations.items()
        if name in survivors and roster.key(name).verifies(DOMAIN, text, signature)
    ]
    enough(valid, least, "confirmed the list of survivors that this one saw")


def opening(
    groups: Iterable[tuple[str, ...]], senders: Iterable[str], survivors: Iterable[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Whose self mask and whose mask key is given away: of the groups that keep three survivors,
    those who are in the sum, and those who were lost on the way."""
    alive: list[str] = []
    lost: list[str] = []
    there, shared = set(survivors), set(senders)
    for group in groups:
        kept = [name for name in group if name in there]
        if len(kept) >= LEAST:
            alive += kept
            lost += [name for name in group if name in shared and name not in there]
    return tuple(sorted(alive)), tuple(sorted(lost))
