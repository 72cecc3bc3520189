"""The audit log as a list: every entry as a sentence, complete, with filters, page by page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aegis.console.coordinator.desk import Desk, Sight
from aegis.console.coordinator.records import happened
from aegis.store.audit_log import AuditLog, Entry
from aegis.store.checkpoint import OWN
from aegis.store.merkle import leaf_hash

OWN_NAME, ALL = "coordinator", "all"  # in addresses
PAGE = 50
WITHHELD = "About another hospital; shown to that hospital and the coordinator’s people only."


@dataclass(frozen=True)
class Row:
    """One line of the list. ``leaf`` is the hash, in hexadecimal; ``bad`` says what is wrong."""

    run: str
    log: str
    number: int
    time: str
    kind: str
    sentence: str
    actor: str
    leaf: str
    bad: str = ""


def log_name(run: str) -> str:
    """As addresses write it."""
    return run or OWN_NAME


def run_of(log: str) -> str:
    return OWN if log == OWN_NAME else log


@contextmanager
def reading(desk: Desk) -> Iterator[AuditLog]:
    """Raises ``DataError`` where there is no log, or none that can be read."""
    found = AuditLog.reading(desk.home.audit_log)
    try:
        yield found
    finally:
        found.close()


def logs(desk: Desk) -> list[str]:
    """The runs that have a log, the latest first and the coordinator's own last."""
    if not desk.home.audit_log.exists():
        return []
    with reading(desk) as log:
        return sorted(log.runs(), reverse=True)


def rows(
    desk: Desk,
    sight: Sight,
    log: str,
    kind: str = "",
    hospital: str = "",
    text: str = "",
    page: int = 1,
    size: int = PAGE,
) -> tuple[int, list[Row]]:
    """How many entries fit, and one page of them, newest first. ``log`` may be ``all``."""
    run = None if log == ALL else run_of(log)
    parts = []
    if kind:
        parts.append(f'"event":"{kind}"')
    if hospital:
        parts.append(json.dumps(hospital))
    if text:
        parts.append(json.dumps(text)[1:-1])
    with reading(desk) as found:
        if sight.only is None:
            total, there = found.search(run, parts, size, size * (page - 1))
            return total, [row_of(one, entry, sight) for one, entry in there]
        # What is withheld must not be found either.
        _, there = found.search(run, parts, -1)
    seen = [row_of(one, entry, sight) for one, entry in there]
    kept = [row for row in seen if not parts or row.sentence != WITHHELD]
    return len(kept), kept[size * (page - 1) : size * page]


def row_of(run: str, entry: Entry, sight: Sight) -> Row:
    fields, bad = fields_of(entry)
    if not bad and fields.get("number") != entry.number:
        bad = f"it is numbered {fields.get('number')}"
    hidden = hidden_from(fields, sight)
    return Row(
        run,
        log_name(run),
        entry.number,
        str(fields.get("time") or ""),
        happened.kind(fields),
        WITHHELD if hidden else happened.sentence(fields),
        "withheld" if hidden else happened.actor(fields),
        entry.leaf.hex(),
        bad,
    )


def fields_of(entry: Entry) -> tuple[Mapping[str, Any], str]:
    bad = ""
    if leaf_hash(entry.data) != entry.leaf:
        bad = "its bytes are not those that were entered"
    try:
        found = json.loads(entry.data)
        if isinstance(found, dict):
            return found, bad
    except (ValueError, RecursionError):
        pass
    return {"event": "Unreadable"}, bad or "it is no entry"


def hidden_from(fields: Mapping[str, Any], sight: Sight) -> bool:
    """Whether an entry holds figures of a hospital that ``sight`` does not see."""
    if sight.only is None:
        return False
    about = happened.about(fields)
    return (about is not None and not sight.sees(about)) or happened.by_hospital(fields)
