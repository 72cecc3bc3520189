"""The hospital as a witness of the coordinator's log.

It keeps the last checkpoint it has seen of each run, asks for proof that a new one continues it,
and cosigns (c2sp.org/tlog-cosignature). A coordinator that rewrites, cuts short or forks its log
can show no such proof, and every later checkpoint lacks the cosignatures of those it deceived. What
was seen is on disk before the cosignature leaves.

With each checkpoint comes the proof which model the round ended with, by the log; so a hospital can
tell whether the model that it is sent next is the one that was logged.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from aegis.database import opened
from aegis.errors import CheckFailed, DataError, RunAborted
from aegis.identity.keys import PublicKey, SigningKey
from aegis.messages.witness import Cosigned, Witness
from aegis.store.checkpoint import Checkpoint, read
from aegis.store.merkle import consistent, included, leaf_hash
from aegis.store.note import Verifier, cosigned, key_name, line

_COLUMNS = "PRAGMA table_info(seen)"


@dataclass(frozen=True, slots=True)
class Seen:
    """The largest checkpoint cosigned so far, as size and root, and when it was cosigned last, in
    seconds since 1970."""

    size: int
    root: bytes
    signed_s: int = 0


class Sightings(Protocol):
    """What witnesses remember, by witness and log."""

    def last(self, witness: str, origin: str) -> Seen | None: ...

    def keep(self, witness: str, origin: str, seen: Seen) -> None: ...


class VolatileSightings:
    """Lost with the process: a witness that starts anew believes the first checkpoint it sees."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], Seen] = {}

    def last(self, witness: str, origin: str) -> Seen | None:
        return self._seen.get((witness, origin))

    def keep(self, witness: str, origin: str, seen: Seen) -> None:
        self._seen[witness, origin] = seen


class SqliteSightings:
    """One file, synced to disk before a cosignature leaves; not ``synced``, it survives the end of
    the process but no power cut."""

    def __init__(self, path: Path, synced: bool = True) -> None:
        self.path = path
        try:
            self._db = opened(path, synced=synced)
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS seen (witness TEXT, origin TEXT, size INTEGER,"
                " root BLOB, signed_s INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (witness, origin))"
            )
            if all(name != "signed_s" for _, name, *_ in self._db.execute(_COLUMNS)):
                self._db.execute("ALTER TABLE seen ADD COLUMN signed_s INTEGER NOT NULL DEFAULT 0")
        except (OSError, sqlite3.Error) as error:
            raise DataError(
                f"{path} cannot be opened ({error})", "a witness must remember"
            ) from error

    def last(self, witness: str, origin: str) -> Seen | None:
        row = self._db.execute(
            "SELECT size, root, signed_s FROM seen WHERE witness=? AND origin=?", (witness, origin)
        ).fetchone()
        return None if row is None else Seen(int(row[0]), bytes(row[1]), int(row[2]))

    def all(self, origin: str) -> dict[str, Seen]:
        """What every witness in this file has seen of one log."""
        found = self._db.execute(
            "SELECT witness, size, root, signed_s FROM seen WHERE origin=?", (origin,)
        )
        return {witness: Seen(int(size), bytes(root), int(at)) for witness, size, root, at in found}

    def keep(self, witness: str, origin: str, seen: Seen) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO seen (witness, origin, size, root, signed_s) VALUES"
            " (?,?,?,?,?)",
            (witness, origin, seen.size, seen.root, seen.signed_s),
        )

    @contextmanager
    def together(self) -> Iterator[None]:
        """Several witnesses of one process in one write; what they sign may leave afterwards."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise RunAborted(
                f"{self.path} cannot be written ({error})", "a witness must remember"
            ) from error

    def close(self) -> None:
        self._db.close()


class LogWitness:
    """``coordinator`` is the key pinned when this hospital joined; ``clock`` gives seconds since
    1970. Where the clock goes back, as after a leap second, the time of a log stands still."""

    def __init__(
        self,
        hospital: str,
        key: SigningKey,
        coordinator: PublicKey,
        sightings: Sightings | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.hospital = hospital
        self._key, self._coordinator, self._clock = key, coordinator, clock
        self._name = key_name(hospital)
        self._sightings = sightings or VolatileSightings()
        self._models: dict[str, tuple[int, str]] = {}

    def cosign(self, request: Witness) -> Cosigned:
        """Raises ``CheckFailed`` where the checkpoint is not the coordinator's, or does not
        continue what was seen: a fork, a rollback, a log cut short."""
        note, now = read(request.checkpoint, request.run)
        if not note.signed(Verifier(now.origin, self._coordinator)):
            raise CheckFailed(
                f"the checkpoint of {now.size} entries is not signed by the coordinator's key "
                f"{self._coordinator.fingerprint}"
            )
        seen = self._sightings.last(self._name, now.origin)
        if seen is not None and now.size >= seen.size and request.since != seen.size:
            return Cosigned(request.run, request.round, self.hospital, "", seen.size)
        self._compare(seen, now, request)
        model = self._closed(now, request)
        at = max(0 if seen is None else seen.signed_s, int(self._clock()))
        cosigning = Seen(now.size, now.root, at)
        if cosigning != seen:
            self._sightings.keep(self._name, now.origin, cosigning)
        if model is not None:
            self._models[request.run] = model
        signature = cosigned(note.text, self._name, self._key, at)
        return Cosigned(request.run, request.round, self.hospital, line(signature), now.size)

    def check_model(self, run: str, round: int, sha256: str) -> None:
        """Raises ``CheckFailed`` where this is not the model that, by the log, round ``round``
        starts from. What the log has not shown yet is not judged."""
        last, logged = self._models.get(run, (0, ""))
        if last == round - 1 and logged not in ("", sha256):
            raise CheckFailed(
                f"round {round} was to start from the model {sha256[:12]}",
                f"by the log, round {last} ended with {logged[:12]}",
            )

    def _closed(self, now: Checkpoint, request: Witness) -> tuple[int, str] | None:
        """The round that was closed last, and the model that the next one starts from."""
        if not request.closed:
            return None
        leaf, at = leaf_hash(request.closed), request.number - 1
        if not included(leaf, at, now.size, request.inclusion, now.root):
            raise CheckFailed("the round that is said to be closed is not in the signed log")
        try:
            fields = json.loads(request.closed)
            if (fields["event"], fields["run"]) != ("RoundClosed", request.run):
                raise ValueError("it closes no round of this run")
            return int(fields["round"]), str(fields["next_sha256"] or fields["model_sha256"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise CheckFailed(f"the log has an entry that closes no round ({error})") from error

    def _compare(self, seen: Seen | None, now: Checkpoint, request: Witness) -> None:
        if seen is None:
            return
        saw = f"this hospital cosigned {seen.size} entries with the root {seen.root.hex()}"
        if now.size < seen.size:
            raise CheckFailed(
                f"the log was cut short or rolled back: {now.size} entries with the root "
                f"{now.root.hex()}",
                saw,
            )
        if not consistent(seen.size, now.size, request.consistency, seen.root, now.root):
            raise CheckFailed(
                f"the log was forked or rewritten: its {now.size} entries with the root "
                f"{now.root.hex()} do not continue what was seen",
                saw,
            )
