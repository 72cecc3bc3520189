"""How a log stands, looked at anew each time and cheaply: every entry against its leaf, the root of
every checkpoint, the signatures of the last one, and its end in the coordinator's own log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aegis.console.coordinator.desk import Desk
from aegis.console.coordinator.records.logbook import fields_of, reading, run_of
from aegis.errors import AegisError
from aegis.store.audit_log import AuditLog
from aegis.store.checkpoint import OWN
from aegis.store.evidence import Evidence, Fault
from aegis.store.merkle import Tree, leaf_hash
from aegis.store.note import Note, key_name, seconds_of
from aegis.store.signed import Keyring, Signed, checkpoints, entries, keyrings


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


def standing(desk: Desk, log: str) -> Standing:
    """Raises ``DataError`` where the log cannot be read."""
    run = run_of(log)
    with reading(desk) as found:
        kept, notes = found.entries(run), found.checkpoints(run)
        seal = None if run == OWN else _sealed(found, run)
    evidence = Evidence(run, kept, notes)
    read, ring, tree = read_through(evidence)
    bad = next((str(fault) for fault in read.faults), "")
    covered, root, seconds, signed = 0, b"", None, False
    witnesses: tuple[Witness, ...] = ()
    if read.signed:
        note, now = read.signed[-1]
        covered, root = now.size, now.root
        signed = ring is not None and carries(note, now.origin, ring)
        witnesses = witnesses_of(note, now.origin, ring)
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
    read = (fields_of(entry) for _, entry in there)
    return next((one for one, bad in read if not bad and one.get("run") == run), None)


def _departed(seal: Mapping[str, Any], tree: Tree, covered: int) -> str:
    size, root = seal.get("size"), seal.get("root")
    if (size, root) != (len(tree), tree.root().hex()):
        return f"it was closed with {size} entries and the root {str(root)[:16]}, not these"
    if covered < len(tree):
        return f"entry {covered + 1}: no checkpoint signs it, though the log was closed"
    return ""


@dataclass(frozen=True)
class Through:
    """``signed`` are the checkpoints up to the first bad one."""

    signed: list[Signed]
    faults: list[Fault]


def read_through(evidence: Evidence) -> tuple[Through, Keyring | None, Tree]:
    """Everything in its place, and the roots of all checkpoints; of the signatures, none here."""
    faults: list[Fault] = []
    log = list(entries(evidence, faults))
    rings = list(keyrings(log, faults))
    tree = Tree(leaf_hash(entry.data) for entry in evidence.entries)
    # Without keys no signature is looked at: they are the dear part.
    signed = list(checkpoints(evidence, tree, (), faults))
    return Through(signed, faults), rings[-1] if rings else None, tree


def carries(note: Note, origin: str, ring: Keyring) -> bool:
    try:
        return note.signed(ring.verifiers(origin)[origin])
    except AegisError:
        return False


def witnesses_of(note: Note, origin: str, ring: Keyring | None) -> tuple[Witness, ...]:
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
