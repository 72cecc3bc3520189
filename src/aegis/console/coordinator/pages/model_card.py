"""One version as a page shows it: what it is, how good, whence, and whether it may be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aegis.console.coordinator.desk import Desk
from aegis.console.coordinator.records import log_checks, log_standing, logbook
from aegis.console.window.formats import utc
from aegis.errors import AegisError
from aegis.report.tables import Table
from aegis.report.wording import counted, interval_of, mapping, number, percent, score
from aegis.store.promotion import Act, Gate, Promotions, gates
from aegis.store.registry import Registry, Version
from aegis.store.verification import verify

QUICK = 2000  # entries of a log that are verified while somebody waits for a page
PAGE = 50
KINDS = {"proposed": "Proposed", "promoted": "Promoted", "rolled_back": "Rolled back to"}
CHECKS = {
    "files": "Are the files those that were stored?",
    "audit log": "Does the log of its run hold?",
    "membership audit": "Did attacks on the model fail?",
    "fairness": "Is no limit of the plan on fairness exceeded?",
}


@dataclass(frozen=True)
class Line:
    """One version in the list."""

    name: str
    sha256: str
    task: str
    run: str
    created: str
    accuracy: str
    auc: str
    privacy: str
    kind: str
    word: str
    attacked: str
    attacked_kind: str
    fair: str
    fair_kind: str


def lines(versions: Sequence[Version], promotions: Promotions) -> list[Line]:
    """The newest first."""
    acts = promotions.acts()
    used: dict[str, int] = {}
    proposed: dict[str, set[int]] = {}
    for act in acts:
        if act.kind == "proposed":
            proposed.setdefault(act.task, set()).add(act.version)
        else:
            used[act.task] = act.version
            proposed[act.task] = set()
    return [
        _line(one, used.get(one.task) == one.number, one.number in proposed.get(one.task, ()))
        for one in reversed(versions)
    ]


def _line(version: Version, used: bool, waits: bool) -> Line:
    card = version.card
    metrics = mapping(card.get("metrics"))
    attacked, fairness = mapping(card.get("membership_audit")), mapping(card.get("fairness"))
    kind, word = ("off", "Not in use")
    if waits:
        kind, word = "info", "Proposed"
    if used:
        kind, word = "ok", "In use"
    return Line(
        version.name,
        version.sha256,
        version.task,
        version.run,
        utc(version.created),
        _with_interval(metrics, "accuracy"),
        _with_interval(metrics, "auc"),
        str(mapping(card.get("privacy")).get("summary") or "not recorded").split(":")[0],
        kind,
        word,
        str(attacked.get("verdict") or "not made"),
        "ok" if attacked.get("passed") else "bad" if attacked.get("verdict") else "off",
        *_fair(fairness.get("fair")),
    )


def _fair(found: Any) -> tuple[str, str]:
    """The word and its kind."""
    if not isinstance(found, bool):
        return "not compared", "off"
    return ("holds", "ok") if found else ("exceeded", "bad")


def _with_interval(metrics: Mapping[str, Any], key: str) -> str:
    value, pair = number(metrics.get(key)), interval_of(metrics, key)
    if value is None:
        return "not measured"
    say = score if key == "auc" else percent
    return f"{say(value)} ({say(pair[0])} to {say(pair[1])})" if pair else say(value)


def fits(line: Line, task: str, state: str, text: str) -> bool:
    """Whether a line goes through the list's filters."""
    if task and line.task != task:
        return False
    if state and line.word != {"in_use": "In use", "proposed": "Proposed"}.get(state):
        return False
    return not text or any(
        text.lower() in said.lower() for said in (line.name, line.run, line.sha256, line.task)
    )


def checked(desk: Desk, registry: Registry, version: Version) -> tuple[list[Gate], bool]:
    """The gates as they stand, and whether the whole log was verified for it: a long one is only
    on demand."""
    known = log_checks.checked(desk, logbook.log_name(version.run))
    whole = True
    try:
        standing = log_standing.standing(desk, version.run)
        faults = [standing.bad] if standing.bad else []
        if known is not None and known.size == standing.size:
            faults = faults or [str(one) for one in known.found.faults]
        elif standing.size <= QUICK:
            found = verify(log_checks.evidence_of(desk, version.run))
            faults = faults or [str(one) for one in found.faults]
            if not faults and not found.complete:
                faults = ["the run's log is not complete"]
        else:
            whole = False
    except AegisError as error:
        faults = [str(error)]
    return gates(registry, version, faults), whole


def facts(version: Version, registry: Registry) -> list[tuple[str, str]]:
    card = version.card
    training, hospitals = mapping(card.get("training")), mapping(card.get("hospitals"))
    model = version.model
    widths = (model.inputs, *model.hidden, model.outputs)
    data = mapping(card.get("data"))
    return [
        ("Task", f"{version.task}, to find: {card.get('positive') or 'not recorded'}"),
        ("Hash", version.sha256),
        ("Stored", utc(version.created)),
        ("Run", version.run),
        ("Plan", str(card.get("plan_sha256"))),
        (
            "Network",
            f"{' to '.join(f'{width:,}' for width in widths)}, {counted(model.size, 'parameter')}",
        ),
        (
            "Trained",
            f"{counted(int(training.get('rounds') or 0), 'round')} by {training.get('solver')}, "
            f"combined by {training.get('rule')}, {training.get('trust')} mode, "
            f"seed {training.get('seed')}",
        ),
        (
            "Patients",
            f"{counted(int(hospitals.get('number') or 0), 'hospital')}, "
            f"{int(hospitals.get('examples') or 0):,} for training, "
            f"{int(hospitals.get('test_examples') or 0):,} for testing",
        ),
        (
            "Data",
            ("SYNTHETIC: these patients do not exist. " if data.get("synthetic") else "")
            + str(data.get("source") or "source not recorded"),
        ),
        ("Inputs", _inputs(version)),
        ("Made with", f"Aegis {card.get('aegis') or 'version not recorded'}"),
    ]


def _inputs(version: Version) -> str:
    try:
        names = version.preparation.names
    except AegisError as error:
        return f"cannot be read: {error}"
    more = "" if len(names) <= 30 else f" and {len(names) - 30} more"
    return ", ".join(names[:30]) + more


@dataclass(frozen=True)
class Lineage:
    """``rounds`` are (round, model's hash, number of the entry that says so)."""

    parent: Version | None
    parent_sha256: str
    children: tuple[Version, ...]
    twins: tuple[Version, ...]
    started: str
    rounds: tuple[tuple[int, str, int], ...]
    chosen: int | None
    covered: str


def lineage(desk: Desk, versions: Sequence[Version], version: Version) -> Lineage:
    card = version.card
    parent = str(card.get("parent") or "")
    started, rounds, chosen = "", list[tuple[int, str, int]](), None
    with desk.reading.journal() as journal:
        events = journal.events(version.run) if version.run in journal.runs() else []
    for entry, _, event in events:
        if event["event"] == "RoundOpened" and not started:
            started = str(event["model_sha256"])
        elif event["event"] == "RoundClosed":
            rounds.append((event["round"], str(event["model_sha256"]), entry))
        elif event["event"] == "RunEnded":
            chosen = event["round"]
    note = str(card.get("checkpoint") or "").split("\n")
    return Lineage(
        next((one for one in versions if parent and one.sha256 == parent), None),
        parent,
        tuple(one for one in versions if one.card.get("parent") == version.sha256),
        tuple(o for o in versions if o.sha256 == version.sha256 and o.number != version.number),
        started,
        tuple(rounds),
        chosen,
        f"{note[1]} entries of {note[0]}" if len(note) > 2 else "",
    )


def history(acts: Sequence[Act]) -> Table | None:
    """The acts about a task's versions, the newest first."""
    if not acts:
        return None
    return Table(
        "Who put which version into use",
        (("When", False), ("What", False), ("Version", False), ("By", False), ("Reason", False)),
        tuple(
            (
                utc(act.time),
                KINDS[act.kind],
                f"v{act.version}",
                act.who + ("" if not act.key or act.signed else ", signature NOT valid"),
                act.reason or "none given",
            )
            for act in reversed(acts)
        ),
        "A name with a fingerprint signed with a key of its own; a name alone did not.",
    )
