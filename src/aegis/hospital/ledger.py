"""The privacy ledger of one data set: what it has spent, ever, over all runs and statistics.

It is a file of its own at the hospital, and only the hospital's word counts. A release takes these
steps, each on disk before the next begins:

    reserve   the cost is charged, or there is no room and the hospital abstains
    compute   the noised bytes
    store     they are kept; from now on this question gets them and nothing else
    send      a repeated question gets the same bytes again, until its run is settled

Nothing is ever refunded. A crash between reserve and store leaves a charge without bytes; as no
byte has left, the same reservation may compute once more, and only what is stored is sent. Every
row carries the hash of the row before it, so a row that was changed, removed or moved is found when
the file is opened. A file cut short at its end is a valid shorter ledger: keep ``head`` somewhere
else too (the audit log, the coordinator), and hand it in as ``witness``.
"""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from aegis.errors import AegisError, CheckFailed, DataError
from aegis.hospital.chain import Chain, Head, Row
from aegis.privacy.accounting import (
    Event,
    composed,
    epsilon_of_curve,
    epsilon_pld,
    event_from_json,
    event_json,
)
from aegis.privacy.filters import Cap, enforced_epsilon

__all__ = ["Exhausted", "Head", "Ledger", "Reservation", "Row", "Spent"]

_ROUNDING = 1e-9  # a plan calibrated to the cap itself must fit it


@dataclass(frozen=True)
class Reservation:
    """The charge stands. ``repeated`` says that it had been made before."""

    run: str
    round: int
    purpose: str
    event: Event
    repeated: bool


@dataclass(frozen=True)
class Exhausted:
    """There is no room: nothing was charged, and nothing may be sent."""

    reason: str
    spent: float
    cap: float


@dataclass(frozen=True)
class Spent:
    """Epsilons at ``delta``: ``enforced`` as the hospital counts (``privacy.filters``), ``rdp`` by
    Renyi alone, ``pld`` the figure to show."""

    enforced: float
    rdp: float
    pld: float
    delta: float
    releases: int


class Ledger:
    """One open ledger file. Several processes may hold one; each change is one transaction."""

    _connection: type[sqlite3.Connection] = sqlite3.Connection

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    @property
    def path(self) -> Path:
        return self._chain.path

    @classmethod
    def open(
        cls, path: Path, data_sha256: str, witness: Head | None = None, *, synced: bool = True
    ) -> Ledger:
        """The ledger of the data set with this hash, new where there is no file. Not ``synced``, a
        charge outlives the process but no power cut: for simulated hospitals only (ADR 24).

        ``DataError`` where the file is no ledger, belongs to other data, has a broken chain, or
        lacks the ``witness``.
        """
        if witness is not None and not path.exists():
            raise DataError(
                f"the privacy ledger {path} is not there",
                f"{witness.rows} rows of it have been seen, so these data have spent something",
                "Restore the file from a backup",
            )
        chain = Chain(path, cls._connection, synced=synced)
        try:
            chain.begin(data_sha256)
            _check_origin(path, chain.check(), data_sha256, witness)
        except CheckFailed as error:
            chain.close()
            raise DataError(
                error.value,
                "nothing is sent on a ledger like this",
                "Restore the file from a backup",
            ) from error
        except AegisError:
            chain.close()
            raise
        return cls(chain)

    def reserve(
        self,
        run: str,
        round: int,
        purpose: str,
        event: Event,
        cap: Cap,
        run_cap: Cap | None = None,
    ) -> Reservation | Exhausted:
        """Charges ``event`` if all that was ever charged, with it, stays within ``cap``, and this
        run within ``run_cap`` (a plan fixed beforehand: exact where it is all Gaussian). On return
        the charge is on disk. Asked again, the same reservation holds and costs nothing;
        ``DataError`` where the event is another one."""
        written = event_json(event)
        with self._chain.change():
            before = self._chain.detail("reserved", run, round, purpose)
            if before is not None:
                if before != written:
                    raise DataError(
                        f"{purpose} of round {round} was reserved as {before}, not {written}",
                        "a reservation cannot be changed",
                    )
                return Reservation(run, round, purpose, event, repeated=True)
            ever = self.events()
            if not cap.holds([*ever, event]):
                return _exhausted("these data have", cap.cost(ever), cap.cost([*ever, event]), cap)
            if run_cap is not None:
                own = self.events(run)
                after = enforced_epsilon([*own, event], run_cap.delta)
                if after > run_cap.epsilon * (1 + _ROUNDING):
                    spent = enforced_epsilon(own, run_cap.delta)
                    return _exhausted(f"the run {run} has", spent, after, run_cap)
            self._chain.append("reserved", run, round, purpose, written)
        return Reservation(run, round, purpose, event, repeated=False)

    def store(self, run: str, round: int, purpose: str, payload: bytes) -> None:
        """Keeps the bytes before they are sent. The same bytes again change nothing; other bytes
        for one question, or bytes without a reservation, are a ``DataError``."""
        digest = hashlib.sha256(payload).hexdigest()
        with self._chain.change():
            if self._chain.detail("reserved", run, round, purpose) is None:
                raise DataError(
                    f"{purpose} of round {round} was never reserved", "a release is charged first"
                )
            stored = self._chain.detail("stored", run, round, purpose)
            if stored == digest:
                return
            if stored is not None:
                raise DataError(
                    f"{purpose} of round {round} has an answer, and these are other bytes",
                    "one question gets one answer",
                    "Send what is stored",
                )
            self._chain.append("stored", run, round, purpose, digest)
            self._chain.keep(run, round, purpose, payload)

    def reserved(self, run: str, round: int, purpose: str) -> Event | None:
        """What this question was charged, or None where it was not."""
        detail = self._chain.detail("reserved", run, round, purpose)
        return None if detail is None else event_from_json(detail)

    def last_reserved(self, run: str, purpose: str) -> Event | None:
        """What the run was last charged for this, in whichever round; None where it never was."""
        detail = self._chain.last("reserved", run, purpose)
        return None if detail is None else event_from_json(detail)

    def payload(self, run: str, round: int, purpose: str) -> bytes | None:
        """The stored bytes, or None where nothing was stored. ``DataError`` where they are damaged
        or were forgotten: then nothing may be sent, as other bytes would be a second release."""
        digest = self._chain.detail("stored", run, round, purpose)
        if digest is None:
            return None
        found = self._chain.kept(run, round, purpose)
        if found is None or hashlib.sha256(found).hexdigest() != digest:
            raise DataError(
                f"the answer to {purpose} of round {round} is no longer there",
                "it was damaged, or dropped when its run was settled",
            )
        return found

    def forget(self, run: str) -> None:
        """Drops the bytes of a run that has ended. The charges and hashes stay."""
        self._chain.drop(run)

    def events(self, run: str | None = None) -> list[Event]:
        """Everything charged, or what one run was charged, in no particular order."""
        counted = self._chain.reserved(run)
        return [event for text, n in counted for event in [event_from_json(text)] * n]

    def spent(self, delta: float, run: str | None = None) -> Spent:
        """What was charged in all, or to one run. Imports dp-accounting (1.5 s) where there is
        anything to count."""
        events = self.events(run)
        rdp = epsilon_of_curve(composed(events), delta)
        enforced = enforced_epsilon(events, delta)
        return Spent(enforced, rdp, epsilon_pld(events, delta), delta, len(events))

    def head(self) -> Head:
        return self._chain.head()

    def rows(self) -> list[Row]:
        return self._chain.rows()

    def verify(self) -> Head:
        """The head, if every row and every stored byte is what it was; else ``CheckFailed`` that
        names the first row that is not."""
        rows = self._chain.check()
        for row in rows:
            if row.kind == "stored":
                found = self._chain.kept(row.run, row.round, row.purpose)
                if found is not None and hashlib.sha256(found).hexdigest() != row.detail:
                    raise CheckFailed(f"row {row.number} of {self.path}: its bytes were changed")
        return Head(rows[-1].number, rows[-1].sha256)

    def close(self) -> None:
        self._chain.close()


def _check_origin(path: Path, rows: list[Row], data_sha256: str, witness: Head | None) -> None:
    if rows[0].detail != data_sha256:
        raise DataError(
            f"the privacy ledger {path} belongs to the data {rows[0].detail[:12]}, "
            f"not to {data_sha256[:12]}",
            "each data set has a ledger of its own",
            "Open the ledger of these data, or take a new file for new data",
        )
    if witness is None:
        return
    if len(rows) < witness.rows or rows[witness.rows - 1].sha256 != witness.sha256:
        raise DataError(
            f"the privacy ledger {path} has {len(rows)} rows and lacks what was seen of "
            f"it, {witness.rows} rows up to {witness.sha256[:12]}",
            "an older or altered copy would forget spending",
            "Restore the latest file",
        )


def _exhausted(who: str, spent: float, after: float, cap: Cap) -> Exhausted:
    return Exhausted(
        f"{who} spent epsilon {spent:.4g} of {cap.epsilon:g} at delta {cap.delta:g}; this release "
        f"would make it {after:.4g}",
        spent,
        cap.epsilon,
    )
