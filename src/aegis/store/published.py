"""Whether what stands beside the log agrees with it: ledgers, published result, database."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from aegis.privacy.accounting import Event, epsilon_pld, epsilon_rdp, event_from_json
from aegis.store.audit_log import entry_bytes
from aegis.store.evidence import Evidence, Fault, LedgerFile
from aegis.store.merkle import Tree
from aegis.store.signed import Fields

Recount: TypeAlias = Callable[[Sequence[Event], float], tuple[float, float]]
"""(events, delta) -> epsilon by the privacy-loss distribution and by Renyi divergence."""

CLOSE = 1e-9


def both_epsilons(events: Sequence[Event], delta: float) -> tuple[float, float]:
    return epsilon_pld(events, delta), epsilon_rdp(events, delta)


def renyi_only(events: Sequence[Event], delta: float) -> tuple[float, float]:
    """Without the import of 1.5 s; the other figure counts as unknown."""
    return math.nan, epsilon_rdp(events, delta)


def ledger_faults(
    evidence: Evidence,
    log: Sequence[Fields],
    result: Mapping[str, Any] | None,
    recount: Recount | None,
    complete: bool,
) -> Iterator[Fault]:
    """Each ledger is one chain that goes on from what the log saw of it, and the epsilons follow
    from its events."""
    if evidence.ledgers is None:
        return
    told = {fields["hospital"]: fields for fields in log if fields["event"] == "BudgetSpent"}
    published = {h.get("name"): h for h in (result or {}).get("hospitals", [])}
    for name in sorted(told.keys() - evidence.ledgers.keys()):
        yield Fault(f"ledger of {name}", "it is not there")
    known: dict[tuple[str, ...], tuple[float, float]] = {}
    for name, ledger in evidence.ledgers.items():
        charged = [r.detail for r in ledger.rows if r.kind == "reserved" and r.run == evidence.run]
        spent = told.get(name)
        fault = _broken(name, ledger)
        if fault is None and complete:
            fault = _departed(name, ledger, spent, charged)
        if fault is not None:
            yield fault
        elif spent is not None:
            key = tuple(sorted(charged))
            if key not in known:
                events = [event_from_json(text) for text in charged]
                known[key] = (recount or both_epsilons)(events, spent["delta"])
            yield from _miscounted(name, spent, published.get(name), known[key])
    privacy = (result or {}).get("privacy") or {}
    if known and result is not None and privacy.get("mechanism") != "none":
        most = max(pld for pld, _ in known.values())
        if not _close(privacy.get("epsilon"), most):
            said = privacy.get("epsilon")
            yield Fault("result", f"epsilon is {said}, the ledgers come to {most}")


def _departed(
    name: str, ledger: LedgerFile, spent: Fields | None, charged: Sequence[str]
) -> Fault | None:
    """Whether a sound chain is still the one that the log saw."""
    where = f"ledger of {name}"
    if spent is None:
        return Fault(where, "the log does not say what was spent") if charged else None
    rows, head = spent["ledger_rows"], spent["ledger_sha256"]
    if len(ledger.rows) < rows or ledger.rows[rows - 1].sha256 != head:
        row = min(rows, len(ledger.rows) + 1)
        return Fault(f"{where}, row {row}", f"it had {rows} rows up to {head[:12]}")
    if len(charged) != spent["releases"]:
        return Fault(
            where, f"{len(charged)} releases of this run, the log says {spent['releases']}"
        )
    return None


def _miscounted(
    name: str, spent: Fields, published: Fields | None, found: tuple[float, float]
) -> Iterator[Fault]:
    for field, value in zip(("epsilon", "epsilon_rdp"), found, strict=True):
        said = {f"entry {spent['number']}": spent[field]}
        if published is not None:
            said["result"] = published.get(field)
        for where, number in said.items():
            if not _close(number, value):
                what = f"{field} of {name} is {number}, its ledger comes to {value}"
                yield Fault(where, what)


def result_faults(
    evidence: Evidence,
    log: Sequence[Fields],
    result: Mapping[str, Any] | None,
    tree: Tree,
    checkpoints: int,
    witnesses: int,
) -> Iterator[Fault]:
    """The figures that were published are those of the log."""
    if result is None:
        return
    last: dict[str, Fields] = {fields["event"]: fields for fields in log}
    wanted: dict[str, Any] = {"run": evidence.run}
    if "RunStarted" in last:
        wanted |= {name: last["RunStarted"][name] for name in ("plan_sha256", "task", "seed")}
    if "RunEnded" in last and last["RunEnded"]["status"] != "aborted":
        names = ("status", "reason", "rounds", "model_sha256")
        wanted |= {name: last["RunEnded"][name] for name in names}
    for name, value in wanted.items():
        if result.get(name) != value:
            yield Fault("result", f"{name} is {result.get(name)}, in the log {value}")
    closed = [fields for fields in log if fields["event"] == "RoundClosed"]
    history = result.get("history") or []
    for fields, shown in zip(closed, history, strict=False):
        wrong = [n for n in ("round", "part", "learning_rate") if shown.get(n) != fields[n]]
        if wrong or shown.get("global") != fields["metrics"]:
            what = f"round {fields['round']} differs from entry {fields['number']}"
            yield Fault("result", what)
    if len(closed) != len(history):
        yield Fault("result", f"it has {len(history)} rounds, the log {len(closed)}")
    said = result.get("audit_log")
    if isinstance(said, Mapping):
        found = {"size": len(tree), "root": tree.root().hex()}
        found |= {"checkpoints": checkpoints, "witnesses": witnesses}
        for name, value in found.items():
            if said.get(name) != value:
                what = f"it says of the log: {name} {said.get(name)}; there it is {value}"
                yield Fault("result", what)


def database_faults(evidence: Evidence, log: Sequence[Fields], finished: bool) -> Iterator[Fault]:
    """Row for row what the log holds. Of a run that has not ended, the database may hold the last
    events before the log does."""
    database = evidence.database
    if database is None:
        return
    for record, entry in zip(database.records, evidence.entries, strict=False):
        if entry_bytes(*record) != entry.data:
            yield Fault(f"database, event {entry.number}", "it is not what the log holds")
            return
    rows, held = len(database.records), len(evidence.entries)
    if rows < held or (rows > held and finished):
        missing = "the database lacks it" if rows < held else "the log lacks it"
        yield Fault(f"entry {min(rows, held) + 1}", missing)
    started = [fields for fields in log if fields["event"] == "RunStarted"]
    if started:
        first = started[0]
        told = (first["task"], first["plan_sha256"], first["plan_sha256"])
        if (database.task, database.plan_sha256, _sha256(database.plan)) != told:
            yield Fault("database, run", f"its plan is not the one of entry {first['number']}")
    metrics = {f["round"]: f["metrics"] for f in log if f["event"] == "RoundClosed"}
    if _parsed(database.history) != metrics and rows == held:
        yield Fault("database, training history", "it is not what the log holds")
    stored = [fields for fields in log if fields["event"] == "ModelStored"]
    if stored:
        last = stored[-1]
        models = [(sha256, _sha256(card)) for sha256, card in database.models]
        if (last["model_sha256"], last["card_sha256"]) not in models:
            yield Fault("database, model", f"it is not the one of entry {last['number']}")


def _broken(name: str, ledger: LedgerFile) -> Fault | None:
    previous, reserved, stored = "", set(), set()
    for number, row in enumerate(ledger.rows, 1):
        where, key = f"ledger of {name}, row {number}", (row.run, row.round, row.purpose)
        sound = row.number == number and row.sha256 == row.chained(previous)
        if not sound or (row.kind == "opened") != (number == 1):
            return Fault(where, "it does not follow from the rows before it")
        if row.kind == "stored":
            if key not in reserved:
                return Fault(where, "it answers what was never charged")
            if ledger.payloads.get(key, row.detail) != row.detail:
                return Fault(where, "the bytes of its answer were changed")
            stored.add(key)
        reserved.add(key)
        previous = row.sha256
    if not ledger.rows:
        return Fault(f"ledger of {name}, row 1", "it has lost its rows")
    if ledger.payloads.keys() - stored:
        return Fault(f"ledger of {name}", "it keeps an answer that it never stored")
    return None


def _parsed(history: Sequence[tuple[int, str]]) -> dict[int, Any]:
    try:
        return {round: json.loads(metrics) for round, metrics in history}
    except ValueError:
        return {}


def _close(said: object, found: float) -> bool:
    if math.isnan(found):
        return True
    return isinstance(said, int | float) and abs(said - found) <= CLOSE * max(1.0, abs(found))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
