"""What goes on: the run that people look at, where it stands, and the lines of its log.

The words are those of MedFedAgent's dashboard, so that its readers find them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aegis.console.coordinator.desk import Desk, Sight
from aegis.console.coordinator.records import happened
from aegis.console.coordinator.runs.next_plan import kept
from aegis.console.coordinator.runs.rehearsal import Rehearsals
from aegis.console.reading import Line, given_up
from aegis.states import Aggregating, Collecting, RoundSetup, Sealing

RESET = ".console-reset"

_WARNINGS = frozenset(
    {"ReplyQuarantined", "HospitalAbsent", "RoundRejected", "HospitalFlagged", "WitnessRefused"}
)

QUIET_S = 180.0  # a run of another process that said nothing for so long has ended


@dataclass
class Room:
    rehearsals: Rehearsals
    lock: threading.RLock = field(default_factory=threading.RLock)


_MAKING = threading.Lock()


def attend(desk: Desk) -> None:
    """From now on the desk's state tells of rehearsals."""
    room(desk)


def room(desk: Desk) -> Room:
    with _MAKING:
        found = desk.extra.get("steering")
        if found is None:
            office = desk.coordinator.office if desk.coordinator is not None else None
            passphrase = office.passphrase if office is not None else None
            found = desk.extra["steering"] = Room(Rehearsals(desk.home, passphrase))
            desk.extra["rehearsing"] = lambda: found.rehearsals.going
    assert isinstance(found, Room)
    return found


def going(desk: Desk) -> str | None:
    """The run that goes on here, if any."""
    attend(desk)
    run: str | None = desk.state()["run"]
    return run


def present_run(desk: Desk) -> str | None:
    """The run that goes on here, else the latest that no reset has cleared."""
    run = going(desk)
    if run is not None:
        return run
    latest = desk.reading.latest()
    if latest is None or desk.reading.line(latest).started <= cleared(desk)["runs"]:
        return None
    return latest


@dataclass(frozen=True)
class Standing:
    """Where a run stands. ``stopping``: it was told to stop and has not ended;
    ``finishing``: its rounds are over."""

    status: str
    message: str
    error: str | None = None
    stopping: bool = False
    finishing: bool = False


def standing(desk: Desk, line: Line) -> Standing:
    run, here = line.run, going(desk) == line.run
    error = room(desk).rehearsals.error(run)
    if desk.coordinator is not None:
        error = error or desk.coordinator.failure(run)
    stored = desk.reading.stored(run)
    if line.over:
        if line.status in ("completed", "stopped") and here:
            said = "The rounds are over; the result is being written"
            return Standing("running", said, finishing=True)
        if line.status in ("completed", "stopped") and error is None:
            return Standing(line.status, f"The run is {line.status} after round {line.round}")
        if line.status == "stopped" and line.round == 0:
            return Standing("stopped", "The run was stopped before its first round")
        reason = error or getattr(stored.state, "reason", None) or line.status
        return Standing("error", f"The run ended after round {line.round}", str(reason))
    if not here and (error is not None or lost(desk, line)):
        if error is not None:
            return Standing("error", f"The run was interrupted in round {line.round + 1}", error)
        return Standing("stopped", "The run was interrupted; it can be gone on with")
    if stored.command == "stop":
        said = f"Stopping; the model of round {line.round} is kept"
        return Standing("running", said, stopping=True, finishing=True)
    if line.status == "paused":
        return Standing("paused", f"Paused after round {line.round} of {line.rounds}")
    if line.status == "waiting":
        return Standing("initializing", waiting_for(desk, run))
    inner = stored.state.of if isinstance(stored.state, Sealing) else stored.state
    if line.round == 0 and not isinstance(inner, RoundSetup | Collecting | Aggregating):
        return Standing("initializing", "Hospitals are being asked for their statistics")
    return Standing("running", f"Round {line.round + 1} of {line.rounds}")


def document_of(desk: Desk, run: str) -> dict[str, Any]:
    """The run's document, which of a run whose process failed promises nothing more."""
    document, line = desk.reading.document(run), desk.reading.line(run)
    if line.over:
        return document
    error = standing(desk, line).error
    return document if error is None else given_up(document, error)


def waiting_for(desk: Desk, run: str) -> str:
    """What a run waits for that has not begun, in a sentence."""
    state = desk.state()
    if state["run"] != run or state["road"] == "inprocess":
        return "The simulated hospitals are being made ready"
    there = sum(one["present"] for one in state["hospitals"])
    wanted = int(state.get("wanted") or 0)
    more = max(0, wanted - there)
    if not more:
        return "The hospitals are asked to take part"
    word = "hospital" if more == 1 else "hospitals"
    return f"Waiting for {more} more {word}: {there} of {wanted} connected"


def training_status(desk: Desk) -> dict[str, Any]:
    """Where training stands, under MedFedAgent's names: is_running, status (idle,
    initializing, running, paused, completed, error, stopped), message, start_time, current_round,
    total_rounds, error, live_metrics (auc, accuracy, loss, epsilon); and ``run``."""
    run = present_run(desk)
    found: dict[str, Any] = {
        "is_running": False,
        "status": "idle",
        "message": "Nothing is going on",
        "start_time": None,
        "current_round": 0,
        "total_rounds": kept(desk.home).plan.federated.num_rounds or 0,
        "error": None,
        "live_metrics": dict.fromkeys(("auc", "accuracy", "loss", "epsilon")),
        "run": run,
    }
    if run is None:
        return found
    line = desk.reading.line(run)
    stands = standing(desk, line)
    return found | {
        "is_running": stands.status in ("initializing", "running", "paused"),
        "status": stands.status,
        "message": stands.message,
        "start_time": line.started,
        "current_round": line.round,
        "total_rounds": line.rounds,
        "error": stands.error,
        "live_metrics": {
            "auc": line.metrics.get("auc"),
            "accuracy": line.metrics.get("accuracy"),
            "loss": line.metrics.get("log_loss"),
            "epsilon": _epsilon(desk, run),
        },
    }


def log_lines(desk: Desk, most: int = 50, sight: Sight | None = None) -> list[dict[str, str]]:
    """What happened lately in the present run, oldest first: time, message, level (info, warning,
    error). What is about one hospital is left out for who may not see that hospital."""
    run = present_run(desk)
    if run is None:
        return []
    since, seen = cleared(desk)["log"], sight or Sight()
    with desk.reading.journal() as journal:
        events = journal.events(run, max(0, journal.last_event(run) - 4 * most))
    lines = []
    for _, time, event in events:
        about = happened.about(event)
        if time > since and (about is None or seen.sees(about)):
            said = "".join(one if one.isprintable() else " " for one in happened.sentence(event))
            lines.append({"time": time, "message": said, "level": _level(event)})
    error = room(desk).rehearsals.error(run)
    if error is not None:
        now = lines[-1]["time"] if lines else desk.reading.line(run).started
        lines.append({"time": now, "message": f"The rehearsal ended: {error}", "level": "error"})
    return lines[-most:]


def _level(event: Mapping[str, Any]) -> str:
    kind = event.get("event")
    if kind == "RunEnded":
        return "info" if event.get("status") in ("completed", "stopped") else "error"
    again = kind == "RoundOpened" and event.get("attempt") != 1
    return "warning" if again or kind in _WARNINGS else "info"


def lost(desk: Desk, line: Line) -> bool:
    """Whether a run that is not over has no process any more, as far as can be seen here."""
    if going(desk) == line.run:
        return False
    if room(desk).rehearsals.last == line.run:
        return True
    with desk.reading.journal() as journal:
        saved = journal.row(line.run).get("saved") or line.started
    return datetime.now(UTC) - datetime.fromisoformat(str(saved)) > timedelta(seconds=QUIET_S)


def _epsilon(desk: Desk, run: str) -> float | None:
    """The largest that any hospital's ledger says of this run; None before it does."""
    document = desk.reading.document(run)
    found: float | None = document["privacy"].get("epsilon")
    return found


def cleared(desk: Desk) -> dict[str, str]:
    path = desk.home.root / RESET
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return {"log": str(said["log"]), "runs": str(said["runs"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"log": "", "runs": ""}
