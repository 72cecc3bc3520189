"""Accountable masking: what a hospital hands in is fixed by a signed digest before it is hidden.

The digest goes into the log; vector and nonce stay at the hospital. In a dispute the auditor asks
for both and sees whether they are what was signed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aegis.identity.roster import Roster
from aegis.messages.stages import Ring
from aegis.secagg.context import DOMAIN, Context


@dataclass(frozen=True, slots=True)
class Commitment:
    """``nonce`` (32 bytes) stays secret until the vector is opened."""

    sha256: bytes
    nonce: bytes
    signature: bytes


def commit(
    vector: Ring, context: Context, name: str, sign: Callable[[bytes], bytes], nonce: bytes
) -> Commitment:
    digest = _digest(vector, context, name, nonce)
    return Commitment(digest, nonce, sign(signed_text(context, name, digest)))


def opens(commitment: Commitment, vector: Ring, context: Context, name: str) -> bool:
    """Whether this vector is the one that was committed to."""
    return _digest(vector, context, name, commitment.nonce) == commitment.sha256


def signed_by(roster: Roster, name: str, context: Context, sha256: bytes, signature: bytes) -> bool:
    if len(sha256) != hashlib.sha256().digest_size:
        return False
    return roster.key(name).verifies(DOMAIN, signed_text(context, name, sha256), signature)


def signed_text(context: Context, name: str, sha256: bytes) -> bytes:
    return context.bound("committed", name, sha256)


def _digest(vector: Ring, context: Context, name: str, nonce: bytes) -> bytes:
    digest = hashlib.sha256(context.bound("commitment", name, nonce, vector.itemsize))
    digest.update(np.ascontiguousarray(vector).data)
    return digest.digest()
