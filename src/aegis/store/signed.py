"""The log by itself: every entry in its place, whose keys are in force, what each checkpoint signs.

Faults go to the list that is handed in; what is yielded is what could be read before them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from aegis.errors import AegisError
from aegis.identity.identity import KEY_CHANGE
from aegis.identity.keys import PublicKey
from aegis.store.audit_log import canonical
from aegis.store.checkpoint import Checkpoint, digest, read
from aegis.store.evidence import Evidence, Fault
from aegis.store.merkle import Tree, leaf_hash
from aegis.store.note import WITNESS, Note, Verifier, key_name, seconds_of

Fields: TypeAlias = Mapping[str, Any]
Signed: TypeAlias = tuple[Note, Checkpoint]


@dataclass(frozen=True)
class Keyring:
    """The keys in force from one entry on; ``witnesses`` are asked to cosign."""

    since: int
    coordinator: PublicKey
    hospitals: Mapping[str, PublicKey]
    witnesses: tuple[str, ...]

    def verifiers(self, origin: str) -> dict[str, Verifier]:
        """By the name that stands in a note."""
        found = {origin: Verifier(origin, self.coordinator)}
        for name in self.witnesses:
            found[key_name(name)] = Verifier(key_name(name), self.hospitals[name], WITNESS)
        return found

    def changed(self, number: int, name: str, after: PublicKey) -> Keyring:
        """``name`` is a hospital, or empty for the coordinator."""
        hospitals = {**self.hospitals, name: after} if name else self.hospitals
        return Keyring(number, self.coordinator if name else after, hospitals, self.witnesses)


def entries(evidence: Evidence, faults: list[Fault]) -> Iterator[Fields]:
    """Every entry that can be read, up to the first that is not in its place."""
    time = ""
    for at, entry in enumerate(evidence.entries, 1):
        where = f"entry {at}"
        if leaf_hash(entry.data) != entry.leaf:
            faults.append(Fault(where, "its bytes are not those that were entered"))
        try:
            fields = json.loads(entry.data)
            if canonical(fields) != entry.data or not isinstance(fields.get("event"), str):
                raise ValueError("it is written in another way")
        except (ValueError, AttributeError, RecursionError) as error:
            faults.append(Fault(where, f"it is no entry ({error})"))
            continue
        if fields.get("number") != at or entry.number != at:
            what = f"it is numbered {fields.get('number')}: entries were removed, added or moved"
            faults.append(Fault(where, what))
            return
        if not isinstance(fields.get("time"), str) or fields["time"] < time:
            faults.append(Fault(where, f"its time, {fields.get('time')}, goes back"))
        if evidence.run and fields.get("run") != evidence.run:
            faults.append(Fault(where, f"it is of the run {fields.get('run')}"))
        time = max(time, str(fields.get("time")))
        yield fields


def keyrings(log: Sequence[Fields], faults: list[Fault]) -> Iterator[Keyring]:
    """The keys that the first roster fixed, and each hand-over that the old key signed."""
    now: Keyring | None = None
    for fields in log:
        where = f"entry {fields['number']}"
        try:
            if fields["event"] == "RosterFixed":
                if now is not None:
                    faults.append(Fault(where, "the keys were replaced, not handed on"))
                now = _fixed(fields)
                yield now
            elif fields["event"] == "KeyChanged" and now is not None:
                name, after = fields["name"], _key(fields["after"])
                held = now.hospitals.get(name) if name else now.coordinator
                signature = bytes.fromhex(fields["signature"])
                if (
                    held is None
                    or held.hex != fields["before"]
                    or not held.verifies(KEY_CHANGE, after.raw, signature)
                ):
                    faults.append(Fault(where, "a key was changed without the old one's signature"))
                now = now.changed(fields["number"], name, after)
                yield now
        except (KeyError, TypeError, ValueError, AttributeError, AegisError) as error:
            faults.append(Fault(where, f"it holds no keys ({error})"))
    if now is None:
        faults.append(Fault("log", "no entry says whose keys sign it"))


def _fixed(fields: Fields) -> Keyring:
    hospitals = {name: _key(text) for name, text in fields["hospitals"].items()}
    witnesses = tuple(name for name in fields["witnesses"] if hospitals[name])
    found = Keyring(fields["number"], _key(fields["coordinator"]), hospitals, witnesses)
    found.verifiers("any")  # raises for a name that no note can hold
    return found


def _key(text: str) -> PublicKey:
    return PublicKey(bytes.fromhex(text))


def checkpoints(
    evidence: Evidence, tree: Tree, keys: Sequence[Keyring], faults: list[Fault]
) -> Iterator[Signed]:
    """Every checkpoint over these entries, up to the first that is not."""
    before, size, signed_at = b"", 0, dict[str, int]()
    for at, written in enumerate(evidence.checkpoints, 1):
        where = f"checkpoint {at}"
        try:
            note, now = read(written, evidence.run)
            if str(note) != written:
                raise ValueError("it is written in another way")
        except (AegisError, ValueError) as error:
            faults.append(Fault(where, str(error)))
            return
        if now.previous != before:
            what = "it does not follow the one before: checkpoints or signatures were changed"
            faults.append(Fault(where, what))
        found = _misplaced(where, now, size, tree)
        if found is not None:
            faults.append(found)
            return
        in_force = [ring for ring in keys if ring.since <= now.size]
        if in_force:
            faults += _signatures(where, note, now, in_force[-1], signed_at)
        before, size = digest(note), now.size
        yield note, now


def _misplaced(where: str, now: Checkpoint, size: int, tree: Tree) -> Fault | None:
    """Why this is no checkpoint of these entries after one of ``size``; or nothing."""
    if now.size <= size:
        return Fault(where, f"it signs {now.size} entries, the one before {size}")
    if now.size > len(tree):
        what = f"{where} signs {now.size} entries; the tail was cut off"
        return Fault(f"entry {len(tree) + 1}", what)
    if tree.root(now.size) != now.root:
        one = now.size == size + 1
        first = f"entry {now.size}" if one else f"entries {size + 1} to {now.size}"
        return Fault(first, f"{where} signs others (root {now.root.hex()[:16]})")
    return None


def _signatures(
    where: str, note: Note, now: Checkpoint, keys: Keyring, signed_at: dict[str, int]
) -> Iterator[Fault]:
    known, met = keys.verifiers(now.origin), set[str]()
    for signature in note.signatures:
        name = signature[0]
        if name not in known or name in met or not known[name].accepts(note.text, signature):
            yield Fault(where, f"the signature of {name} is not of its key, or stands twice")
        elif name != now.origin:
            if seconds_of(signature) < signed_at.get(name, 0):
                yield Fault(where, f"{name} cosigned it before the checkpoint before it")
            signed_at[name] = seconds_of(signature)
        met.add(name)
    if now.origin not in met:
        yield Fault(where, "the coordinator did not sign it")
