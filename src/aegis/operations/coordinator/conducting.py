"""One run over a road, from waiting for hospitals to its sealed log.

Everything that a simulation knows besides (each hospital alone, the pooled reference, the attack on
the model) needs rows and is absent here; the result says so. What each hospital's ledger was
charged it says itself, at the end.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aegis.coordinator.steps import Study
from aegis.errors import BadInput
from aegis.events import Listener
from aegis.messages import Absence, Cosigned, Refusal, Settled
from aegis.messages.witness import Witness
from aegis.operations.coordinator.office import Office
from aegis.operations.coordinator.settling import charged_for_scores, settled
from aegis.plan import Plan
from aegis.plan.own_data import positive, schema_of
from aegis.privacy.accounting import Event
from aegis.report.card import model_card
from aegis.report.files import write_files
from aegis.report.odds_ratios import odds_of
from aegis.report.result import result_of
from aegis.states import Failed, Idle, Registration, RoundSetup, State, Terminated
from aegis.store.audit_log import AuditLog
from aegis.store.experiments import recorded
from aegis.store.gathering import coordinators_evidence
from aegis.store.journal import Journal
from aegis.store.outcome import closed, first_model, outcome, sealed
from aegis.store.published import renyi_only
from aegis.store.recording import Recording
from aegis.store.registry import Registry
from aegis.store.verification import verify
from aegis.store.way_on import ANEW
from aegis.tasks.models import model_sha256
from aegis.tasks.task import find_task
from aegis.transport.road import Road
from aegis.version import __version__
from aegis.wiring import federate

log = logging.getLogger("aegis")

NOTE = "Research use only. Not medical software. Not independently audited."
_LOOK_S = 0.2
_LEAST_REST_S, _MOST_REST_S = 1.0, 5.0
_LONGEST_WAIT_S = 600.0


@dataclass(frozen=True)
class Conducting:
    """``road`` is the road's name; ``make_road`` gives the road for a plan. ``closing``, once set,
    ends the process's part: the run stays as it was saved."""

    office: Office
    road: str
    make_road: Callable[[Plan], Road]
    listeners: Sequence[Listener]
    closing: threading.Event

    def run(self, journal: Journal, name: str) -> dict[str, Any]:
        """Begin a run that is in the journal, or go on with it. Raises ``RunAborted`` where it
        cannot go on, ``RoadClosed`` where ``closing`` was set."""
        stored = journal.run(name)
        plan = Plan.from_json(stored.plan_json)
        study = Study(plan, schema_of(plan))
        road = self.make_road(plan)
        state = stored.state
        if isinstance(state, Failed):
            state = Idle() if state.progress is None else RoundSetup(state.progress)
        if isinstance(state, Idle) or (isinstance(state, Registration) and not state.enrolled):
            if not self._gathered(journal, name, plan, road):
                journal.save(name, Idle(), [])  # as if it had not begun: it is over
                raise BadInput(f"the run {name} was stopped before any hospital was asked")
            state = Idle()
        audit_log = AuditLog(self.office.home.audit_log)
        try:
            with recorded(self.office.home, journal, name, events=True) as ended:
                found = self._on(journal, audit_log, name, study, road, state)
                ended(found)
            return found
        finally:
            audit_log.close()

    def _gathered(self, journal: Journal, name: str, plan: Plan, road: Road) -> bool:
        """Wait until as many hospitals are there as the plan wants; whether they came."""
        told: tuple[str, ...] | None = None
        while len(there := road.hospitals()) < wanted(plan):
            if journal.command(name) == "stop":
                return False
            if self.closing.wait(_LOOK_S):
                road.check_open()
            if there != told:
                journal.save(name, Registration(name, there), [])
                log.info("%s waits: %d of %d hospitals", name, len(there), wanted(plan))
                told = there
        return True

    def _rested(self, seconds: float, road: Road) -> None:
        if self.closing.wait(seconds):
            road.check_open()

    def _waits(self, journal: Journal, name: str, plan: Plan, road: Road) -> Iterator[int]:
        """Between two times that the last checkpoint is shown to who was silent; in all they have
        as long as all attempts at a round, but ten minutes at most, and no longer than until
        somebody says something else of the run than before."""
        deadline_s = plan.federated.deadline_s
        rest = min(deadline_s, max(deadline_s / 10, _LEAST_REST_S), _MOST_REST_S)
        end = time.monotonic() + min(plan.federated.attempts * deadline_s, _LONGEST_WAIT_S)
        before = journal.command(name)
        for number in itertools.count():
            if time.monotonic() >= end or journal.command(name) != before:
                return
            self._rested(rest, road)
            yield number

    def _on(
        self,
        journal: Journal,
        audit_log: AuditLog,
        name: str,
        study: Study,
        road: Road,
        state: State,
    ) -> dict[str, Any]:
        plan, key = study.plan, self.office.identity.signing
        recording: Recording | None = None
        if not closed(audit_log, name):
            roster = self.office.registrar.membership
            keys = {
                hospital: standing.identity.signing
                for hospital in self.office.hospitals()
                if (standing := roster.standing(hospital)) is not None
            }
            ask = _watching(road, plan.federated.deadline_s)
            sha256 = plan.sha256
            recording = Recording(audit_log, journal, name, sha256, key, keys, tuple(keys), ask)
            recording.begin()
        final = state
        if not isinstance(final, Terminated):
            listeners: list[Listener] = [*([recording] if recording else []), *self.listeners]
            resumed = None if isinstance(state, Idle) else state
            final = federate(
                study,
                name,
                road,
                journal,
                listeners,
                resume_from=resumed,
                rest=lambda seconds: self._rested(seconds, road),
                joining=True,
                again=ANEW,
            )
        releases, heads = settled(road, plan, final)
        registry = Registry(self.office.home, journal)
        found = self._document(journal, study, final, releases, heads)
        progress = final.progress
        notes = audit_log.checkpoints(name)
        card = model_card(
            plan,
            study.schema,
            progress.preparation,
            found,
            positive=positive(plan),
            checkpoint=notes[-1] if notes else None,
        )
        model = study.model(progress.preparation)
        registry.save(name, plan.task, model, progress.weights, card)
        found["files"] = {"model": str(registry.path(found["model_sha256"]))}
        if recording is not None:
            version = registry.find(name)
            digest = hashlib.sha256(version.text.encode()).hexdigest()
            parent = first_model(audit_log, name) if plan.model.start is not None else ""
            recording.once(outcome(name, found, releases, parent, digest))
            recording.finish(int(found["rounds"]), self._waits(journal, name, plan, road))
        found |= self._verified(found, name)
        folder = self.office.home.results(name)
        write_files(found, plan, folder)
        if recording is not None:
            sealed(audit_log, journal, key, name, folder / "result.json")
        return found

    def _document(
        self,
        journal: Journal,
        study: Study,
        final: Terminated,
        releases: Mapping[str, Sequence[Event]],
        heads: Mapping[str, Settled],
    ) -> dict[str, Any]:
        progress, plan = final.progress, study.plan
        task = find_task(plan.task)
        sha256 = model_sha256(study.model(progress.preparation), progress.weights)
        found = result_of(
            study,
            final,
            journal.events(progress.run),
            transport=self.road,
            model_sha256=sha256,
            releases=releases,
            scored=charged_for_scores(heads),
        )
        rows = "hospitals' rows stay with them: only a simulation can compare"
        found |= {
            "aegis": __version__,
            "note": NOTE,
            "data": {
                "source": "the hospitals' own",
                "synthetic": False,
                "rows": sum(h.examples + h.held_out for h in progress.hospitals),
                "credits": task.credits,
                "positive": positive(plan),
                "row": getattr(task, "unit", "patient record"),
            },
            "comparison": None,
            "comparison_reason": rows,
            "membership_audit": None,
            "membership_audit_reason": "it attacks with rows, which stay at the hospitals",
            "table_one": None,
            "table_one_reason": "the coordinator of a real road shows no statistics of rows",
        }
        found |= odds_of(study.schema, progress)
        for hospital in found["hospitals"]:
            head = heads.get(hospital["name"])
            there = head is not None and head.rows > 0
            hospital["ledger_head"] = (
                {"rows": head.rows, "sha256": head.sha256} if head and there else None
            )
        return found

    def _verified(self, found: Mapping[str, Any], name: str) -> dict[str, Any]:
        plain = json.dumps({key: value for key, value in found.items() if key != "audit_log"})
        evidence = coordinators_evidence(self.office.home, name, plain, open=True)
        verified = verify(evidence, recount=renyi_only)
        for fault in verified.faults:
            log.warning("the audit log of %s does not hold: %s", name, fault)
        return {
            "audit_log": {
                "size": verified.size,
                "root": verified.root,
                "verified": verified.holds,
                "checkpoints": verified.checkpoints,
                "witnesses": len(verified.witnesses),
                "coordinator": self.office.identity.signing.public.fingerprint,
                "first_bad": None if verified.holds else str(verified.faults[0]),
            },
            "audit_log_reason": None,
        }


def wanted(plan: Plan) -> int:
    """How many hospitals must be there for a run to begin: those the plan counts on."""
    federated = plan.federated
    if isinstance(federated.quorum, int):
        return federated.quorum
    return federated.num_clients or plan.quorum(1)


def _watching(road: Road, deadline_s: float) -> Callable[[Mapping[str, Witness]], dict[str, Any]]:
    def ask(requests: Mapping[str, Witness]) -> dict[str, Any]:
        there = set(road.hospitals())
        asked = {name: one for name, one in requests.items() if name in there}
        answers = road.ask(asked, deadline_s) if asked else {}
        found: dict[str, Any] = {}
        for name in requests:
            answer = answers.get(name, Absence(name, "it is not connected"))
            if isinstance(answer, Cosigned | Refusal | Absence):
                found[name] = answer
        return found

    return ask
