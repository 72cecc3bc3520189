"""The audit log as the window shows it: a list, one entry with its proof, and how a log stands.

How a log stands is looked at anew each time, but cheaply: every entry against its leaf, every
checkpoint's root, the signatures of the last one. The whole verification (``checked``) is asked
for, and kept with its time and who asked as long as the application runs.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aegis.console.coordinator import happened
from aegis.console.coordinator.desk import Desk, Sight
from aegis.console.reading import NotFound
from aegis.errors import AegisError, BadInput, CheckFailed, DataError
from aegis.store.audit_log import AuditLog, Entry
from aegis.store.checkpoint import OWN
from aegis.store.evidence import Evidence
from aegis.store.gathering import coordinators_evidence
from aegis.store.merkle import Tree, leaf_hash, node_hash
from aegis.store.note import Note, key_name, seconds_of
from aegis.store.signed import Keyring, Signed, checkpoints, entries, keyrings
from aegis.store.verification import Verified, verify

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


@dataclass(frozen=True)
class Witness:
    name: str
    fingerprint: str
    seconds: int | None
    word: str
    kind: str


@dataclass(frozen=True)
class Standing:
    """``covered`` entries are under the last checkpoint; ``bad`` names the first bad thing."""

    run: str
    log: str
    size: int
    checkpoints: int
    covered: int
    root: str
    signed: bool
    seconds: int | None
    witnesses: tuple[Witness, ...]
    hospitals: tuple[str, ...]
    closed: bool
    bad: str = ""

    @property
    def cosigned(self) -> int:
        return sum(one.kind == "ok" for one in self.witnesses)


@dataclass(frozen=True)
class Step:
    """On the way up: the sibling stands on ``side``; the two hash to ``result``."""

    side: str
    sibling: str
    result: str


@dataclass(frozen=True)
class Proven:
    """One entry with all that proves it; ``text`` is None where it is withheld."""

    row: Row
    text: str | None
    leaf: str
    stored_leaf: str
    size: int
    root: str
    steps: tuple[Step, ...]
    checkpoint: str
    signed: bool
    witnesses: tuple[Witness, ...]
    fields: Mapping[str, Any]
    last: int

    @property
    def holds(self) -> bool:
        end = self.steps[-1].result if self.steps else self.leaf
        return not self.row.bad and bool(self.root) and end == self.root and self.signed


@dataclass(frozen=True)
class Looked:
    """A verification that was asked for."""

    found: Verified
    by: str
    seconds: float
    size: int


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
            return total, [_row(one, entry, sight) for one, entry in there]
        # What is withheld must not be found either.
        _, there = found.search(run, parts, -1)
    seen = [_row(one, entry, sight) for one, entry in there]
    kept = [row for row in seen if not parts or row.sentence != WITHHELD]
    return len(kept), kept[size * (page - 1) : size * page]


def _row(run: str, entry: Entry, sight: Sight) -> Row:
    fields, bad = _fields(entry)
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


def _fields(entry: Entry) -> tuple[Mapping[str, Any], str]:
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


def standing(desk: Desk, log: str) -> Standing:
    """Raises ``DataError`` where the log cannot be read."""
    run = run_of(log)
    with reading(desk) as found:
        kept, notes = found.entries(run), found.checkpoints(run)
        seal = None if run == OWN else _sealed(found, run)
    evidence = Evidence(run, kept, notes)
    read, ring, tree = _read(evidence)
    bad = next((str(fault) for fault in read.faults), "")
    covered, root, seconds, signed = 0, b"", None, False
    witnesses: tuple[Witness, ...] = ()
    if read.signed:
        note, now = read.signed[-1]
        covered, root = now.size, now.root
        signed = ring is not None and _good(note, now.origin, ring)
        witnesses = _witnesses(note, now.origin, ring)
        seconds = max((one.seconds for one in witnesses if one.seconds), default=None)
    if not bad and seal is not None:
        bad = _departed(seal, tree, covered)
    hospitals = tuple(sorted(ring.hospitals)) if ring else ()
    return Standing(
        run, log, len(tree), len(notes), covered, root.hex(), signed, seconds, witnesses,
        hospitals, seal is not None, bad,
    )  # fmt: skip


def _sealed(log: AuditLog, run: str) -> Mapping[str, Any] | None:
    """What the coordinator's own log says of this one's end."""
    _, there = log.search(OWN, ['"event":"RunSealed"', json.dumps(run)], -1)
    read = (_fields(entry) for _, entry in there)
    return next((one for one, bad in read if not bad and one.get("run") == run), None)


def _departed(seal: Mapping[str, Any], tree: Tree, covered: int) -> str:
    size, root = seal.get("size"), seal.get("root")
    if (size, root) != (len(tree), tree.root().hex()):
        return f"it was closed with {size} entries and the root {str(root)[:16]}, not these"
    if covered < len(tree):
        return f"entry {covered + 1}: no checkpoint signs it, though the log was closed"
    return ""


@dataclass(frozen=True)
class _Log:
    signed: list[Signed]
    faults: list[Any]


def _read(evidence: Evidence) -> tuple[_Log, Keyring | None, Tree]:
    """Everything in its place, and the roots of all checkpoints; of the signatures, none here."""
    faults: list[Any] = []
    log = list(entries(evidence, faults))
    rings = list(keyrings(log, faults))
    tree = Tree(leaf_hash(entry.data) for entry in evidence.entries)
    # Without keys no signature is looked at: they are the dear part.
    signed = list(checkpoints(evidence, tree, (), faults))
    return _Log(signed, faults), rings[-1] if rings else None, tree


def _good(note: Note, origin: str, ring: Keyring) -> bool:
    try:
        return note.signed(ring.verifiers(origin)[origin])
    except AegisError:
        return False


def _witnesses(note: Note, origin: str, ring: Keyring | None) -> tuple[Witness, ...]:
    if ring is None:
        return ()
    known = ring.verifiers(origin)
    given = {name: signature for signature in note.signatures for name in (signature[0],)}
    found = []
    for name in ring.witnesses:
        key, fingerprint = key_name(name), ring.hospitals[name].fingerprint
        signature = given.get(key)
        if signature is None:
            found.append(Witness(name, fingerprint, None, "has not cosigned", "off"))
        elif known[key].accepts(note.text, signature):
            found.append(Witness(name, fingerprint, seconds_of(signature), "cosigned", "ok"))
        else:
            found.append(Witness(name, fingerprint, None, "signature is not its own", "bad"))
    return tuple(found)


def proven(desk: Desk, sight: Sight, log: str, number: int) -> Proven:
    """Entry ``number`` with its proof under the last checkpoint over it. Raises ``NotFound``."""
    run = run_of(log)
    with reading(desk) as found:
        kept, notes = found.entries(run), found.checkpoints(run)
    entry = next((one for one in kept if one.number == number), None)
    if entry is None:
        said = f"the log {log!r:.80} has no entry {number}"
        raise NotFound(said, way_out="See /audit for all logs")
    read, ring, tree = _read(Evidence(run, kept, notes))
    row = _row(run, entry, sight)
    fields, _ = _fields(entry)
    place = kept.index(entry)
    leaf = leaf_hash(entry.data)
    hidden = row.sentence == WITHHELD
    text = None if hidden else entry.data.decode("ascii", "backslashreplace")
    last = kept[-1].number
    over = [(note, now) for note, now in read.signed if now.size > place]
    if not over:
        why = next((str(one) for one in read.faults), "")
        row = Row(**{**vars(row), "bad": row.bad or why})
        return Proven(
            row, text, leaf.hex(), entry.leaf.hex(), 0, "", (), "", False, (), fields, last
        )
    note, now = over[-1]
    steps = tuple(_steps(leaf, place, now.size, tree.inclusion(place, now.size)))
    return Proven(
        row,
        text,
        leaf.hex(),
        entry.leaf.hex(),
        now.size,
        now.root.hex(),
        steps,
        str(note),
        ring is not None and _good(note, now.origin, ring),
        _witnesses(note, now.origin, ring),
        fields,
        last,
    )


def _steps(leaf: bytes, index: int, size: int, proof: tuple[bytes, ...]) -> Iterator[Step]:
    """As ``merkle.included`` walks, each step shown."""
    at, last, found = index, size - 1, leaf
    for sibling in proof:
        left = bool(at & 1) or at == last
        found = node_hash(sibling, found) if left else node_hash(found, sibling)
        yield Step("left" if left else "right", sibling.hex(), found.hex())
        if left:
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        at, last = at >> 1, last >> 1


def evidence_of(desk: Desk, log: str) -> Evidence:
    """What the coordinator holds of a run; what hospitals keep is not among it."""
    run = run_of(log)
    if log not in {log_name(one) for one in logs(desk)}:
        raise NotFound(f"no log is called {log!r:.80}", way_out="See /audit for all logs")
    return coordinators_evidence(desk.home, run, open=desk.state()["run"] == run and run != OWN)


def check(desk: Desk, log: str, by: str) -> Looked:
    """The whole verification, now. Raises ``BadInput`` while another of the same log goes on."""
    going: set[str] = desk.extra.setdefault("verifying", set())
    lock: threading.Lock = desk.extra.setdefault("verifying_lock", threading.Lock())
    with lock:
        if log in going:
            raise BadInput("this log is being verified already", way_out="Wait for its result")
        going.add(log)
    try:
        found = verify(evidence_of(desk, log))
        now = datetime.now(UTC).timestamp()
        looked = Looked(found, by, now, found.size)
        desk.extra.setdefault("verified", {})[log] = looked
        return looked
    finally:
        with lock:
            going.discard(log)


def checked(desk: Desk, log: str) -> Looked | None:
    """The last verification that was asked for since the application started."""
    found: Looked | None = desk.extra.get("verified", {}).get(log)
    return found


def log_faults(desk: Desk, run: str) -> list[str]:
    """What speaks against relying on a run's log, after a whole verification now. A run made by a
    simulation had its ledgers verified when it ended; the result says how."""
    try:
        found = check(desk, log_name(run), "the gates of a promotion").found
    except (NotFound, DataError, CheckFailed) as error:
        return [str(error)]
    if not found.faults and not found.complete:
        return ["the run's log is not complete"]
    faults = [str(fault) for fault in found.faults]
    said = desk.reading.document(run).get("audit_log") or {}
    if not faults and said.get("verified") is False:
        faults.append(f"it did not hold when the run ended: {said.get('first_bad')}")
    return faults
