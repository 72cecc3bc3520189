"""What others remember of a log: witnesses, how much of it they saw; the coordinator's own log, how
it ended.

A log that was cut short or made anew holds in itself; only who looks from outside can tell.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from aegis.identity.identity import KEY_CHANGE
from aegis.identity.keys import PublicKey
from aegis.store.checkpoint import OWN, digest, read
from aegis.store.evidence import Evidence, Fault
from aegis.store.merkle import Tree, included, leaf_hash
from aegis.store.note import Verifier, key_name
from aegis.store.signed import Fields, Keyring, Signed


def witness_faults(
    evidence: Evidence, tree: Tree, signed: Sequence[Signed], keys: Sequence[Keyring]
) -> Iterator[Fault]:
    """Each witness remembers what it cosigned, and the log holds what each remembers."""
    if evidence.seen is None:
        return
    cosigned = {
        name: now.size
        for note, now in signed
        for name, _ in note.signatures
        if keys and name in {key_name(witness) for witness in keys[-1].witnesses}
    }
    for name, size in cosigned.items():
        remembered = evidence.seen.get(name)
        if remembered is None or remembered[0] < size:
            yield Fault(f"witness {name}", f"it does not remember the {size} entries it cosigned")
    for name, (size, root) in evidence.seen.items():
        if size > len(tree):
            what = f"{name} cosigned {size} entries; {len(tree)} are there: the tail was cut off"
            yield Fault(f"entry {len(tree) + 1}", what)
        elif tree.root(size) != root:
            what = f"{name} cosigned {size} entries with the root {root.hex()}, not these"
            yield Fault("log", what)


def ending_faults(log: Sequence[Fields]) -> Iterator[Fault]:
    """In the coordinator's own log, no run ends in two ways."""
    known: dict[str, tuple[Any, ...]] = {}
    for fields in log:
        if fields["event"] == "RunSealed":
            end = (fields["size"], fields["root"], fields["checkpoint_sha256"])
            if known.setdefault(fields["run"], end) != end:
                yield Fault(f"entry {fields['number']}", f"{fields['run']} had another end before")


def seal_faults(
    evidence: Evidence,
    signed: Sequence[Signed],
    tree: Tree,
    keys: Sequence[Keyring],
    complete: bool,
) -> Iterator[Fault]:
    """The coordinator's own log remembers how this one ended."""
    seal = evidence.seal
    if seal is None:
        if complete and not evidence.open:
            yield Fault("seal", "the coordinator's own log does not say how this one ended")
        return
    note, own = read(seal.checkpoint, OWN)
    signer = keys[-1].coordinator if keys else None
    for after, signature in seal.handovers:
        new = PublicKey(bytes.fromhex(after))
        if signer is None or not signer.verifies(KEY_CHANGE, new.raw, bytes.fromhex(signature)):
            yield Fault("seal", "the coordinator's key was changed without the old one's signature")
        signer = new
    if signer is None or not note.signed(Verifier(own.origin, signer)):
        yield Fault("seal", "the coordinator did not sign it")
    elif not included(leaf_hash(seal.entry), seal.number - 1, own.size, seal.proof, own.root):
        yield Fault("seal", "it is not in the coordinator's own log")
    fields = json.loads(seal.entry)
    if (fields["event"], fields["run"]) != ("RunSealed", evidence.run):
        yield Fault("seal", f"it is of the run {fields['run']}")
    if (fields["size"], fields["root"]) != (len(tree), tree.root().hex()):
        yield Fault("log", f"it was closed with {fields['size']} entries, root {fields['root']}")
    elif not signed or digest(signed[-1][0]).hex() != fields["checkpoint_sha256"]:
        yield Fault(f"checkpoint {len(signed)}", "it was changed after the log was closed")
    if evidence.open:
        return
    found = "" if evidence.result is None else hashlib.sha256(evidence.result.encode()).hexdigest()
    if fields["result_sha256"] not in ("", found):
        what = "was changed" if found else "was taken away"
        yield Fault("result", f"the file {what} after the log was closed")
    if evidence.database is not None and evidence.database.sha256 != fields["database_sha256"]:
        yield Fault("database, run", "its row was changed after the log was closed")
