"""What one run left behind, as plain values: all that a verifier looks at, wherever it was kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from aegis.store.audit_log import Entry, Record


class LedgerRow(Protocol):
    """A row of a privacy ledger; its hash covers the row before."""

    @property
    def number(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def run(self) -> str: ...
    @property
    def round(self) -> int: ...
    @property
    def purpose(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def sha256(self) -> str: ...

    def chained(self, previous: str) -> str: ...


@dataclass(frozen=True)
class LedgerFile:
    """``payloads`` are the digests of the stored answers that are still there, by (run, round,
    purpose)."""

    rows: Sequence[LedgerRow]
    payloads: Mapping[tuple[str, int, str], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Database:
    """What the coordinator's database says of the run. ``sha256`` is the digest of its row,
    ``history`` (round, metrics as JSON), ``models`` (digest, card) of what it stored."""

    records: Sequence[Record]
    task: str
    plan: str
    plan_sha256: str
    sha256: str
    history: Sequence[tuple[int, str]] = ()
    models: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Seal:
    """The last word on a run in the coordinator's own log: entry ``number``, and the proof that it
    is in the log that ``checkpoint`` signs. ``handovers`` are the keys, with the signatures of the
    ones before them (hexadecimal), from the run's to the one that signed."""

    number: int
    entry: bytes
    proof: tuple[bytes, ...]
    checkpoint: str
    handovers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Evidence:
    """``plan``, ``card`` and ``result`` are texts as they were stored, ``model`` a file's bytes.
    ``seen`` is what witnesses remember (size, root). ``open``: the log may still grow, so that it
    has no seal yet. None stands for what is not at hand; ``unreadable`` lists (what, why) of what
    should be and cannot be read."""

    run: str
    entries: Sequence[Entry]
    checkpoints: Sequence[str]
    plan: str | None = None
    card: str | None = None
    model: bytes | None = None
    result: str | None = None
    ledgers: Mapping[str, LedgerFile] | None = None
    database: Database | None = None
    seen: Mapping[str, tuple[int, bytes]] | None = None
    seal: Seal | None = None
    open: bool = False
    unreadable: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Fault:
    """``where`` names the first bad thing (an entry, a checkpoint, a row, the model)."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"
