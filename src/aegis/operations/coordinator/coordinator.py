"""The coordinator: one courier, one run at a time, and whatever people tell it to do.

A thread of its own conducts the runs; everybody else (the console, a command line) leaves word in
the journal or here and returns at once. A run that was going on when the process ended goes on
when it starts again. Stopping the process stops no run: it waits where it was saved.
"""

from __future__ import annotations

import json
import logging
import queue
import secrets
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from aegis import states
from aegis.coordinator.questions import ask_all
from aegis.coordinator.study import Study
from aegis.errors import AegisError, BadInput, RoadClosed, RunAborted
from aegis.events import Listener
from aegis.identity.membership import Membership
from aegis.operations.coordinator.attendance import Attendance
from aegis.operations.coordinator.conducting import Conducting, wanted
from aegis.operations.coordinator.enrolling import FrontDesk
from aegis.operations.coordinator.office import Office
from aegis.plan import Plan, check_plan
from aegis.plan.own_data import positive, schema_of
from aegis.report.answers import DELTA, EPSILON, answered_document, check_price
from aegis.states import Failed, Idle, Terminated
from aegis.store.journal import Journal
from aegis.store.outcome import closed
from aegis.store.questions import note_question
from aegis.store.replay import ReplayGuard
from aegis.store.replay import Sequence as Numbers
from aegis.tasks.question import Question, question
from aegis.tasks.task import find_task
from aegis.tasks.topics import Topics
from aegis.transport.carrier import Carrier, Courier, Hearing
from aegis.transport.forms import replies_to
from aegis.transport.road import Road
from aegis.transport.sealed import Party

log = logging.getLogger("aegis")

Command = Literal["pause", "resume", "stop"]


@dataclass
class _Now:
    """What the conducting thread is at. ``ahead`` are runs that were begun and have not ended."""

    run: str | None = None
    ahead: dict[str, None] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)


class Coordinator:
    """``road`` is the courier's name, ``courier`` its engine. Use it as a context: it starts the
    courier, goes on with what was interrupted, and stops both."""

    def __init__(
        self, office: Office, road: str, courier: Courier, listeners: Sequence[Listener] = ()
    ) -> None:
        self.office, self.road, self._courier = office, road, courier
        self._listeners = list(listeners)
        self._closing = threading.Event()
        self._waiting: queue.Queue[str | None] = queue.Queue()
        self._now = _Now()
        self._done = threading.Condition()
        self._asking, self._submitting = threading.Lock(), threading.Lock()
        self._expelled: set[str] = set()
        self._carrier: Carrier | None = None
        self.attendance = Attendance(office.home.root / ".attendance")
        self.desk = FrontDesk(office, courier.admit, self._changed)

    def __enter__(self) -> Coordinator:
        self._alone = self.office.alone()
        self._alone.__enter__()
        try:
            logs = self.office.home.root / "logs"
            self._guard = ReplayGuard(logs / "envelopes.db")
            self._numbers = Numbers(logs / "envelopes.db", "coordinator")
            identity = self.office.identity
            file = self.office.registrar.file
            self._party = Party(identity, file, self._guard, self._numbers)
            self._carrier = self._courier.start()
            self.look_at_members()  # somebody may have been revoked while no coordinator ran
            if isinstance(self._carrier, Hearing):
                self._listeners.append(self._carrier.hear)
        except BaseException:
            self._courier.stop()
            self._alone.__exit__(None, None, None)
            raise
        for run in self.unfinished():
            self._now.ahead[run] = None
            self._waiting.put(run)
        self._thread = threading.Thread(target=self._conduct, name="conducting", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.set()
        self._waiting.put(None)
        self._thread.join(timeout=30)
        if self._carrier is not None:
            self.present()
            self._carrier.close()
        self.attendance.close()
        self._courier.stop()
        self._numbers.close()
        self._guard.close()
        self._alone.__exit__(None, None, None)

    def submit(self, plan: Plan) -> str:
        """Start a run of this plan and return its name. Raises ``RunAborted`` while another goes
        on, ``BadInput`` for a plan that no real road can serve."""
        check_plan(plan)
        schema = schema_of(plan)
        if not schema.columns and schema.image is None:
            raise BadInput(
                f"the coordinator does not know the columns of task {plan.task}",
                "over a road they must be known to all beforehand",
                "Use a task with a schema of its own, or a plug-in task",
            )
        with self._submitting:
            for run in self._now.ahead:
                raise RunAborted(
                    f"the run {run} is going on", way_out="Wait for its end, or stop it"
                )
            name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{plan.task}-{secrets.token_hex(3)}"
            options = {"transport": self.road}
            with closing(Journal(self.office.home.database)) as journal:
                journal.open_run(name, plan.task, plan.to_json(), plan.sha256, options)
            self._now.ahead[name] = None
            self._waiting.put(name)
        return name

    def ask(
        self, plan: Plan, wanted: Question, epsilon: float = EPSILON, delta: float = DELTA
    ) -> dict[str, Any]:
        """A charged question to all hospitals that are there, between two runs. Each hospital's
        policy decides. Raises ``BadInput`` for an unsound question or while a run is going on,
        ``RunAborted`` where nobody answers."""
        check_price(epsilon, delta)
        task, schema = find_task(plan.task), schema_of(plan)
        topics = Topics(schema, positive(plan))
        asked = question(topics, wanted.kind, wanted.columns, wanted.bins, wanted.where)
        road, sha256 = self._make_road(plan), plan.sha256
        name = f"questions-{plan.task}-{sha256[:12]}"  # at a hospital a run has one plan for good
        with self._asking:  # also against a run that began while this waited: they share a road
            if self._now.run is not None:
                raise BadInput(
                    f"the run {self._now.run} is going on", way_out="Ask when it has ended"
                )
            answered = ask_all(Study(plan, schema), road, name, asked, topics, epsilon, delta)
        names, text = [*answered.noisy, *answered.bare], json.loads(asked.to_json())
        about = (plan.task, sha256, text, asked.sha256)
        note_question(self.office.home, *about, epsilon, delta, names, answered.refused)
        found = answered_document(
            plan.task, task.title, plan.sha256, asked, topics, answered, epsilon, delta
        )
        hospitals: list[dict[str, Any]] = [
            {"name": one, "status": "answered", "charged": epsilon} for one in answered.noisy
        ]
        hospitals += [{"name": one, "status": "answered", "charged": 0.0} for one in answered.bare]
        hospitals += [
            {"name": one, "status": "refused", "reason": why}
            for one, why in answered.refused.items()
        ]
        source = {"source": "the hospitals' own", "synthetic": False}
        return found | source | {"hospitals": sorted(hospitals, key=lambda one: str(one["name"]))}

    def command(self, run: str, command: Command) -> None:
        journal = Journal(self.office.home.database)
        try:
            journal.give_command(run, None if command == "resume" else command)
        finally:
            journal.close()

    def wait(self, run: str, timeout_s: float | None = None) -> dict[str, Any]:
        """The result of a run. Raises ``BadInput`` with the reason where it ended without one, or
        is not there in time."""
        with self._done:
            self._done.wait_for(
                lambda: run in self._now.results or run in self._now.errors, timeout_s
            )
        if run in self._now.results:
            return self._now.results[run]
        reason = self._now.errors.get(run, "it has not ended yet")
        raise BadInput(f"the run {run} has no result: {reason}")

    def present(self) -> frozenset[str]:
        """The hospitals that are connected now."""
        found = frozenset() if self._carrier is None else self._carrier.present()
        self.attendance.there(found)
        return found

    def expel(self, hospital: str) -> None:
        """Close the road for a hospital that was revoked."""
        self._courier.expel(hospital)

    def look_at_members(self) -> list[str]:
        """Note who is there, close the road for whoever was revoked by another process, and return
        their names."""
        self.present()
        revoked = {
            member.identity.name
            for member in self.office.registrar.membership.members
            if member.revoked
        }
        new = sorted(revoked - self._expelled)
        for name in new:
            self._courier.expel(name)
        self._expelled = revoked
        return new

    def _changed(self, before: Membership, after: Membership) -> None:
        """Who enrols again after a revocation gets a way in of its own; the old one is closed."""
        for member in before.members:
            name = member.identity.name
            now = after.standing(name)
            if member.revoked and now is not None and not now.revoked:
                self._courier.expel(name)

    def failure(self, run: str) -> str | None:
        """Why a run ended without a result, or nothing."""
        return self._now.errors.get(run)

    def unfinished(self) -> list[str]:
        """Runs of this road that were interrupted, the oldest first."""
        from aegis.store.audit_log import AuditLog

        journal = Journal(self.office.home.database)
        audit_log = AuditLog(self.office.home.audit_log)
        try:
            found = []
            for run in reversed(journal.runs()):
                stored = journal.run(run)
                match stored.state:
                    case Terminated():  # its result may not be written yet
                        over = closed(audit_log, run)
                    case Failed():
                        over = True
                    case _:
                        over = stored.command == "stop"
                if stored.options.get("transport") == self.road and not over:
                    found.append(run)
            return found
        finally:
            audit_log.close()
            journal.close()

    def state(self) -> dict[str, Any]:
        """Where the federation stands, as the consoles show it."""
        present = self.present()
        run = self._now.run or next(iter(self._now.ahead), None)
        found: dict[str, Any] = {
            "state": states.name(Idle()),
            "run": run,
            "round": 0,
            "rounds": None,
            "road": self.road,
            "hospitals": [
                {"name": name, "present": name in present, "seen": self.attendance.last(name)}
                for name in self.office.hospitals()
            ],
            "waiting_to_join": [one.__dict__ for one in self.desk.waiting()],
            "error": next(reversed(self._now.errors.values()), None),
        }
        if run is None:
            return found
        journal = Journal(self.office.home.database)
        try:
            stored = journal.run(run)
        finally:
            journal.close()
        plan = Plan.from_json(stored.plan_json)
        state = stored.state
        inner = getattr(state, "of", state)
        progress = getattr(inner, "progress", None)
        name = states.name(state)
        return found | {
            "state": "Registration" if isinstance(state, Idle) else name,
            "round": 0 if progress is None else progress.round,
            "rounds": plan.federated.num_rounds if progress is None else progress.rounds,
            "wanted": wanted(plan),
            "command": stored.command,
            "plan_sha256": plan.sha256,
        }

    def _make_road(self, plan: Plan) -> Road:
        assert self._carrier is not None
        newton = plan.training.solver == "newton"
        registrar = self.office.registrar
        return Road(
            self._party,
            self._carrier,
            self.office.hospitals,
            listed=lambda: (registrar.folder / "federation.json").read_text(encoding="utf-8"),
            replies=lambda request: replies_to(request, newton=newton),
            closing=self._closing,
        )

    def _conduct(self) -> None:
        conducting = Conducting(
            self.office, self.road, self._make_road, self._listeners, self._closing
        )
        while not self._closing.is_set():
            name = self._waiting.get()
            if name is None:
                return
            with self._asking:  # a question that is on its way is answered first
                self._now.run = name
            try:
                with closing(Journal(self.office.home.database)) as journal:
                    found = conducting.run(journal, name)
                self._end(name, found, None)
            except RoadClosed:
                return
            except AegisError as error:
                log.error("%s ended: %s", name, error)
                self._end(name, None, str(error))
            except Exception as error:  # the thread must live on, and the reason be known
                log.exception("%s ended unforeseen", name)
                self._end(name, None, f"an unforeseen {type(error).__name__}: {error}")

    def _end(self, name: str, found: dict[str, Any] | None, reason: str | None) -> None:
        with self._done:
            self._now.run = None
            self._now.ahead.pop(name, None)
            if found is not None:
                self._now.results[name] = found
            else:
                self._now.errors[name] = reason or ""
            self._done.notify_all()
