"""Everything that a data root holds of a run, gathered for the verification of its log."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from aegis.errors import AegisError, BadInput
from aegis.hospital.chain import recorded
from aegis.hospital.witness import SqliteSightings
from aegis.simulation.seals import keys_of_run
from aegis.store.audit_log import AuditLog
from aegis.store.checkpoint import OWN, origin
from aegis.store.evidence import Evidence, LedgerFile
from aegis.store.gathering import (
    collected,
    coordinators_evidence,
    database_parts,
    log_parts,
    over_a_road,
    text_of,
)
from aegis.store.home import Home
from aegis.store.journal import Journal
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
    """Everything a data root holds of one run. ``result`` replaces the stored one. What hospitals
    on a road keep is theirs and not here."""
    if over_a_road(home, run):
        return coordinators_evidence(home, run, result)
    unreadable: list[tuple[str, str]] = []
    parts: dict[str, Any] = {"entries": (), "checkpoints": ()}
    readers = ((log_parts, "log"), (database_parts, "database"), (_seen, "witnesses"))
    collected(readers, home, run, parts, unreadable)
    if run != OWN:
        if not parts["entries"] and not parts.get("database"):
            raise BadInput(f"no run is called {run}", way_out="See: aegis report --list")
        folder = home.results(run)
        stored = text_of(parts.pop("out", None) or folder / "result.json")
        parts["result"] = stored if result is None else result
        parts["ledgers"] = _ledgers(folder / "ledgers", unreadable)
        parts["open"] = keys_of_run(folder).exists()
    parts.pop("out", None)
    return Evidence(run=run, unreadable=tuple(unreadable), **parts)


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
