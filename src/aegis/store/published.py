"""Whether what stands beside the log agrees with it: ledgers, published result, database."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from aegis.errors import AegisError
from aegis.privacy.accounting import Event, epsilon_pld, epsilon_rdp, event_from_json
from aegis.store.audit_log import entry_bytes
from aegis.store.evidence import Evidence, Fault, LedgerFile
from aegis.store.merkle import Tree

Fields: TypeAlias = Mapping[str, Any]
Recount: TypeAlias = Callable[[Sequence[Event], float], tuple[float, float]]
"""(events, delta) -> epsilon by the privacy-loss distribution and by Renyi divergence."""

CLOSE = 1e-9


def both_epsilons(events: Sequence[Event], delta: float) -> tuple[float, float]:
    return epsilon_pld(events, delta), epsilon_rdp(events, delta)


def renyi_only(events: Sequence[Event], delta: float) -> tuple[float, float]:
    """Without the import of 1.5 s; the other figure counts as unknown."""
    return math.nan, epsilon_rdp(events, delta)


@dataclass(frozen=True)
class Published:
    """``log`` holds the entries that can be read, ``result`` the published document."""

    evidence: Evidence
    log: Sequence[Fields]
    result: Mapping[str, Any] | None

    def ledger_faults(self, recount: Recount | None) -> Iterator[Fault]:
        """Each ledger is one chain that goes on from what the log saw of it, and the epsilons follow
        from its events."""
        evidence, log = self.evidence, self.log
        if evidence.ledgers is None:
            return
        told = {f["hospital"]: f for f in log if f["event"] == "BudgetSpent"}
        published = {h.get("name"): h for h in (self.result or {}).get("hospitals", [])}
        for name in told.keys() - evidence.ledgers.keys():
            yield Fault(f"ledger of {name}", "it is not there")
        known: dict[tuple[str, ...], tuple[float, float]] = {}
        for name, ledger in evidence.ledgers.items():
            broken = _broken(name, ledger)
            if broken is not None:
                yield broken
                continue
            spent = told.get(name)
            if spent is None:
                if any(row.run == evidence.run for row in ledger.rows):
                    yield Fault(f"ledger of {name}", "the log does not say what was spent")
                continue
            rows, head = spent["ledger_rows"], spent["ledger_sha256"]
            if len(ledger.rows) < rows or ledger.rows[rows - 1].sha256 != head:
                yield Fault(f"ledger of {name}, row {min(rows, len(ledger.rows) + 1)}",
                            f"it ended with row {rows}, {head[:12]}, when the run did")  # fmt: skip
                continue
            charged = [
                r.detail for r in ledger.rows if r.kind == "reserved" and r.run == evidence.run
            ]
            key = tuple(sorted(charged))
            if key not in known:
                try:
                    events = [event_from_json(text) for text in charged]
                    known[key] = (recount or both_epsilons)(events, spent["delta"])
                except AegisError as error:
                    yield Fault(f"ledger of {name}", str(error))
                    continue
            if len(charged) != spent["releases"]:
                yield Fault(
                    f"ledger of {name}", f"{len(charged)} releases, {spent['releases']} logged"
                )
            for field, found in zip(("epsilon", "epsilon_rdp"), known[key], strict=True):
                said = {f"entry {spent['number']}": spent[field]}
                if name in published:
                    said["result"] = published[name].get(field)
                for where, value in said.items():
                    if not _close(value, found):
                        yield Fault(
                            where, f"{field} of {name} is {value}; its ledger comes to {found}"
                        )
        privacy = (self.result or {}).get("privacy") or {}
        if known and privacy.get("mechanism") != "none":
            most = max(found[0] for found in known.values())
            if not _close(privacy.get("epsilon"), most):
                yield Fault(
                    "result", f"epsilon is {privacy.get('epsilon')}, the ledgers come to {most}"
                )

    def result_faults(self, tree: Tree, checkpoints: int, witnesses: int) -> Iterator[Fault]:
        """The figures that were published are those of the log."""
        log, result = self.log, self.result
        if result is None:
            return
        last: dict[str, Fields] = {fields["event"]: fields for fields in log}
        wanted: dict[str, Any] = {"run": self.evidence.run}
        if "RunStarted" in last:
            wanted |= {"plan_sha256": last["RunStarted"]["plan_sha256"]}
            wanted |= {name: last["RunStarted"][name] for name in ("task", "seed")}
        if "RunEnded" in last and last["RunEnded"]["status"] != "aborted":
            ended = last["RunEnded"]
            wanted |= {name: ended[name] for name in ("status", "reason", "rounds", "model_sha256")}
        for name, value in wanted.items():
            if result.get(name) != value:
                yield Fault("result", f"{name} is {result.get(name)}, in the log {value}")
        closed = [fields for fields in log if fields["event"] == "RoundClosed"]
        history = result.get("history") or []
        for fields, shown in zip(closed, history, strict=False):
            same = ("round", "part", "learning_rate")
            wrong = [name for name in same if shown.get(name) != fields[name]]
            if wrong or shown.get("global") != fields["metrics"]:
                yield Fault(
                    "result", f"round {fields['round']} differs from entry {fields['number']}"
                )
        if len(closed) != len(history):
            yield Fault("result", f"it has {len(history)} rounds, the log {len(closed)}")
        said = result.get("audit_log")
        if isinstance(said, Mapping):
            found = {
                "size": len(tree),
                "root": tree.root().hex(),
                "checkpoints": checkpoints,
                "witnesses": witnesses,
            }
            for name, value in found.items():
                if said.get(name) != value:
                    what = f"it says of the log: {name} {said.get(name)}; there it is {value}"
                    yield Fault("result", what)

    def database_faults(self, finished: bool) -> Iterator[Fault]:
        """Row for row what the log holds. Of a run that has not ended, the database may hold the last
        events before the log does."""
        evidence, log, database = self.evidence, self.log, self.evidence.database
        if database is None:
            return
        time = ""
        for record, entry in zip(database.records, evidence.entries, strict=False):
            time = max(time, record[1])
            if entry_bytes(record[0], time, record[2]) != entry.data:
                yield Fault(f"database, event {entry.number}", "it is not what the log holds")
                return
        rows, entries = len(database.records), len(evidence.entries)
        if rows < entries or (rows > entries and finished):
            missing = "the database lacks it" if rows < entries else "the log lacks it"
            yield Fault(f"entry {min(rows, entries) + 1}", missing)
        started = [fields for fields in log if fields["event"] == "RunStarted"]
        if started:
            told = (started[0]["task"], started[0]["plan_sha256"], started[0]["plan_sha256"])
            text = hashlib.sha256(database.plan.encode()).hexdigest()
            if (database.task, database.plan_sha256, text) != told:
                yield Fault(
                    "database, run", f"its plan is not the one of entry {started[0]['number']}"
                )
        metrics = {f["round"]: f["metrics"] for f in log if f["event"] == "RoundClosed"}
        if _parsed(database.history) != metrics and rows == entries:
            yield Fault("database, training history", "it is not what the log holds")
        stored = [fields for fields in log if fields["event"] == "ModelStored"]
        if stored:
            cards = [hashlib.sha256(card.encode()).hexdigest() for _, card in database.models]
            held = [
                (sha256, card) for (sha256, _), card in zip(database.models, cards, strict=True)
            ]
            if (stored[-1]["model_sha256"], stored[-1]["card_sha256"]) not in held:
                yield Fault("database, model", f"it is not the one of entry {stored[-1]['number']}")
            if database.state_sha256 not in (None, stored[-1]["model_sha256"]):
                yield Fault("database, state", "it holds another model than the run ended with")


def _broken(name: str, ledger: LedgerFile) -> Fault | None:
    previous, reserved = "", set()
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
        reserved.add(key)
        previous = row.sha256
    return None if ledger.rows else Fault(f"ledger of {name}, row 1", "it has lost its rows")


def _parsed(history: Sequence[tuple[int, str]]) -> dict[int, Any]:
    try:
        return {round: json.loads(metrics) for round, metrics in history}
    except ValueError:
        return {}


def _close(said: object, found: float) -> bool:
    if math.isnan(found):
        return True
    return isinstance(said, int | float) and abs(said - found) <= CLOSE * max(1.0, abs(found))
