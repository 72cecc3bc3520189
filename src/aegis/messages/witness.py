"""What travels when a hospital watches over the coordinator's log.

Witness  -> Cosigned   a checkpoint, and the proof that it continues the one seen before
Settle   -> Settled    at the end of a run, what the hospital's own ledger was charged for in it
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Witness:
    """``checkpoint`` is a signed note; ``consistency`` proves that it continues the checkpoint of
    size ``since``, the last that this hospital cosigned as far as the coordinator knows. ``closed``
    is the entry, number ``number``, that says which model the last round ended with, ``inclusion``
    the proof that it is in that log; empty before the first round."""

    run: str
    plan_sha256: str
    round: int
    checkpoint: str
    since: int = 0
    consistency: tuple[bytes, ...] = ()
    closed: bytes = b""
    number: int = 0
    inclusion: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Cosigned:
    """``cosignature`` is one line of a signed note. Where ``since`` was not the size that this
    hospital remembers, it is empty, and ``size`` says from where the proof must start."""

    run: str
    round: int
    hospital: str
    cosignature: str
    size: int


@dataclass(frozen=True, slots=True)
class Settle:
    run: str
    plan_sha256: str
    round: int


@dataclass(frozen=True, slots=True)
class Settled:
    """``events`` are the run's charges as canonical JSON (``privacy.accounting.event_json``): they
    follow from the plan, not from a row; ``scores`` are those of noisy scores. ``rows`` and
    ``sha256`` are the ledger's head, for the audit log; empty where the plan needs no ledger."""

    run: str
    round: int
    hospital: str
    events: tuple[str, ...] = ()
    rows: int = 0
    sha256: str = ""
    scores: tuple[str, ...] = ()
