"""Taking the masks off: secrets are put together from shares, and their keystreams taken away.

Each secret is recognised when it is found, a mask key by its public key and a seed by its digest,
so a wrong share does no harm while enough right ones are left, and is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from aegis.messages.stages import Unmasked
from aegis.secagg import checks
from aegis.secagg.context import LEAST
from aegis.secagg.masks import add_masks, pairwise_key, private_key, public_key, self_key
from aegis.secagg.shamir import PRIME, recover
from aegis.secagg.sums import Aborted, Blame, Confirming, Group, Opening


def opened(state: Confirming, answers: Mapping[str, Unmasked], blamed: Blame) -> Opening | Aborted:
    """The sums of all groups that keep three survivors, or who cannot be unmasked."""
    about, context = state.sum, state.sum.context
    alive, lost = checks.opening(state.groups, state.senders, state.survivors)
    keys = {one.hospital: one.mask_key for one in state.advertised}
    faults = dict(blamed)
    secrets: dict[str, bytes] = {}
    for name in (*alive, *lost):
        holds: Callable[[bytes], bool]
        if name in lost:
            held = {who: one.mask_shares[name] for who, one in answers.items()}
            holds = partial(_is_mask_key, public=keys[name])
        else:
            held = {who: one.self_shares[name] for who, one in answers.items()}
            holds = partial(_is_seed, state=state, name=name)
        secret, wrong = _recovered(held, state, holds)
        for who in wrong:
            faults[who] = f"a share of {name}'s secret that does not fit those of the others"
        if secret is None:
            return Aborted(
                f"the shares of {name}'s secret do not fit together", tuple(faults.items())
            )
        secrets[name] = secret
    found = []
    for group, total in zip(state.groups, state.totals, strict=True):
        kept = [name for name in group if name in alive]
        if len(kept) < LEAST:
            continue
        added: list[bytes] = []
        taken = [self_key(context, name, secrets[name]) for name in kept]
        for gone in (name for name in group if name in lost):
            private = private_key(secrets[gone])
            for name in kept:
                key = pairwise_key(context, private, keys[name], gone, name)
                (taken if name < gone else added).append(key)
        total = total.copy()
        add_masks(total, added, taken)
        found.append(Group(tuple(kept), total))
    return Opening(about, tuple(found), state.commitments, tuple(faults.items()))


def _recovered(
    held: Mapping[str, bytes], state: Confirming, holds: Callable[[bytes], bool]
) -> tuple[bytes | None, list[str]]:
    places = checks.places(state.sum.roster)
    wrong = [who for who, share in held.items() if int.from_bytes(share, "big") >= PRIME]
    shares = {places[who]: share for who, share in held.items() if who not in wrong}
    secret, strangers = recover(shares, state.sum.threshold, holds)
    return secret, wrong + [who for who in held if places[who] in strangers]


def _is_mask_key(secret: bytes, public: bytes) -> bool:
    return public_key(private_key(secret)) == public


def _is_seed(secret: bytes, state: Confirming, name: str) -> bool:
    return checks.seed_sha256(state.sum.context, name, secret) == state.seeds_sha256[name]
