"""Whether a run's log holds: offline, from the evidence alone, without any private key.

    log          every entry in its place, the tree over them, each signature and cosignature
    coverage     nothing that was closed stands without a checkpoint, nor without witnesses
    witnesses    what hospitals saw is in the log; what its end was is in the coordinator's own
    lineage      each round starts from the model that the last one closed with; the file is it
    ledgers      each privacy ledger is one chain, and the epsilon follows from its events
    published    result and database say what the log says

What this cannot see is a log that was made up as a whole, with new keys for everybody. Whoever
knows the true keys' fingerprints hands them in as ``known``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any

from aegis.errors import AegisError
from aegis.store.evidence import Evidence, Fault
from aegis.store.lineage import commitment_faults, lineage_faults
from aegis.store.merkle import Tree, leaf_hash
from aegis.store.note import key_name
from aegis.store.published import Recount, database_faults, ledger_faults, result_faults
from aegis.store.remembered import ending_faults, seal_faults, witness_faults
from aegis.store.signed import Fields, Keyring, Signed, checkpoints, entries, keyrings

MOST_FAULTS = 20


@dataclass(frozen=True)
class Check:
    """One part of a verification. ``faults`` are what it found; ``absent`` is why it was not made,
    or empty."""

    name: str
    claim: str
    faults: tuple[Fault, ...] = ()
    absent: str = ""


@dataclass(frozen=True)
class Verified:
    """``witnesses`` cosigned the last checkpoint; ``complete`` says whether the run had ended and
    its log was closed, ``aborted`` why it failed, if that was its end. ``keys`` are fingerprints,
    the coordinator's first; ``checks`` are all that was looked at, in order."""

    run: str
    size: int
    root: str
    checkpoints: int
    witnesses: tuple[str, ...]
    complete: bool
    keys: Mapping[str, str]
    faults: tuple[Fault, ...]
    checks: tuple[Check, ...] = field(default=(), compare=False)
    aborted: str = field(default="", compare=False)

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


def verify(
    evidence: Evidence, known: Mapping[str, str] | None = None, recount: Recount | None = None
) -> Verified:
    """``known`` holds fingerprints by hospital, ``coordinator`` among them; ``recount`` works out
    what a ledger's events come to (the default imports dp-accounting: 1.5 s)."""
    faults = [Fault(where, why) for where, why in evidence.unreadable]
    ends = [0, len(faults)]
    log = list(entries(evidence, faults))
    ends.append(len(faults))
    keys = list(keyrings(log, faults))
    ends.append(len(faults))
    tree = Tree(leaf_hash(entry.data) for entry in evidence.entries)
    signed = list(checkpoints(evidence, tree, keys, faults))
    ends.append(len(faults))
    result = _parsed(evidence.result, faults)
    ends.append(len(faults))
    ended = [fields for fields in log if fields["event"] == "RunEnded"]
    finished = bool(ended) and ended[-1].get("status") != "aborted"
    complete = finished and any(fields["event"] == "ModelStored" for fields in log)
    witnesses = _witnesses(signed, keys)
    sections = (
        _coverage(evidence, signed, log, keys, len(witnesses) if complete else None),
        _known(keys, known or {}),
        ending_faults(log),
        witness_faults(evidence, tree, signed, keys),
        seal_faults(evidence, signed, tree, keys, complete),
        lineage_faults(evidence, log),
        commitment_faults(log, keys),
        ledger_faults(evidence, log, result, recount, complete),
        result_faults(evidence, log, result, tree, len(signed), len(witnesses)),
        database_faults(evidence, log, finished),
    )
    for section in sections:
        faults += islice(_guarded(section), MOST_FAULTS)
        ends.append(len(faults))
    found = [tuple(faults[start:end]) for start, end in pairwise(ends)]
    named = {}
    if keys:
        named = {"coordinator": keys[-1].coordinator.fingerprint}
        named |= {name: key.fingerprint for name, key in keys[-1].hospitals.items()}
    return Verified(
        evidence.run,
        len(tree),
        tree.root().hex(),
        len(signed),
        witnesses,
        complete,
        named,
        tuple(faults[:MOST_FAULTS]),
        tuple(_checks(found, evidence)),
        _aborted(log),
    )


def _aborted(log: Sequence[Fields]) -> str:
    """Why the run failed; empty where it did not, or went on afterwards."""
    last: dict[str, Fields] = {fields["event"]: fields for fields in log}
    ended, opened = last.get("RunEnded", {}), last.get("RoundOpened", {})
    if ended.get("status") != "aborted" or opened.get("number", 0) > ended["number"]:
        return ""
    return str(ended.get("reason"))


def _checks(found: Sequence[tuple[Fault, ...]], evidence: Evidence) -> Iterator[Check]:
    read, entered, keyed, signed, parsed, covered, known, ended, *rest = found
    seen, sealed, followed, committed, charged, published, stored = rest
    of_run = "" if evidence.run else "this log is of no run"
    hospitals = of_run or "hospitals keep it, and it is not at hand here"
    yield Check("files", "All that should be at hand can be read", read)
    yield Check("entries", "Every entry is in its place, as it was entered", entered)
    yield Check(
        "keys", "The keys are those fixed at the start, or handed on by them", keyed + known
    )
    yield Check("checkpoints", "Every signature and cosignature is on these entries", signed)
    yield Check("coverage", "All that was closed is signed, and most witnesses cosigned", covered)
    yield Check(
        "witnesses",
        "The log holds what each witness remembers",
        seen,
        hospitals if evidence.seen is None else "",
    )
    open_log = of_run or ("it has not been closed" if evidence.seal is None and not sealed else "")
    claim = "It ended as the coordinator’s own log says"
    yield Check("seal", claim, ended + sealed, "" if ended else open_log)
    yield Check("lineage", "Each round starts from the model of the last", followed, of_run)
    yield Check("commitments", "What went into each sum was signed by hospitals", committed, of_run)
    yield Check(
        "ledgers",
        "The privacy ledgers are whole, and epsilon follows from them",
        charged,
        hospitals if evidence.ledgers is None else "",
    )
    nothing = of_run or ("there is no result yet" if evidence.result is None else "")
    claim = "The published result says what the log says"
    yield Check("result", claim, parsed + published, "" if parsed else nothing)
    missing = of_run or ("there is no database" if evidence.database is None else "")
    yield Check("database", "The database says what the log says", stored, missing)


def _guarded(section: Iterator[Fault]) -> Iterator[Fault]:
    """Entries that were signed but lack what their kind has are a fault, not a crash."""
    try:
        yield from section
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        AegisError,
    ) as error:
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


def _witnesses(signed: Sequence[Signed], keys: Sequence[Keyring]) -> tuple[str, ...]:
    """Who cosigned the last checkpoint."""
    if not signed or not keys:
        return ()
    signers = {name for name, _ in signed[-1][0].signatures}
    return tuple(name for name in keys[-1].witnesses if key_name(name) in signers)


def _coverage(
    evidence: Evidence,
    signed: Sequence[Signed],
    log: Sequence[Fields],
    keys: Sequence[Keyring],
    cosigned: int | None,
) -> Iterator[Fault]:
    """``cosigned`` counts the witnesses of the last checkpoint, where the log is complete."""
    sizes = [now.size for _, now in signed]
    closed = [fields["number"] for fields in log if fields["event"] == "RoundClosed"]
    for this, following in pairwise(closed):
        if not any(this <= size < following for size in sizes):
            yield Fault(f"entry {this}", "its round was closed without a checkpoint")
    if cosigned is None:
        return
    last, size = (sizes[-1] if sizes else 0), len(evidence.entries)
    if last < size:
        yield Fault(f"entry {last + 1}", "no checkpoint signs it, though the run has ended")
    asked = len(keys[-1].witnesses) if keys else 0
    if asked and 2 * cosigned <= asked:
        what = f"{cosigned} of {asked} hospitals cosigned it; more than half must"
        yield Fault(f"checkpoint {len(signed)}", what)


def _known(keys: Sequence[Keyring], known: Mapping[str, str]) -> Iterator[Fault]:
    named = {**keys[0].hospitals, "coordinator": keys[0].coordinator} if keys else {}
    for name, fingerprint in known.items():
        key = named.get(name)
        if key is None:
            yield Fault("keys", f"{name} has no key in this log")
            continue
        said = fingerprint.replace(" ", "").lower()
        if said not in (key.fingerprint.replace(" ", ""), key.hex):
            what = f"the key of {name} is {key.fingerprint}, not the one you know"
            yield Fault("keys", f"{what} (ask for what it signs logs as: its log key)")
