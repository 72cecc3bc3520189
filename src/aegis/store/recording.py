"""A run being put on record: every event of its journal, and after each round a checkpoint that the
hospitals are asked to cosign.

A hospital that refuses, or signs something else, is put on record too, and the run goes on; whether
enough of them cosigned is for whoever verifies the log to see.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Protocol, TypeAlias

from aegis.errors import DataError
from aegis.events import Event, RosterFixed, RoundClosed, WitnessRefused, as_json
from aegis.identity.keys import PublicKey, SigningKey
from aegis.messages import Absence, Refusal
from aegis.messages.witness import Cosigned, Witness
from aegis.store.audit_log import AuditLog, Record
from aegis.store.checkpoint import Checkpoint
from aegis.store.note import (
    WITNESS,
    Note,
    Signature,
    Verifier,
    key_name,
    parse_line,
    seconds_of,
)

log = logging.getLogger("aegis")

Watching: TypeAlias = Callable[[Mapping[str, Witness]], Mapping[str, Cosigned | Refusal | Absence]]
"""Asks hospitals to watch: over the road, or in this process."""


class Telling(Protocol):
    """What is needed of a journal."""

    def tell(self, run: str, events: Sequence[Event]) -> None: ...

    def events(self, run: str, after: int = 0) -> Sequence[Record]: ...


class Recording:
    """A listener for one run. ``keys`` are the hospitals' public ones, ``witnesses`` those of them
    that are asked to cosign, ``key`` the coordinator's own."""

    def __init__(
        self,
        audit_log: AuditLog,
        journal: Telling,
        run: str,
        plan_sha256: str,
        key: SigningKey,
        keys: Mapping[str, PublicKey],
        witnesses: Sequence[str],
        watching: Watching,
    ) -> None:
        self._log, self._journal, self._run = audit_log, journal, run
        self._plan_sha256, self._key, self._ask = plan_sha256, key, watching
        self._keys = dict(keys)
        self._witnesses = {
            name: Verifier(key_name(name), keys[name], WITNESS) for name in witnesses
        }
        self._seen = dict.fromkeys(self._witnesses, 0)
        self._signed_s = dict.fromkeys(self._witnesses, 0)
        self._closed = (0, b"")
        self._read = 0
        self._came: set[str] = set()
        self._missed: set[str] = set()
        self._refused: set[str] = set()

    def begin(self) -> None:
        """Put the keys on record, once, and whatever a crash kept from being entered."""
        public = {name: key.hex for name, key in self._keys.items()}
        roster = RosterFixed(self._run, self._key.public.hex, public, tuple(self._witnesses))
        last = 0
        for text in self._log.checkpoints(self._run):
            note = Note.parse(text)
            last = Checkpoint.parse(note.text).size
            signers = {signature[0]: signature for signature in note.signatures}
            for name, verifier in self._witnesses.items():
                if verifier.name in signers:
                    self._seen[name] = last
                    self._signed_s[name] = seconds_of(signers[verifier.name])
        self.once([roster])
        for entry in reversed(self._log.entries(self._run)):
            fields = json.loads(entry.data)
            if fields["event"] == "RoundClosed":
                self._closed = (entry.number, entry.data)
                if entry.number > last:
                    self.checkpoint(fields["round"])
                return

    def __call__(self, event: Event) -> None:
        self.catch_up()
        if isinstance(event, RoundClosed):
            self.checkpoint(event.round)

    def once(self, events: Sequence[Event]) -> None:
        """Tell the journal what it does not hold yet, and enter it."""
        held = {json.dumps(dict(e), sort_keys=True) for _, _, e in self._journal.events(self._run)}
        new = [e for e in events if json.dumps(as_json(e), sort_keys=True) not in held]
        if new:
            self._journal.tell(self._run, new)
        self.catch_up()

    def catch_up(self) -> None:
        """Enter everything that the journal holds and the log does not."""
        after = self._log.size(self._run)
        records = self._journal.events(self._run, after)
        if not records:
            return
        self._log.enter(self._run, records)
        closed = [number for number, _, fields in records if fields["event"] == "RoundClosed"]
        if closed:
            entry = self._log.entries(self._run, after=closed[-1] - 1)[0]
            self._closed = (entry.number, entry.data)

    def finish(self, round: int, waits: Iterable[int] = ()) -> Note:
        """The last checkpoint of the run. Who refuses it is on record, and what is on record is
        signed: then once more, and by those who did not refuse. As long as no more than half
        cosigned, who was silent is asked again after each of ``waits``."""
        note = self._whole(round, self.checkpoint(round))
        ahead = iter(waits)
        while (silent := self._silent(note)) and next(ahead, None) is not None:
            note = self._whole(round, self._checkpoint(round, silent))
        return note

    def _whole(self, round: int, note: Note) -> Note:
        """A checkpoint of all that is on record. Nobody refuses twice, so this ends."""
        while Checkpoint.parse(note.text).size < self._log.size(self._run):
            note = self._checkpoint(round, self._willing())
        return note

    def _willing(self) -> set[str]:
        return set(self._witnesses) - self._away() - self._refused

    def _silent(self, note: Note) -> set[str]:
        """Who may yet make it more than half; nobody where it is, or where they are too few."""
        signers = {name for name, _ in note.signatures}
        signed = {name for name, one in self._witnesses.items() if one.name in signers}
        silent, half = self._willing() - signed, len(self._witnesses) / 2
        return silent if len(signed) <= half < len(signed) + len(silent) else set()

    def checkpoint(self, round: int) -> Note:
        """Sign where the log stands, have it cosigned, and keep it. Who did not join the run is not
        asked: such a hospital knows nothing of it."""
        self._refused.clear()
        return self._checkpoint(round, self._willing())

    def _away(self) -> set[str]:
        """Who did not join, by the journal; each of its events is read once."""
        for number, _, fields in self._journal.events(self._run, self._read):
            self._read = number
            if fields["event"] == "HospitalJoined":
                self._came.add(fields["hospital"])
            elif fields["event"] == "HospitalAbsent" and fields["round"] == 0:
                self._missed.add(fields["hospital"])
        return self._missed - self._came

    def _checkpoint(self, round: int, asked: Collection[str]) -> Note:
        note = self._log.checkpoint(self._run, self._key)
        size = Checkpoint.parse(note.text).size
        willing = [name for name in self._seen if name in asked]
        answers = dict(self._ask(self._requests(note, willing, round, size)))
        again = {
            name: answer.size  # it remembers another checkpoint: prove from there
            for name, answer in answers.items()
            if isinstance(answer, Cosigned) and not answer.cosignature and 0 <= answer.size <= size
        }
        if again:
            self._seen |= again
            answers.update(self._ask(self._requests(note, again, round, size)))
        good: list[Signature] = []
        refused: list[Event] = []
        for name, answer in answers.items():
            match answer:
                case Cosigned():
                    signature, fault = self._signature(note, name, answer)
                case Refusal(reason=reason):
                    signature, fault = None, reason
                case Absence():
                    continue
            if signature is not None:
                good.append(signature)
                self._seen[name], self._signed_s[name] = size, seconds_of(signature)
            else:
                log.warning("%s does not cosign the log of %s: %s", name, self._run, fault)
                self._refused.add(name)
                refused.append(WitnessRefused(self._run, round, name, fault))
        note = self._log.witnessed(self._run, note, good)
        if refused:
            self._journal.tell(self._run, refused)
            self.catch_up()
        return note

    def _requests(
        self, note: Note, hospitals: Iterable[str], round: int, size: int
    ) -> dict[str, Witness]:
        """What these witnesses are asked; most of them saw the same checkpoint last."""
        proof = cache(partial(self._log.consistency, self._run, size=size))
        number, entry = self._closed
        shown: tuple[bytes, ...] = ()
        if 0 < number <= size:
            shown = self._log.inclusion(self._run, number, size)
        said, sha256, run, seen = str(note), self._plan_sha256, self._run, self._seen
        return {
            name: Witness(
                run, sha256, round, said, seen[name], proof(seen[name]), entry, number, shown
            )
            for name in hospitals
        }

    def _signature(
        self, note: Note, hospital: str, answer: Cosigned
    ) -> tuple[Signature | None, str]:
        if not answer.cosignature:
            return None, f"it remembers a log of {answer.size} entries"
        try:
            signature = parse_line(answer.cosignature)
        except DataError as error:
            return None, str(error)
        if (answer.run, answer.hospital) != (self._run, hospital) or not self._witnesses[
            hospital
        ].accepts(note.text, signature):
            return None, "its cosignature is not one of its key on this checkpoint"
        if seconds_of(signature) < self._signed_s[hospital]:
            return None, "it cosigned at a time before that of its last cosignature"
        return signature, ""
