"""What is shown: the one place that turns a data root into documents.

Pages, the API and the metrics all show what ``Reading`` returns, so that no two of them can
disagree. A finished run's document is its ``result.json`` as it was written; a run that is going on
is made of its stored events, under the same names, with what is not known yet left null beside a
reason. Nothing is remembered between two questions but the documents of finished runs.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aegis import states
from aegis.errors import BadInput
from aegis.plan import Plan
from aegis.report.result import Record, history_of, span
from aegis.states import Failed, Idle, Terminated
from aegis.store.home import Home
from aegis.store.journal import Journal, StoredRun

KEPT, TOLD = 64, 4
NOT_YET = "the run has not ended"
NEVER = "the run ended before this was worked out"
ENDED = frozenset({"completed", "stopped", "aborted", "refused", "failed"})


class NotFound(BadInput):
    """What was asked for is not there, or not for whoever asks."""


@dataclass(frozen=True)
class Line:
    """One run in a list. ``metrics`` are those of its last scored round."""

    run: str
    task: str
    started: str
    status: str
    round: int
    rounds: int
    trust: str
    private: bool
    transport: str
    metrics: Mapping[str, float | None]
    plan_sha256: str

    @property
    def over(self) -> bool:
        return self.status in ENDED


@dataclass(frozen=True)
class Mark:
    """Two equal marks of a run mean two equal documents: its last event, what it was told, and
    when its result was written (ns since 1970; 0 before that)."""

    run: str
    event: int
    command: str | None
    result: int


class Reading:
    """Reads ``home``; safe to use from several threads, for each question opens what it needs."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._finished: OrderedDict[str, tuple[int, dict[str, Any]]] = OrderedDict()
        self._told: OrderedDict[str, list[Record]] = OrderedDict()
        self._telling = threading.Lock()

    @contextmanager
    def journal(self) -> Iterator[Journal]:
        journal = Journal.reading(self.home.database)
        try:
            yield journal
        finally:
            journal.close()

    def names(self) -> list[str]:
        """All runs, the latest first."""
        if not self.home.database.exists():
            return []
        with self.journal() as journal:
            return journal.runs()

    def lines(self, most: int = 50, skip: int = 0) -> list[Line]:
        """Runs as lines of a list, the latest first."""
        if not self.home.database.exists():
            return []
        with self.journal() as journal:
            names = journal.runs()[skip : skip + most]
            return [_line(journal, name) for name in names]

    def line_in(self, journal: Journal, run: str) -> Line:
        """The same from a journal that is open already, for whoever reads many."""
        return _line(journal, run)

    def line(self, run: str) -> Line:
        with self.journal() as journal:
            return _line(journal, self._known(journal, run))

    def latest(self) -> str | None:
        return next(iter(self.names()), None)

    def stored(self, run: str) -> StoredRun:
        with self.journal() as journal:
            return journal.run(self._known(journal, run))

    def plan(self, run: str) -> Plan:
        return Plan.from_json(self.stored(run).plan_json)

    def last_event(self, run: str) -> int:
        """The number of the run's last event; 0 before its first."""
        with self.journal() as journal:
            return journal.last_event(run)

    def mark(self, run: str) -> Mark:
        """Whether anything is new about a run, for less than it costs to read it."""
        with self.journal() as journal:
            event, command = journal.last_event(run), journal.command(run)
        try:
            result = self._where(run).stat().st_mtime_ns
        except OSError:
            result = 0
        return Mark(run, event, command, result)

    def updated(self, run: str) -> str | None:
        """The UTC time of the run's last event; None before its first."""
        with self.journal() as journal:
            last = journal.events(run, journal.last_event(run) - 1)
        return last[-1][1] if last else None

    def events(self, run: str, after: int = 0) -> list[tuple[int, str, dict[str, Any]]]:
        """(number, UTC time, event) in order, of those after ``after``."""
        with self.journal() as journal:
            return journal.events(self._known(journal, run), after)

    def document(self, run: str) -> dict[str, Any]:
        """A run's result, or as much of it as is known while it goes on. Raises ``NotFound``."""
        found = self._result(run)
        if found is not None:
            return found
        with self.journal() as journal:
            return _unfinished(journal, self._known(journal, run), self._records(journal, run))

    def _result(self, run: str) -> dict[str, Any] | None:
        if "/" in run or "\\" in run or run.startswith("."):
            raise NotFound(f"{run!r:.60} is no name of a run")
        path = self._where(run)
        try:
            changed = path.stat().st_mtime_ns
        except OSError:
            return None
        kept = self._finished.get(run)
        if kept is not None and kept[0] == changed:
            return kept[1]
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        self._finished[run] = (changed, found)
        while len(self._finished) > KEPT:
            self._finished.popitem(last=False)
        return found

    def folder(self, run: str) -> Path:
        """Where the run's files are. Raises ``NotFound`` for what is no name of a run."""
        if "/" in run or "\\" in run or run.startswith("."):
            raise NotFound(f"{run!r:.60} is no name of a run")
        return self._where(run).parent

    def _records(self, journal: Journal, run: str) -> list[Record]:
        """All events of a run. They are only ever added to, so each is read once."""
        with self._telling:
            found = self._told.setdefault(run, [])
            found += journal.events(run, found[-1][0] if found else 0)
            self._told.move_to_end(run)
            while len(self._told) > TOLD:
                self._told.popitem(last=False)
            return list(found)

    def _where(self, run: str) -> Path:
        path = self.home.results(run) / "result.json"
        if path.exists() or not self.home.database.exists():
            return path
        with self.journal() as journal:
            try:
                elsewhere = journal.run(run).options.get("out")
            except BadInput:
                return path
        return Path(elsewhere) / "result.json" if elsewhere else path

    def _known(self, journal: Journal, run: str) -> str:
        try:
            journal.run(run)
        except BadInput as error:
            raise NotFound(error.value, error.need, error.way_out) from error
        return run


def given_up(document: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """The document of a run that failed without a last word: nothing in it waits for the end."""
    found = {key: NEVER if value == NOT_YET else value for key, value in document.items()}
    privacy = document["privacy"]
    said = NEVER if privacy["reason"] == NOT_YET else privacy["reason"]
    return found | {"status": "failed", "reason": reason, "privacy": privacy | {"reason": said}}


def status_of(stored: StoredRun) -> str:
    """As the result says it; while a run goes on: waiting, running or paused."""
    state = stored.state
    match state:
        case Terminated():
            return state.status
        case Failed():
            return "failed"
        case Idle() if stored.command == "stop":
            return "stopped"
        case _ if stored.command == "pause":
            return "paused"
        case Idle() | states.Registration():
            return "waiting"
        case _:
            return "running"


def _line(journal: Journal, run: str) -> Line:
    stored = journal.run(run)
    plan = Plan.from_json(stored.plan_json)
    history = journal.history(run)
    return Line(
        run,
        stored.task,
        stored.started,
        status_of(stored),
        history[-1][0] if history else 0,
        _rounds(stored, plan),
        plan.effective_trust,
        plan.privacy.enabled,
        str(stored.options.get("transport") or "inprocess"),
        _last_scored(history),
        plan.sha256,
    )


def _last_scored(history: list[tuple[int, str]]) -> Mapping[str, float | None]:
    for _, text in reversed(history):
        found: Mapping[str, float | None] = json.loads(text)
        if any(value is not None for name, value in found.items() if name != "examples"):
            return found
    return {}


def _rounds(stored: StoredRun, plan: Plan) -> int:
    inner = getattr(stored.state, "of", stored.state)
    progress = getattr(inner, "progress", None)
    return int(getattr(progress, "rounds", None) or plan.federated.num_rounds or 0)


def _unfinished(journal: Journal, run: str, records: list[Record]) -> dict[str, Any]:
    stored = journal.run(run)
    plan = Plan.from_json(stored.plan_json)
    history = history_of(records)
    joined = [event for _, _, event in records if event["event"] == "HospitalJoined"]
    scored = next((one for one in reversed(history) if one["global"].get("accuracy")), None)
    status = status_of(stored)
    names = list(dict.fromkeys(event["hospital"] for event in joined))
    latest = {event["hospital"]: event for event in joined}
    over = status in ENDED and not isinstance(stored.state, Terminated)
    why = NEVER if over else NOT_YET
    absent: dict[str, Any] = {
        "pooled": None,
        "mean_local": None,
        "comparison": None,
        "comparison_reason": why,
        "membership_audit": None,
        "membership_audit_reason": why,
        "table_one": None,
        "table_one_reason": why,
        "fairness": None,
        "fairness_reason": why,
        "usefulness": None,
        "usefulness_reason": why,
        "odds_ratios": None,
        "odds_ratios_reason": why,
        "detection": None,
        "detection_reason": why,
        "audit_log": None,
        "audit_log_reason": why,
        "model_sha256": None,
        "files": {},
    }
    return {
        "run": run,
        "status": status,
        "reason": stored.state.reason if isinstance(stored.state, Failed) else None,
        "task": plan.task,
        "plan_sha256": plan.sha256,
        "seed": plan.seed,
        "transport": str(stored.options.get("transport") or "inprocess"),
        "trust": plan.effective_trust,
        "rule": plan.rule,
        "model": plan.model.name,
        "solver": plan.training.solver,
        "rounds": history[-1]["round"] if history else 0,
        "chosen_round": None,
        "seconds": span(records) or None,
        "global": {} if scored is None else {**scored["global"], "round": scored["round"]},
        "global_reason": None if scored else "no round has been scored yet",
        "mean_hospitals": {},
        "hospitals": [
            {
                "name": name,
                "examples": latest[name]["examples"],
                "test_examples": latest[name]["held_out"],
                "global": _of_hospital(history, name),
                "local": None,
                "epsilon": None,
                "epsilon_rdp": None,
                "rounds": sum(name not in one["absent"] for one in history),
                "status": "ok",
            }
            for name in names
        ],
        "history": history,
        "privacy": {
            "mechanism": plan.privacy.mechanism if plan.privacy.enabled else "none",
            "epsilon": None,
            "reason": why if plan.privacy.enabled else "no noise is added in this run",
            "delta": plan.privacy.delta if plan.privacy.enabled else None,
            "unit": None,
            "neighbouring": None,
            "accountant": None,
        },
        **absent,
    }


def _of_hospital(history: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    found = (one["hospitals"].get(name) for one in reversed(history))
    return next((one for one in found if one), None)
