"""Verification of small logs made by hand: keys, coverage, lineage, signatures on updates."""

import json
from dataclasses import replace

import pytest

from aegis.events import (
    KeyChanged,
    ModelStored,
    RosterFixed,
    RoundClosed,
    RoundOpened,
    RunEnded,
    RunStarted,
    SumOpened,
)
from aegis.hospital.witness import LogWitness
from aegis.identity.identity import KEY_CHANGE
from aegis.identity.keys import SigningKey
from aegis.messages.witness import Witness
from aegis.secagg.commitment import signed_text
from aegis.secagg.context import DOMAIN, Context
from aegis.store.audit_log import AuditLog, canonical
from aegis.store.checkpoint import Checkpoint
from aegis.store.evidence import Evidence
from aegis.store.note import parse_line
from aegis.store.verification import verify

NAMES = ("a", "b", "c")
KEYS = {name: SigningKey.from_raw(name.encode() * 32) for name in NAMES}
COORDINATOR = SigningKey.from_raw(bytes(32))
PUBLIC = {name: key.public.hex for name, key in KEYS.items()}
ROSTER = RosterFixed("run", COORDINATOR.public.hex, PUBLIC, NAMES)
STARTED = RunStarted("run", "heart", "p" * 64, 16, 2, "open")


def opened(round, model):
    return RoundOpened("run", round, 1, NAMES, model, 0.1)


def closed(round, model, following=""):
    return RoundClosed("run", round, model, {"auc": 0.9}, next_sha256=following)


GOOD = (
    ROSTER,
    STARTED,
    opened(1, "start"),
    closed(1, "one"),
    opened(2, "one"),
    closed(2, "two"),
    RunEnded("run", "completed", "done", 2, 2, "two"),
    ModelStored("run", "two", "", "card"),
)


class Made:
    """A log of these events, a checkpoint after each closed round and at the end."""

    def __init__(self, folder, events, key=COORDINATOR, keys=None, names=NAMES):
        self.log = AuditLog(folder / "audit.db")
        self.key, self.since = key, 0
        self.watching = {
            name: LogWitness(name, (keys or KEYS)[name], key.public, clock=lambda: 1000)
            for name in names
        }
        for event in events:
            self.log.append(event, "run")
            if isinstance(event, RoundClosed):
                self.sign()
        self.sign()

    def sign(self):
        note = self.log.checkpoint("run", self.key)
        size = Checkpoint.parse(note.text).size
        proof = self.log.consistency("run", self.since, size)
        request = Witness("run", "plan", 1, str(note), self.since, proof)
        signatures = [parse_line(w.cosign(request).cosignature) for w in self.watching.values()]
        self.log.witnessed("run", note, signatures)
        self.since = size

    @property
    def evidence(self):
        try:
            entries, notes = self.log.entries("run"), self.log.checkpoints("run")
            return Evidence("run", entries, notes, open=True)
        finally:
            self.log.close()


def faults(folder, events, **more):
    return [str(fault) for fault in verify(Made(folder, events, **more).evidence).faults]


def test_a_good_log_holds(tmp_path):
    found = verify(Made(tmp_path, GOOD).evidence)
    assert found.holds, found.faults
    assert found.complete
    assert found.witnesses == NAMES
    assert json.dumps(found.as_json())


@pytest.mark.parametrize(
    ("place", "event", "expected"),
    [
        (4, opened(2, "other"), "entry 5: it starts from another model"),
        (4, opened(3, "one"), "entry 5: round 3 does not follow round 1"),
        (5, closed(3, "two"), "entry 6: round 3 does not follow round 1"),
        (6, RunEnded("run", "completed", "", 2, 2, "x"), "entry 7: its model is not the one"),
        (7, ModelStored("run", "x", "", ""), "entry 8: the stored model is not the one"),
        (7, ModelStored("run", "two", "p" * 64, ""), "entry 8: training did not start from"),
    ],
)
def test_a_broken_line_of_models_is_named(tmp_path, place, event, expected):
    events = list(GOOD)
    events[place] = event
    assert faults(tmp_path, events)[0].startswith(expected)


def test_private_averages_are_released_while_the_next_round_starts_elsewhere(tmp_path):
    events = list(GOOD)
    events[3], events[4] = closed(1, "average", "iterate"), opened(2, "iterate")
    assert faults(tmp_path, events) == []


def test_an_aborted_run_that_went_on_has_one_line(tmp_path):
    aborted = RunEnded("run", "aborted", "quorum", 0, 0, "")
    events = [*GOOD[:5], aborted, opened(2, "one"), *GOOD[5:]]
    assert faults(tmp_path, events) == []


def test_too_few_witnesses_at_the_end_are_a_fault_and_some_absent_are_not(tmp_path):
    (tmp_path / "few").mkdir()
    (tmp_path / "enough").mkdir()
    few = faults(tmp_path / "few", GOOD, names=("a",))
    assert few == ["checkpoint 3: 1 of 3 hospitals cosigned it; more than half must"]
    assert faults(tmp_path / "enough", GOOD, names=("a", "b")) == []


def test_a_log_without_keys_or_with_two_rosters_is_a_fault(tmp_path):
    for name, events, expected in (
        ("none", GOOD[1:], "log: no entry says whose keys sign it"),
        ("two", (*GOOD[:2], ROSTER, *GOOD[2:]), "entry 3: the keys were replaced, not handed on"),
    ):
        (tmp_path / name).mkdir()
        assert faults(tmp_path / name, events)[0] == expected


def changed(name, new, signer):
    old = KEYS.get(name, COORDINATOR).public.hex
    signature = signer.sign(KEY_CHANGE, new.public.raw).hex()
    return KeyChanged("run", name, old, new.public.hex, signature)


def test_a_key_that_the_old_one_handed_on_counts_from_then_on(tmp_path):
    new = SigningKey.generate()
    made = Made(tmp_path, (*GOOD[:3], changed("b", new, KEYS["b"])), names=())
    made.watching = {
        name: LogWitness(name, new if name == "b" else KEYS[name], COORDINATOR.public)
        for name in NAMES
    }
    made.since = 0
    for event in GOOD[3:]:
        made.log.append(event)
        if isinstance(event, RoundClosed):
            made.sign()
    made.sign()
    found = verify(made.evidence)
    assert found.holds, found.faults
    assert found.keys["b"] == new.public.fingerprint


def test_a_key_that_somebody_else_changed_is_a_fault(tmp_path):
    new = SigningKey.generate()
    events = (*GOOD[:2], changed("b", new, new), *GOOD[2:])
    assert faults(tmp_path, events)[0] == (
        "entry 3: a key was changed without the old one's signature"
    )


def test_what_went_into_a_sealed_sum_was_signed_by_its_hospital(tmp_path):
    context = Context("run", 1, 2, "train", "r" * 64, "p" * 64, "s" * 64)
    digests = {name: bytes([at]) * 32 for at, name in enumerate(NAMES)}
    signatures = {
        name: KEYS[name].sign(DOMAIN, signed_text(context, name, digests[name])).hex()
        for name in NAMES
    }
    commitments = {name: digest.hex() for name, digest in digests.items()}
    good = SumOpened("run", 1, "train", NAMES, (3,), commitments, signatures, 2, "r" * 64, "s" * 64)
    for name, event, expected in (
        ("good", good, []),
        ("round", replace(good, attempt=1), list(NAMES)),
        ("digest", replace(good, commitments={**commitments, "b": "ff" * 32}), ["b"]),
        ("none", replace(good, signatures={"a": signatures["a"]}), ["b", "c"]),
    ):
        (tmp_path / name).mkdir()
        events = (*GOOD[:3], event, *GOOD[3:])
        found = [text.split()[2] for text in faults(tmp_path / name, events)]
        assert found == expected, name


def test_signed_entries_that_lack_what_their_kind_has_are_a_fault_not_a_crash(tmp_path):
    for kind in (
        "RoundOpened",
        "RunEnded",
        "BudgetSpent",
        "SumOpened",
        "RosterFixed",
        "KeyChanged",
    ):
        folder = tmp_path / kind
        folder.mkdir()
        log = AuditLog(folder / "audit.db")
        log.append(ROSTER, "run")
        log.enter("run", [(2, "2999", {"event": kind, "run": "run"})])
        log.witnessed("run", log.checkpoint("run", COORDINATOR))
        found = verify(Evidence("run", log.entries("run"), log.checkpoints("run"), ledgers={}))
        log.close()
        assert not found.holds, kind
        assert canonical(found.as_json())


def test_every_check_is_named_with_what_it_found_or_why_it_was_not_made(tmp_path):
    sound = verify(Made(tmp_path / "sound", GOOD).evidence)
    names = [check.name for check in sound.checks]
    assert len(set(names)) == len(names)
    assert not [fault for check in sound.checks for fault in check.faults]
    missing = {check.name for check in sound.checks if check.absent}
    assert {"ledgers", "witnesses"} <= missing
    assert not {"entries", "checkpoints", "lineage", "commitments"} & missing
    broken = verify(replace(Made(tmp_path / "broken", GOOD).evidence, plan="another plan"))
    told = {check.name: check.faults for check in broken.checks if check.faults}
    assert {fault for faults in told.values() for fault in faults} == set(broken.faults)
    assert "lineage" in told
