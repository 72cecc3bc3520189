"""Everything that a data root holds of a run, gathered for the verification of its log."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

from aegis.errors import AegisError, BadInput
from aegis.hospital.chain import recorded
from aegis.hospital.witness import SqliteSightings
from aegis.simulation.seals import keys_of_run
from aegis.store.audit_log import AuditLog
from aegis.store.checkpoint import OWN, Checkpoint, origin
from aegis.store.evidence import Database, Evidence, LedgerFile, Seal
from aegis.store.home import Home
from aegis.store.journal import Journal
from aegis.store.note import Note
from aegis.store.registry import Registry
from aegis.store.verification import Verified, verify


def verify_home(
    home: Home, run: str | None = None, known: dict[str, str] | None = None
) -> list[Verified]:
    """One run, or every log of a data root with the coordinator's own first. Raises ``BadInput``
    where there is no such log."""
    names = logged(home)
    if not names:
        raise BadInput(f"{home.root} holds no audit log", way_out="Start with: aegis demo")
    if run is not None and run not in names:
        raise BadInput(f"the run {run} has no audit log", "an older version made it, without one")
    return [verify(gathered(home, name), known) for name in (names if run is None else [run])]


def logged(home: Home) -> list[str]:
    """Every log of a data root by its run, the coordinator's own ('') first. A run whose journal
    says that it has a log is among them, whether the log is there or not."""
    names: set[str] = set()
    with contextlib.suppress(AegisError):
        log = AuditLog.reading(home.audit_log)
        try:
            names |= set(log.runs())
        finally:
            log.close()
    if home.database.exists():
        journal = Journal(home.database)
        try:
            for run in journal.runs():
                first = journal.events(run)[:20]
                if any(event["event"] == "RosterFixed" for _, _, event in first):
                    names.add(run)
        finally:
            journal.close()
    return sorted(names)


def gathered(home: Home, run: str, result: str | None = None) -> Evidence:
    """Everything a data root holds of one run. ``result`` replaces the stored one."""
    unreadable: list[tuple[str, str]] = []
    parts: dict[str, Any] = {"entries": (), "checkpoints": ()}
    for what, gather in (("log", _log), ("database", _database), ("witnesses", _seen)):
        try:
            parts |= gather(home, run)
        except (AegisError, sqlite3.Error, ValueError, TypeError, KeyError) as error:
            unreadable.append((what, f"it cannot be read ({error})"))
    if run != OWN:
        if not parts["entries"] and not parts.get("database"):
            raise BadInput(f"no run is called {run}", way_out="See: aegis report --list")
        folder = home.results(run)
        stored = _text(parts.pop("out", None) or folder / "result.json")
        parts["result"] = stored if result is None else result
        parts["ledgers"] = _ledgers(folder / "ledgers", unreadable)
        parts["open"] = keys_of_run(folder).exists()
    parts.pop("out", None)
    return Evidence(run=run, unreadable=tuple(unreadable), **parts)


def _log(home: Home, run: str) -> dict[str, Any]:
    log = AuditLog.reading(home.audit_log)
    try:
        found: dict[str, Any] = {
            "entries": log.entries(run),
            "checkpoints": log.checkpoints(run),
        }
        if run != OWN:
            found["seal"] = _seal(log, run)
        return found
    finally:
        log.close()


def _seal(log: AuditLog, run: str) -> Seal | None:
    """The run's last entry in the coordinator's own log, with the first checkpoint over it."""
    own = [(entry, json.loads(entry.data)) for entry in log.entries(OWN)]
    sealed = [e for e, fields in own if (fields["event"], fields["run"]) == ("RunSealed", run)]
    roster = next((f for f in _fields(log, run) if f["event"] == "RosterFixed"), None)
    if not sealed or roster is None:
        return None
    number = sealed[-1].number
    for note in log.checkpoints(OWN):
        size = Checkpoint.parse(Note.parse(note).text).size
        if size >= number:
            key, handovers = roster["coordinator"], list[tuple[str, str]]()
            for _, fields in own[:size]:
                if fields["event"] == "KeyChanged" and fields["before"] == key:
                    key = fields["after"]
                    handovers.append((key, fields["signature"]))
            proof = log.inclusion(OWN, number, size)
            return Seal(number, sealed[-1].data, proof, note, tuple(handovers))
    return None


def _fields(log: AuditLog, run: str) -> list[dict[str, Any]]:
    return [json.loads(entry.data) for entry in log.entries(run)]


def _database(home: Home, run: str) -> dict[str, Any]:
    if run == OWN or not home.database.exists():
        return {}
    journal = Journal(home.database)
    try:
        if run not in journal.runs():
            return {}
        row, records = journal.row(run), journal.events(run)
        digests = {e["model_sha256"] for _, _, e in records if e["event"] == "ModelStored"}
        registry = Registry(home, journal)
        versions = [version for version in registry.versions() if version.sha256 in digests]
        own = [version for version in versions if version.run == run] or versions
        models = [(version.sha256, version.text) for version in own]
        database = Database(
            records,
            row["task"],
            row["plan"],
            row["plan_sha256"],
            journal.digest(run),
            journal.history(run),
            models,
        )
        options = json.loads(row["options"])
    finally:
        journal.close()
    found: dict[str, Any] = {"database": database, "plan": row["plan"]}
    if digests:
        path = registry.path(sorted(digests)[0])
        found["model"] = path.read_bytes() if path.exists() else b""
        card = registry.card_path(own[-1]) if own else path.with_suffix(".json")
        found["card"] = _text(card) or ""
    if options.get("out"):
        found["out"] = Path(options["out"]) / "result.json"
    return found


def _seen(home: Home, run: str) -> dict[str, Any]:
    if not home.witnesses.exists():
        return {}
    sightings = SqliteSightings(home.witnesses)
    try:
        seen = sightings.all(origin(run))
        return {"seen": {name: (one.size, one.root) for name, one in seen.items()}}
    finally:
        sightings.close()


def _ledgers(folder: Path, unreadable: list[tuple[str, str]]) -> dict[str, LedgerFile]:
    found = {}
    for path in sorted(folder.glob("*.db")):
        try:
            rows, payloads = recorded(path)
            found[path.stem] = LedgerFile(rows, payloads)
        except AegisError as error:
            unreadable.append((f"ledger of {path.stem}", str(error)))
    return found


def _text(path: Path) -> str | None:
    """A file's text; what is no text becomes something that cannot have its hash."""
    return path.read_bytes().decode("utf-8", "replace") if path.exists() else None
