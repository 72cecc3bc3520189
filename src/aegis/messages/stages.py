"""What travels inside a sealed sum: five stages and the proof of what was opened.

One attempt at one sum is named by (run, round, attempt, purpose); every key and signature below is
bound to that name. Public keys, signatures and ciphertexts are bytes; a masked vector is one array
of unsigned 64-bit (or 32-bit) integers, the ring that all hospitals share.

    Advertise -> Advertised   fresh public keys, signed
    Share     -> Shared       shares of both secrets, encrypted for each peer
    Mask      -> Masked       the answer to ``inner``, encoded and masked
    Confirm   -> Confirmed    a signature on who survived
    Unmask    -> Unmasked     shares of the survivors' own masks and of the lost ones' mask keys
    Opened    -> Checked      the opened sum, for the hospitals' secret checksum
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.messages.learning import Evaluate, Statistics, Train

Purpose: TypeAlias = Literal["statistics", "train", "evaluate", "final"]
Ring: TypeAlias = NDArray[np.uint64] | NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Advertise:
    """``hospitals`` are all that are asked for this sum; their keys are what each one pinned.
    ``anchors``: the ends of their hash chains, where groups are drawn. ``question`` is the SHA-256
    (32 bytes) of what every one of them will be asked inside: hospitals that are told of different
    questions find no common sum."""

    run: str
    plan_sha256: str
    round: int
    attempt: int
    purpose: Purpose
    hospitals: tuple[str, ...]
    anchors: Mapping[str, bytes] = field(default_factory=dict)
    question: bytes = b""


@dataclass(frozen=True, slots=True)
class Advertised:
    """``encryption_key`` and ``mask_key`` are fresh X25519 public keys (32 bytes), ``reveal`` this
    hospital's part of the randomness that draws groups and neighbours (32 bytes), ``signature``
    Ed25519 over the context and all three."""

    run: str
    round: int
    attempt: int
    purpose: Purpose
    hospital: str
    encryption_key: bytes
    mask_key: bytes
    reveal: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Share:
    run: str
    plan_sha256: str
    round: int
    attempt: int
    purpose: Purpose
    advertised: tuple[Advertised, ...]


@dataclass(frozen=True, slots=True)
class Shared:
    """``shares`` holds one ciphertext for each peer, ``seed_sha256`` the digest (32 bytes) that the
    seed of this hospital's own mask is recognised by once it is put together again."""

    run: str
    round: int
    attempt: int
    purpose: Purpose
    hospital: str
    shares: Mapping[str, bytes]
    seed_sha256: bytes


@dataclass(frozen=True, slots=True)
class Mask:
    """``shares`` are the ciphertexts addressed to this hospital; their senders, with itself, are
    those it masks with."""

    run: str
    plan_sha256: str
    round: int
    attempt: int
    purpose: Purpose
    inner: Train | Statistics | Evaluate
    shares: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Masked:
    """``commitment`` is the signed SHA-256 of the encoded vector and a nonce that stays at the
    hospital: in a dispute an auditor asks for the opening."""

    run: str
    round: int
    attempt: int
    purpose: Purpose
    hospital: str
    vector: Ring
    commitment: bytes = b""
    signature: bytes = b""


@dataclass(frozen=True, slots=True)
class Confirm:
    run: str
    plan_sha256: str
    round: int
    attempt: int
    purpose: Purpose
    survivors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Confirmed:
    run: str
    round: int
    attempt: int
    purpose: Purpose
    hospital: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Unmask:
    run: str
    plan_sha256: str
    round: int
    attempt: int
    purpose: Purpose
    confirmations: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Unmasked:
    """``self_shares`` by survivor, ``mask_shares`` by hospital that was lost after sharing: never
    both for one hospital."""

    run: str
    round: int
    attempt: int
    purpose: Purpose
    hospital: str
    self_shares: Mapping[str, bytes]
    mask_shares: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Opened:
    """The opened sum of the group this hospital was in, checksum slots included; ``survivors``
    are those of the group whose vectors are in it."""

    run: str
    plan_sha256: str
    round: int
    attempt: int
    purpose: Purpose
    total: Ring
    survivors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """``fault`` says what is wrong with the opened sum; empty where it is the true one."""

    run: str
    round: int
    attempt: int
    purpose: Purpose
    hospital: str
    fault: str = ""


Stage: TypeAlias = Advertise | Share | Mask | Confirm | Unmask | Opened
StageReply: TypeAlias = Advertised | Shared | Masked | Confirmed | Unmasked | Checked
