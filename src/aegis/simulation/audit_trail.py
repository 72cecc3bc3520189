"""The log of a simulated run: the coordinator signs it, simulated hospitals are its witnesses.

Their keys are new for each run and are erased when its log is closed, so that afterwards nobody can
sign for them any more. What they saw is kept beside the log. Of more than fifty hospitals sixteen
are witnesses, so that a large simulation is not slowed down; in a real federation every hospital
is one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Mapping, Sized
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aegis.errors import AegisError
from aegis.events import (
    Listener,
)
from aegis.hospital.witness import LogWitness, SqliteSightings
from aegis.identity.keys import SigningKey
from aegis.messages import Refusal
from aegis.messages.witness import Cosigned, Witness
from aegis.plan import Plan
from aegis.simulation.evidence import gathered
from aegis.simulation.seals import keys_of_run, simulated_keys
from aegis.store.audit_log import AuditLog
from aegis.store.handing_over import coordinator_key
from aegis.store.home import Home
from aegis.store.journal import Journal
from aegis.store.outcome import closed, first_model, outcome, sealed
from aegis.store.published import renyi_only
from aegis.store.recording import Recording
from aegis.store.registry import Registry
from aegis.store.verification import verify

log = logging.getLogger("aegis")

FEW, MOST_WITNESSES = 50, 16


@dataclass
class AuditTrail:
    """One run's log, its keys and its witnesses. ``recording`` is None where the log was closed
    before."""

    home: Home
    journal: Journal
    run: str
    log: AuditLog
    sightings: SqliteSightings
    key: SigningKey
    hospitals: tuple[str, ...]
    recording: Recording | None = None
    watching: dict[str, LogWitness] = field(default_factory=dict)

    @classmethod
    def begin(
        cls, home: Home, journal: Journal, run: str, plan: Plan, hospitals: tuple[str, ...]
    ) -> AuditTrail:
        """Open the log, and enter what a crash kept from it."""
        key = coordinator_key(home)
        log, sightings = AuditLog(home.audit_log), SqliteSightings(home.witnesses, synced=False)
        trail = cls(home, journal, run, log, sightings, key, hospitals)
        if not closed(log, run):
            trail.recording = trail._recording(plan)
            trail.recording.begin()
        return trail

    def _recording(self, plan: Plan) -> Recording:
        few = len(self.hospitals) <= FEW
        names = self.hospitals if few else self.hospitals[:MOST_WITNESSES]
        sealing = self.hospitals if plan.trust != "open" else names
        keys = simulated_keys(sealing, self._keys.parent)
        watching = {n: LogWitness(n, keys[n], self.key.public, self.sightings) for n in names}
        self.watching = watching

        def ask(requests: Mapping[str, Witness]) -> dict[str, Cosigned | Refusal]:
            with self.sightings.together():
                return {name: _cosigned(watching[name], one) for name, one in requests.items()}

        public = {name: own.public for name, own in keys.items()}
        journal, sha256 = self.journal, plan.sha256
        return Recording(self.log, journal, self.run, sha256, self.key, public, names, ask)

    @property
    def _keys(self) -> Path:
        return keys_of_run(self.home.results(self.run))

    @property
    def listeners(self) -> tuple[Listener, ...]:
        return () if self.recording is None else (self.recording,)

    @property
    def checkpoint(self) -> str | None:
        """The last signed note of this run's log."""
        notes = self.log.checkpoints(self.run)
        return notes[-1] if notes else None

    def finish(
        self, found: Mapping[str, Any], releases: Mapping[str, Sized], started_from: bool
    ) -> dict[str, Any]:
        """Put on record what followed from the run, have the whole log cosigned, and verify it:
        the ``audit_log`` of the result ``found``. ``started_from``: training went on from another
        model."""
        if self.recording is not None:
            parent = first_model(self.log, self.run) if started_from else ""
            version = Registry(self.home, self.journal).find(self.run)
            card = hashlib.sha256(version.text.encode()).hexdigest()
            self.recording.once(outcome(self.run, found, releases, parent, card))
            self.recording.finish(int(found["rounds"]))
        plain = {key: value for key, value in found.items() if key != "audit_log"}
        evidence = replace(gathered(self.home, self.run, json.dumps(plain)), open=True)
        verified = verify(evidence, recount=renyi_only)
        for fault in verified.faults:
            log.warning("the audit log of %s does not hold: %s", self.run, fault)
        summary = {
            "size": verified.size,
            "root": verified.root,
            "verified": verified.holds,
            "checkpoints": verified.checkpoints,
            "witnesses": len(verified.witnesses),
            "coordinator": self.key.public.fingerprint,
            "first_bad": None if verified.holds else str(verified.faults[0]),
        }
        if len(self.hospitals) > FEW:
            summary["witnesses_reason"] = (
                f"{MOST_WITNESSES} of {len(self.hospitals)} simulated hospitals are asked"
            )
        return {"audit_log": summary, "audit_log_reason": None}

    def seal(self, result: Path) -> None:
        """Note in the coordinator's own log how this one ended, and erase the hospitals' keys."""
        sealed(self.log, self.journal, self.key, self.run, result)
        self._keys.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._keys.parent.rmdir()

    def __enter__(self) -> AuditTrail:
        return self

    def __exit__(self, *error: object) -> None:
        self.log.close()
        self.sightings.close()


def _cosigned(witness: LogWitness, request: Witness) -> Cosigned | Refusal:
    try:
        return witness.cosign(request)
    except AegisError as error:
        return Refusal(request.run, request.round, witness.hospital, str(error))
