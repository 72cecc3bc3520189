"""What a coordinator's data root holds of one run, for the verification of its log.

What hospitals keep (ledgers, what their witnesses saw) is not here: a coordinator has none of it,
and a simulation, which has all of it, adds it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from aegis.errors import AegisError
from aegis.store.audit_log import AuditLog
from aegis.store.checkpoint import OWN, Checkpoint
from aegis.store.evidence import Database, Evidence, Seal
from aegis.store.home import Home
from aegis.store.journal import Journal
from aegis.store.note import Note
from aegis.store.registry import Registry


def coordinators_evidence(
    home: Home, run: str, result: str | None = None, *, open: bool = False
) -> Evidence:
    """``result`` replaces the stored one; ``open`` says that the log may still grow."""
    unreadable: list[tuple[str, str]] = []
    parts: dict[str, Any] = {"entries": (), "checkpoints": ()}
    read = ((log_parts, "log"), (database_parts, "database"))
    collected(read, home, run, parts, unreadable)
    if run != OWN:
        stored = text_of(parts.pop("out", None) or home.results(run) / "result.json")
        parts["result"] = stored if result is None else result
    parts.pop("out", None)
    return Evidence(run=run, unreadable=tuple(unreadable), open=open, **parts)


def over_a_road(home: Home, run: str) -> bool:
    """Whether this run's hospitals were processes of their own."""
    if run == OWN or not home.database.exists():
        return False
    try:
        journal = Journal(home.database)
        try:
            row = journal.row(run)
            return bool(row) and "transport" in json.loads(row["options"])
        finally:
            journal.close()
    except (AegisError, ValueError, TypeError):
        return False  # a damaged row or file: the verifier will say so


def collected(
    readers: Sequence[tuple[Callable[[Home, str], dict[str, Any]], str]],
    home: Home,
    run: str,
    parts: dict[str, Any],
    unreadable: list[tuple[str, str]],
) -> None:
    """Add to ``parts`` what each reader finds, and to ``unreadable`` what cannot be read."""
    for reader, what in readers:
        try:
            parts |= reader(home, run)
        except (AegisError, sqlite3.Error, ValueError, TypeError, KeyError) as error:
            unreadable.append((what, f"it cannot be read ({error})"))


def log_parts(home: Home, run: str) -> dict[str, Any]:
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


def database_parts(home: Home, run: str) -> dict[str, Any]:
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
        database = Database(
            records,
            row["task"],
            row["plan"],
            row["plan_sha256"],
            journal.digest(run),
            journal.history(run),
            [(version.sha256, version.text) for version in own],
        )
        options = json.loads(row["options"])
    finally:
        journal.close()
    found: dict[str, Any] = {"database": database, "plan": row["plan"]}
    if digests:
        path = registry.path(sorted(digests)[0])
        found["model"] = path.read_bytes() if path.exists() else b""
        card = registry.card_path(own[-1]) if own else path.with_suffix(".json")
        found["card"] = text_of(card) or ""
    if options.get("out"):
        found["out"] = Path(options["out"]) / "result.json"
    return found


def text_of(path: Path) -> str | None:
    """A file's text; what is no text becomes something that cannot have its hash."""
    return path.read_bytes().decode("utf-8", "replace") if path.exists() else None


def _seal(log: AuditLog, run: str) -> Seal | None:
    """The run's last entry in the coordinator's own log, with the first checkpoint over it."""
    own = [(entry, json.loads(entry.data)) for entry in log.entries(OWN)]
    sealed = [e for e, fields in own if (fields["event"], fields["run"]) == ("RunSealed", run)]
    entries = (json.loads(entry.data) for entry in log.entries(run))
    roster = next((fields for fields in entries if fields["event"] == "RosterFixed"), None)
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
