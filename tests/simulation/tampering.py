"""A finished run, and a thousand ways to change what it left behind.

A mutation takes (rng, victim) and returns the changed evidence with what must be named: a pattern
that the first fault's ``where`` matches, or None where it must only be found. The strong ones are
made by the coordinator itself, who holds its own key and hashes and signs everything anew; what it
cannot make is a cosignature.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from aegis import run
from aegis.hospital.chain import Row
from aegis.identity.keys import SigningKey
from aegis.plan import load_plan
from aegis.simulation.evidence import gathered
from aegis.simulation.evidence_file import exported, imported
from aegis.store.audit_log import Entry, canonical
from aegis.store.checkpoint import Checkpoint, digest
from aegis.store.evidence import Evidence, LedgerFile
from aegis.store.handing_over import coordinator_key
from aegis.store.home import Home
from aegis.store.merkle import Tree, leaf_hash
from aegis.store.note import Note, signed
from aegis.store.published import both_epsilons
from aegis.store.verification import Verified, verify

PLAN = {
    "task": "breast_cancer",
    "trust": "open",
    "federated.num_clients": "3",
    "federated.num_rounds": "4",
    "training.learning_rate": "0.1",
    "privacy.epsilon_budget": "2.0",
    "privacy.max_grad_norm": "1.0",
}


@lru_cache(maxsize=64)
def _counted(events, delta):
    return both_epsilons(events, delta)


def recount(events, delta):
    """Worked out once for all mutations."""
    return _counted(tuple(events), delta)


def checked(evidence: Evidence, known=None) -> Verified:
    return verify(evidence, known, recount)


@dataclass(frozen=True)
class Victim:
    home: Home
    run: str
    evidence: Evidence
    key: SigningKey
    whole: bytes

    @classmethod
    def made(cls, folder: Path) -> Victim:
        done = run(load_plan(None, PLAN).plan, home=folder, compare=False, audit=False)
        home = Home(folder)
        evidence = gathered(home, done.run)
        return cls(home, done.run, evidence, coordinator_key(home), exported(evidence))


def where(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


def covers(found: str, number: int, slack: int = 0) -> bool:
    """Whether ``entry 7`` or ``entries 5 to 9`` holds the number."""
    numbers = [int(text) for text in re.findall(r"\d+", found)]
    return found.startswith("entr") and numbers[0] - slack <= number <= numbers[-1] + slack


# --- the log, by somebody who can write the file ---


def _entries(evidence, entries):
    return replace(evidence, entries=tuple(entries))


def _renumbered(entries):
    return [Entry(at, one.data, one.leaf) for at, one in enumerate(entries, 1)]


def _with(entry: Entry, **fields) -> Entry:
    data = canonical({**json.loads(entry.data), **fields})
    return Entry(entry.number, data, leaf_hash(data))


def flip(rng, victim):
    entries = list(victim.evidence.entries)
    at = rng.randrange(len(entries))
    data = bytearray(entries[at].data)
    data[rng.randrange(len(data))] ^= rng.randrange(1, 256)
    entries[at] = replace(entries[at], data=bytes(data))
    return _entries(victim.evidence, entries), at + 1


def flip_leaf(rng, victim):
    entries = list(victim.evidence.entries)
    at = rng.randrange(len(entries))
    leaf = bytearray(entries[at].leaf)
    leaf[rng.randrange(32)] ^= rng.randrange(1, 256)
    entries[at] = replace(entries[at], leaf=bytes(leaf))
    return _entries(victim.evidence, entries), at + 1


def flip_and_hash(rng, victim):
    """The hash beside it is made to fit."""
    entries = list(victim.evidence.entries)
    at = rng.randrange(len(entries))
    fields = json.loads(entries[at].data)
    name = rng.choice([n for n in fields if n not in ("number", "event", "run", "time")])
    entries[at] = _with(entries[at], **{name: f"{fields[name]}!"})
    return _entries(victim.evidence, entries), at + 1


def delete(rng, victim):
    entries = list(victim.evidence.entries)
    at = rng.randrange(len(entries))
    del entries[at]
    return _entries(victim.evidence, _renumbered(entries)), at + 1


def insert(rng, victim):
    entries = list(victim.evidence.entries)
    at = rng.randrange(len(entries))
    forged = _with(entries[at], hospital="hospital_99")
    entries.insert(at, forged)
    named = where(f"entry ({at + 1}|{at + 2})$")  # the forged one, or the one it pushed away
    return _entries(victim.evidence, _renumbered(entries)), named


def reorder(rng, victim):
    entries = list(victim.evidence.entries)
    a, b = sorted(rng.sample(range(len(entries)), 2))
    entries[a], entries[b] = entries[b], entries[a]
    return _entries(victim.evidence, _renumbered(entries)), a + 1


def clock_back(rng, victim):
    entries = list(victim.evidence.entries)
    at = rng.randrange(1, len(entries))
    entries[at] = _with(entries[at], time="2020-01-01T00:00:00.000+00:00")
    return _entries(victim.evidence, entries), at + 1


# --- checkpoints ---


def _notes(evidence, notes):
    return replace(evidence, checkpoints=tuple(notes))


def flip_note(rng, victim):
    notes = list(victim.evidence.checkpoints)
    at = rng.randrange(len(notes))
    data = bytearray(notes[at].encode())
    data[rng.randrange(len(data))] ^= rng.randrange(1, 128)
    notes[at] = data.decode("utf-8", "replace")
    return _notes(victim.evidence, notes), where(rf"checkpoint {at + 1}$", rf"checkpoint {at + 2}$",
                                                 "entr(y|ies) ")  # fmt: skip


def drop_note(rng, victim):
    notes = list(victim.evidence.checkpoints)
    at = rng.randrange(len(notes))
    del notes[at]
    return _notes(victim.evidence, notes), where(rf"checkpoint {at + 1}$", "entry ")


def replay_note(rng, victim):
    notes = list(victim.evidence.checkpoints)
    a, b = sorted(rng.sample(range(len(notes)), 2))
    notes[b] = notes[a]
    return _notes(victim.evidence, notes), where(rf"checkpoint {b + 1}$")


def drop_cosignature(rng, victim):
    notes = list(victim.evidence.checkpoints)
    at = rng.randrange(len(notes))
    note = Note.parse(notes[at])
    kept = list(note.signatures)
    del kept[rng.randrange(1, len(kept))]
    notes[at] = str(Note(note.text, tuple(kept)))
    return _notes(victim.evidence, notes), where(rf"checkpoint {at + 1}$", rf"checkpoint {at + 2}$")


def swap_key(rng, victim):
    """Somebody else signs a checkpoint in the coordinator's name."""
    notes = list(victim.evidence.checkpoints)
    at = rng.randrange(len(notes))
    note = Note.parse(notes[at])
    forged = signed(note.text, note.signatures[0][0], SigningKey.generate())
    notes[at] = str(Note(note.text, forged.signatures + note.signatures[1:]))
    return _notes(victim.evidence, notes), where(rf"checkpoint {at + 1}$")


# --- the coordinator itself, with its own key ---


def signed_anew(victim, entries, keep_witnesses: bool):
    """All checkpoints over these entries at the old sizes, by the true coordinator's key."""
    tree, notes, previous = Tree(one.leaf for one in entries), [], b""
    for text in victim.evidence.checkpoints:
        old = Note.parse(text)
        size = min(Checkpoint.parse(old.text).size, len(entries))
        now = Checkpoint(Checkpoint.parse(old.text).origin, size, tree.root(size), previous)
        note = signed(now.text, now.origin, victim.key)
        if keep_witnesses or now.text == old.text:
            note = Note(note.text, note.signatures + old.signatures[1:])
        notes.append(str(note))
        previous = digest(note)
    return replace(victim.evidence, entries=tuple(entries), checkpoints=tuple(notes))


def fork(rng, victim):
    entries = list(victim.evidence.entries)
    at = rng.randrange(2, len(entries))
    for later in range(at, len(entries)):
        fields = json.loads(entries[later].data)
        if fields["event"] in ("RoundAggregated", "RoundClosed", "HospitalJoined"):
            entries[later] = _with(entries[later], examples=1, metrics={"accuracy": 0.99})
    entries[at] = _with(entries[at], hospital="nobody")
    return signed_anew(victim, entries, rng.random() < 0.5), None


def truncate(rng, victim):
    """Tail and checkpoints cut at an honest place: what is left is a valid log."""
    notes = victim.evidence.checkpoints[: rng.randrange(1, len(victim.evidence.checkpoints))]
    size = Checkpoint.parse(Note.parse(notes[-1]).text).size
    entries = victim.evidence.entries[:size]
    cut = replace(victim.evidence, entries=entries, checkpoints=notes)
    return cut, where(rf"entry {size + 1}$", "log", "checkpoint", "result", "entr")


def swap_roster(rng, victim):
    """All keys are the forger's: the witnesses' too."""
    entries = list(victim.evidence.entries)
    keys = {name: SigningKey.generate().public.hex for name in ("hospital_01", "hospital_02")}
    fields = json.loads(entries[0].data)
    entries[0] = _with(entries[0], hospitals=fields["hospitals"] | keys)
    return signed_anew(victim, entries, True), None


# --- ledgers, model, result ---


def _ledger(rng, victim, change):
    ledgers = dict(victim.evidence.ledgers)
    name = rng.choice(sorted(ledgers))
    rows = list(ledgers[name].rows)
    at = change(rows)
    ledgers[name] = LedgerFile(rows, ledgers[name].payloads)
    found = replace(victim.evidence, ledgers=ledgers)
    return found, where(rf"ledger of {name}(, row {at + 1})?$")


def ledger_flip(rng, victim):
    def change(rows):
        at = rng.randrange(len(rows))
        row, name = rows[at], rng.choice(["time", "kind", "run", "purpose", "detail", "sha256"])
        text = getattr(row, name) or "x"
        place = rng.randrange(len(text))
        other = chr(ord(text[place]) ^ rng.randrange(1, 32))
        rows[at] = replace(row, **{name: text[:place] + other + text[place + 1 :]})
        return at

    return _ledger(rng, victim, change)


def ledger_delete(rng, victim):
    def change(rows):
        at = rng.randrange(len(rows))
        del rows[at]
        return at

    return _ledger(rng, victim, change)


def ledger_reorder(rng, victim):
    def change(rows):
        a, b = sorted(rng.sample(range(len(rows)), 2))
        rows[a], rows[b] = rows[b], rows[a]
        return a

    return _ledger(rng, victim, change)


def ledger_forget(rng, victim):
    """Spending rubbed out at the end, the chain closed again."""

    def change(rows):
        at = rng.randrange(1, len(rows))
        del rows[at:]
        return at

    found, _ = _ledger(rng, victim, change)
    return found, where("ledger of ")


def ledger_cheaper(rng, victim):
    """One charge made smaller, and every hash after it made to fit."""

    def change(rows):
        at = rng.choice([n for n, row in enumerate(rows) if row.kind == "reserved"])
        charged = json.loads(rows[at].detail)
        charged["sigma_over_sensitivity"] = 10 * charged["sigma_over_sensitivity"]
        rows[at] = replace(rows[at], detail=canonical(charged).decode())
        previous = rows[at - 1].sha256
        for later in range(at, len(rows)):
            rows[later] = replace(rows[later], sha256=rows[later].chained(previous))
            previous = rows[later].sha256
        return at

    found, _ = _ledger(rng, victim, change)
    return found, where("ledger of ")


def _flipped(rng, data: bytes) -> bytes:
    changed = bytearray(data)
    changed[rng.randrange(len(changed))] ^= rng.randrange(1, 256)
    return bytes(changed)


def model_flip(rng, victim):
    return replace(victim.evidence, model=_flipped(rng, victim.evidence.model)), where("model$")


def card_flip(rng, victim):
    changed = _flipped(rng, victim.evidence.card.encode()).decode("utf-8", "replace")
    return replace(victim.evidence, card=changed), where("model card$")


def plan_flip(rng, victim):
    changed = _flipped(rng, victim.evidence.plan.encode()).decode("utf-8", "replace")
    return replace(victim.evidence, plan=changed), where("plan$")


def result_flip(rng, victim):
    changed = _flipped(rng, victim.evidence.result.encode()).decode("utf-8", "replace")
    return replace(victim.evidence, result=changed), where("result$")


# --- the exported file, byte by byte ---


def file_flip(rng, victim):
    return _flipped(rng, victim.whole), None


def file_delete(rng, victim):
    at = rng.randrange(len(victim.whole))
    return victim.whole[:at] + victim.whole[at + 1 :], None


def file_insert(rng, victim):
    at = rng.randrange(len(victim.whole))
    return victim.whole[:at] + bytes([rng.randrange(256)]) + victim.whole[at:], None


# --- the data root itself ---


def _copied(rng, victim, change: Callable[[Path], None]) -> Evidence:
    folder = victim.home.root.with_name(f"tampered-{rng.getrandbits(64):x}")
    try:
        shutil.copytree(victim.home.root, folder, ignore=shutil.ignore_patterns("*.png", "*.html"))
        change(folder)
        return gathered(Home(folder), victim.run)
    finally:
        shutil.rmtree(folder)


def _sql(path: Path, statement: str, values=()) -> None:
    db = sqlite3.connect(path)
    assert db.execute(statement, values).rowcount == 1, statement
    db.commit()
    db.close()


def row_without_log(rng, victim):
    """The database is changed, the log is not."""
    records = victim.evidence.database.records
    number = rng.randrange(1, len(records) + 1)
    rounds = len(victim.evidence.database.history)
    choices = [
        ("DELETE FROM events WHERE run=? AND number=?", (victim.run, number)),
        ("UPDATE events SET event=replace(event, ':', ': ') || ' ', kind=kind, time='2020' "
         "WHERE run=? AND number=?", (victim.run, number)),
        ("UPDATE training_history SET metrics='{\"accuracy\": 1.0}' WHERE run=? AND round=?",
         (victim.run, rng.randrange(1, rounds + 1))),
        ("UPDATE runs SET plan=replace(plan, '0.1', '0.2') WHERE run=?", (victim.run,)),
        ("UPDATE runs SET state=zeroblob(100) WHERE run=?", (victim.run,)),
        ("UPDATE runs SET started='2020' WHERE run=?", (victim.run,)),
        ("UPDATE runs SET started=CAST(x'ff' AS TEXT) WHERE run=?", (victim.run,)),
        ("UPDATE models SET card=replace(card, 'B', 'M') WHERE run=?", (victim.run,)),
    ]  # fmt: skip
    statement, values = rng.choice(choices)
    changed = _copied(
        rng, victim, lambda folder: _sql(folder / "federated_learning.db", statement, values)
    )
    return changed, where("database", "entry ", "plan")


def log_row(rng, victim):
    """The log's own file, through SQL."""
    number = rng.randrange(1, len(victim.evidence.entries) + 1)
    statement = rng.choice(
        [
            "DELETE FROM entries WHERE run=? AND number=?",
            "UPDATE entries SET entry=entry || ' ' WHERE run=? AND number=?",
            "UPDATE entries SET number=number+1000 WHERE run=? AND number=?",
        ]
    )
    values = (victim.run, number)
    changed = _copied(rng, victim, lambda f: _sql(f / "logs" / "audit.db", statement, values))
    return changed, number


def raw_byte(rng, victim):
    """One byte of any file: what the file then says is other, or the same."""
    files = [
        path
        for path in sorted(victim.home.root.rglob("*"))
        if path.suffix in (".db", ".safetensors") or path.name == "result.json"
    ]
    path = rng.choice(files).relative_to(victim.home.root)

    def change(folder):
        target = folder / path
        target.write_bytes(_flipped(rng, target.read_bytes()))

    return _copied(rng, victim, change), None


MUTATIONS = (
    flip, flip_leaf, flip_and_hash, delete, insert, reorder, clock_back, flip_note, drop_note,
    replay_note, drop_cosignature, swap_key, fork, truncate, swap_roster, ledger_flip,
    ledger_delete, ledger_reorder, ledger_forget, ledger_cheaper, model_flip, card_flip, plan_flip,
    result_flip, file_flip, file_delete, file_insert, row_without_log, log_row,
)  # fmt: skip
SLOW = (row_without_log, log_row)


def found_and_named(mutation, seed: int, victim: Victim) -> str:
    """The first fault's place; raises where the change is not found, or something else is named."""
    from aegis.errors import CheckFailed

    rng = random.Random(f"{mutation.__name__} {seed}")
    changed, expected = mutation(rng, victim)
    if isinstance(changed, bytes):
        if changed == victim.whole:
            return "unchanged"
        try:
            changed = imported(changed)
        except CheckFailed as error:
            return str(error)
    elif changed == victim.evidence:
        return "unchanged"
    elif mutation not in SLOW and rng.random() < 0.5:
        changed = replace(changed, database=None)  # as an export has it
    faults = checked(changed).faults
    assert faults, f"{mutation.__name__} {seed} was not found"
    first = faults[0].where
    if isinstance(expected, int):
        assert covers(first, expected), f"{mutation.__name__} {seed}: {first}, not {expected}"
    elif expected is not None:
        assert expected.match(first), f"{mutation.__name__} {seed}: {first}"
    return first


__all__ = ["MUTATIONS", "Row", "Victim", "checked", "found_and_named", "raw_byte"]
