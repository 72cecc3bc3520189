"""Whether a run's log holds: offline, from the evidence alone, without any private key.

    log          every entry in its place, the tree over them, each signature and cosignature
    lineage      each round starts from the model that the last one closed with; the file is it
    ledgers      each privacy ledger is one chain, and the epsilon follows from its events
    result       the figures that were published are those of the log
    database     row for row what the log holds
    witnesses    what hospitals saw is in the log

What this cannot see: a log that was made up as a whole, with new keys for everybody. Whoever knows
the true keys' fingerprints hands them in as ``known``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from aegis.errors import AegisError
from aegis.identity.keys import PublicKey
from aegis.store.audit_log import canonical
from aegis.store.checkpoint import OWN, Checkpoint, digest, read
from aegis.store.evidence import Evidence, Fault
from aegis.store.merkle import Tree, included, leaf_hash
from aegis.store.note import WITNESS, Note, Verifier, key_name, seconds_of
from aegis.store.published import Published, Recount

MOST_FAULTS = 20
KEY_CHANGE = "aegis/key-change/v1"

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Verified:
    """``witnesses`` cosigned the last checkpoint; ``complete`` says whether the run had ended and
    its log was closed. ``keys`` are fingerprints, the coordinator's first."""

    run: str
    size: int
    root: str
    checkpoints: int
    witnesses: tuple[str, ...]
    complete: bool
    keys: Mapping[str, str]
    faults: tuple[Fault, ...]

    @property
    def holds(self) -> bool:
        return not self.faults

    def as_json(self) -> dict[str, Any]:
        first = self.faults[0] if self.faults else None
        return {
            "run": self.run,
            "verified": self.holds,
            "complete": self.complete,
            "size": self.size,
            "root": self.root,
            "checkpoints": self.checkpoints,
            "witnesses": list(self.witnesses),
            "keys": dict(self.keys),
            "first_bad": None if first is None else {"where": first.where, "what": first.what},
            "faults": [str(fault) for fault in self.faults],
        }


@dataclass(frozen=True)
class Roster:
    """The keys in force from one entry on."""

    since: int
    coordinator: PublicKey
    hospitals: Mapping[str, PublicKey]


def verify(
    evidence: Evidence, known: Mapping[str, str] | None = None, recount: Recount | None = None
) -> Verified:
    """``known`` holds fingerprints by hospital, ``coordinator`` among them; ``recount`` works out
    what a ledger's events come to (the default imports dp-accounting: 1.5 s)."""
    faults = [Fault(where, why) for where, why in evidence.unreadable]
    log = list(_read(evidence, faults))
    rosters = list(_rosters(log, faults))
    tree = Tree(leaf_hash(entry.data) for entry in evidence.entries)
    notes = list(_checkpoints(evidence, tree, rosters, faults))
    ended = [fields for fields in log if fields.get("event") == "RunEnded"]
    finished = bool(ended) and ended[-1].get("status") != "aborted"
    complete = finished and any(fields.get("event") == "ModelStored" for fields in log)
    witnesses = _witnesses(notes, rosters)
    result = _parsed(evidence.result, faults)
    published = Published(evidence, log, result)
    sections = (
        _coverage(evidence, notes, log, complete, witnesses, rosters),
        _known(rosters, known or {}),
        _seen(evidence, tree),
        _sealed(evidence, notes, tree, rosters),
        lineage(evidence, log),
        published.ledger_faults(recount),
        published.result_faults(tree, len(notes), len(witnesses)),
        published.database_faults(finished),
    )
    for section in sections:
        faults += islice(_guarded(section), MOST_FAULTS)
    keys = {}
    if rosters:
        named = {"coordinator": rosters[-1].coordinator, **rosters[-1].hospitals}
        keys = {name: key.fingerprint for name, key in named.items()}
    return Verified(
        evidence.run,
        len(tree),
        tree.root().hex(),
        len(notes),
        tuple(witnesses),
        complete,
        keys,
        tuple(faults[:MOST_FAULTS]),
    )


def _guarded(section: Iterator[Fault]) -> Iterator[Fault]:
    """Entries that were signed but lack what their kind has are a fault, not a crash."""
    try:
        yield from section
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, AegisError) as error:
        yield Fault("log", f"an entry or a file lacks what it must have ({error!r})")


def _parsed(text: str | None, faults: list[Fault]) -> Mapping[str, Any] | None:
    if text is None:
        return None
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("it is not an object")
    except (ValueError, RecursionError) as error:
        faults.append(Fault("result", f"it cannot be read ({error})"))
        return None
    return found


def _read(evidence: Evidence, faults: list[Fault]) -> Iterator[Fields]:
    """Every entry that can be read; what is wrong with the others goes to ``faults``."""
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


def _rosters(log: Sequence[Fields], faults: list[Fault]) -> Iterator[Roster]:
    now: Roster | None = None
    for fields in log:
        number = fields["number"]
        where = f"entry {number}"
        try:
            if fields["event"] == "RosterFixed":
                if now is not None:
                    faults.append(Fault(where, "the keys were replaced, not handed on"))
                named = {name: _key(text) for name, text in fields["hospitals"].items()}
                now = Roster(number, _key(fields["coordinator"]), named)
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
                hospitals = {**now.hospitals, name: after} if name else now.hospitals
                now = Roster(number, now.coordinator if name else after, hospitals)
                yield now
        except (KeyError, TypeError, ValueError, AttributeError, AegisError) as error:
            faults.append(Fault(where, f"it holds no keys ({error})"))
    if now is None:
        faults.append(Fault("log", "no entry says whose keys sign it"))


def _key(text: str) -> PublicKey:
    return PublicKey(bytes.fromhex(text))


def _checkpoints(
    evidence: Evidence, tree: Tree, rosters: Sequence[Roster], faults: list[Fault]
) -> Iterator[tuple[Note, Checkpoint]]:
    """Every checkpoint that can be read; stops at the first that is not over these entries."""
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
        if now.size <= size:
            faults.append(Fault(where, f"it signs {now.size} entries, the one before {size}"))
            return
        if now.size > len(tree):
            what = f"{where} signs {now.size} entries, and they are not there"
            faults.append(Fault(f"entry {len(tree) + 1}", what))
            return
        if tree.root(now.size) != now.root:
            first = (
                f"entry {size + 1}" if now.size == size + 1 else f"entries {size + 1} to {now.size}"
            )
            what = f"they are not those that {where} signs (root {now.root.hex()[:16]})"
            faults.append(Fault(first, what))
            return
        faults += _signatures(where, note, now, rosters, signed_at)
        before, size = digest(note), now.size
        yield note, now


def _signatures(
    where: str,
    note: Note,
    now: Checkpoint,
    rosters: Sequence[Roster],
    signed_at: dict[str, int],
) -> Iterator[Fault]:
    roster = _in_force(rosters, now.size)
    if roster is None:
        return
    signers = {now.origin: Verifier(now.origin, roster.coordinator)}
    for name, key in roster.hospitals.items():
        signers[key_name(name)] = Verifier(key_name(name), key, WITNESS)
    met: set[str] = set()
    for signature in note.signatures:
        name = signature[0]
        if name not in signers or name in met or not signers[name].accepts(note.text, signature):
            yield Fault(where, f"the signature of {name} is not of its key, or stands twice")
        elif name != now.origin:
            if seconds_of(signature) < signed_at.get(name, 0):
                yield Fault(where, f"{name} cosigned it before the checkpoint before it")
            signed_at[name] = seconds_of(signature)
        met.add(name)
    if now.origin not in met:
        yield Fault(where, "the coordinator did not sign it")


def _in_force(rosters: Sequence[Roster], size: int) -> Roster | None:
    found = [roster for roster in rosters if roster.since <= size]
    return found[-1] if found else None


def _witnesses(
    notes: Sequence[tuple[Note, Checkpoint]], rosters: Sequence[Roster]
) -> tuple[str, ...]:
    """Who cosigned the last checkpoint."""
    if not notes or not rosters:
        return ()
    signers = {name for name, _ in notes[-1][0].signatures}
    return tuple(name for name in rosters[-1].hospitals if key_name(name) in signers)


def _coverage(
    evidence: Evidence,
    notes: Sequence[tuple[Note, Checkpoint]],
    log: Sequence[Fields],
    complete: bool,
    witnesses: Sequence[str],
    rosters: Sequence[Roster],
) -> Iterator[Fault]:
    """Nothing that was closed stands without a signature."""
    sizes = [now.size for _, now in notes]
    closed: int | None = None
    for fields in log:
        if fields["event"] == "RoundClosed":
            closed = fields["number"]
        elif fields["event"] == "RoundOpened" and closed is not None:
            if not any(closed <= size < fields["number"] for size in sizes):
                yield Fault(f"entry {closed}", "its round was closed without a checkpoint")
            closed = None
    signed, size = (sizes[-1] if sizes else 0), len(evidence.entries)
    if complete and signed < size:
        yield Fault(f"entry {signed + 1}", "no checkpoint signs it, though the run has ended")
    asked = len(rosters[-1].hospitals) if rosters else 0
    if complete and asked and 2 * len(witnesses) <= asked:
        what = f"{len(witnesses)} of {asked} hospitals cosigned it; more than half must"
        yield Fault(f"checkpoint {len(notes)}", what)


def _known(rosters: Sequence[Roster], known: Mapping[str, str]) -> Iterator[Fault]:
    named: dict[str, PublicKey] = {}
    if rosters:
        named = {**rosters[0].hospitals, "coordinator": rosters[0].coordinator}
    for name, fingerprint in known.items():
        key = named.get(name)
        if key is None:
            yield Fault("keys", f"{name} has no key in this log")
        elif fingerprint.replace(" ", "").lower() not in (
            key.fingerprint.replace(" ", ""),
            key.hex,
        ):
            yield Fault("keys", f"the key of {name} is {key.fingerprint}, not the one you know")


def _seen(evidence: Evidence, tree: Tree) -> Iterator[Fault]:
    for name, (size, root) in evidence.seen.items():
        if size > len(tree):
            what = f"{name} cosigned {size} entries; {len(tree)} are there: the tail was cut off"
            yield Fault(f"entry {len(tree) + 1}", what)
        elif tree.root(size) != root:
            what = f"{name} cosigned {size} entries with the root {root.hex()}, not these"
            yield Fault("log", what)


def _sealed(
    evidence: Evidence,
    notes: Sequence[tuple[Note, Checkpoint]],
    tree: Tree,
    rosters: Sequence[Roster],
) -> Iterator[Fault]:
    """The coordinator's own log remembers how this one ended."""
    seal = evidence.seal
    if seal is None:
        return
    note, own = read(seal.checkpoint, OWN)
    leaf = leaf_hash(seal.entry)
    if not rosters or not note.signed(Verifier(own.origin, rosters[-1].coordinator)):
        yield Fault("seal", "the coordinator did not sign it")
    elif not included(leaf, seal.number - 1, own.size, seal.proof, own.root):
        yield Fault("seal", "it is not in the coordinator's own log")
    fields = json.loads(seal.entry)
    if fields["run"] != evidence.run:
        yield Fault("seal", f"it is of the run {fields['run']}")
    if (fields["size"], fields["root"]) != (len(tree), tree.root().hex()):
        yield Fault("log", f"it was closed with {fields['size']} entries, root {fields['root']}")
    elif not notes or digest(notes[-1][0]).hex() != fields["checkpoint_sha256"]:
        yield Fault(f"checkpoint {len(notes)}", "it was changed after the log was closed")
    recorded = fields["result_sha256"]
    if evidence.result is not None and recorded not in ("", _sha256(evidence.result.encode())):
        yield Fault("result", "the file was changed after the log was closed")


def lineage(evidence: Evidence, log: Sequence[Fields]) -> Iterator[Fault]:
    """Models follow from each other, up to the file."""
    expected: str | None = None
    released: dict[int, str] = {}
    closed, final = 0, ""
    for fields in log:
        where = f"entry {fields['number']}"
        match fields["event"]:
            case "RunStarted":
                plan = evidence.plan
                if plan is not None and _sha256(plan.encode()) != fields["plan_sha256"]:
                    yield Fault("plan", f"it does not have the hash that {where} names")
            case "RoundOpened":
                if fields["round"] != closed + 1:
                    yield Fault(where, f"round {fields['round']} does not follow round {closed}")
                if expected is not None and fields["model_sha256"] != expected:
                    yield Fault(where, "it starts from another model than the round before left")
                released.setdefault(0, fields["model_sha256"])
                expected = fields["model_sha256"]
            case "RoundClosed":
                if fields["round"] != closed + 1:
                    yield Fault(where, f"round {fields['round']} does not follow round {closed}")
                closed = fields["round"]
                released[closed] = fields["model_sha256"]
                expected = fields["next_sha256"] or fields["model_sha256"]
            case "RunEnded" if fields["status"] != "aborted":
                final = fields["model_sha256"]
                if released.get(fields["round"], final) != final:
                    yield Fault(where, f"its model is not the one of round {fields['round']}")
            case "ModelStored":
                if fields["model_sha256"] != final:
                    yield Fault(where, "the stored model is not the one the run ended with")
                parent = fields["parent"]
                if len(parent) == 64 and released.get(0, parent) != parent:
                    yield Fault(where, f"training did not start from {parent[:12]}")
                if (
                    evidence.card is not None
                    and _sha256(evidence.card.encode()) != fields["card_sha256"]
                ):
                    yield Fault("model card", f"it is not the one that {where} names")
    if final and evidence.model is not None and _sha256(evidence.model) != final:
        yield Fault(
            "model", f"its bytes have the hash {_sha256(evidence.model)[:12]}, not {final[:12]}"
        )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
