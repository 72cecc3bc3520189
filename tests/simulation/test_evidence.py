"""Whatever is changed after a run is found, and the first changed thing is named."""

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from aegis.errors import BadInput, CheckFailed
from aegis.events import Exported, KeyChanged, RunSealed
from aegis.identity.keyfile import Keys
from aegis.identity.keys import SigningKey
from aegis.simulation import local
from aegis.simulation.evidence import gathered, logged, verify_home
from aegis.simulation.evidence_file import exported, imported
from aegis.simulation.seals import keys_of_run
from aegis.store.audit_log import AuditLog, canonical
from aegis.store.checkpoint import OWN
from aegis.store.home import Home
from aegis.store.outcome import enter_own
from aegis.store.verification import verify
from tests.simulation.tampering import MUTATIONS, SLOW, Victim, checked, found_and_named


@pytest.fixture(scope="module")
def victim():
    with tempfile.TemporaryDirectory() as folder:
        yield Victim.made(Path(folder) / "home")


def test_a_finished_run_verifies_and_its_keys_are_gone(victim):
    found = checked(victim.evidence)
    assert found.holds, found.faults
    assert found.complete
    assert found.size == len(victim.evidence.entries)
    assert found.checkpoints == 5
    assert found.witnesses == ("hospital_01", "hospital_02", "hospital_03")
    assert not keys_of_run(victim.home.results(victim.run)).exists()
    assert [one.holds for one in verify_home(victim.home)] == [True, True]


def test_the_result_says_what_the_log_is(victim):
    result = json.loads(victim.evidence.result)
    found = checked(victim.evidence)
    told = result["audit_log"]
    assert told["verified"] is True
    assert (told["size"], told["root"]) == (found.size, found.root)
    assert (told["checkpoints"], told["witnesses"]) == (5, 3)


@pytest.mark.parametrize("mutation", [m for m in MUTATIONS if m not in SLOW])
def test_every_change_is_found_and_named(victim, mutation):
    for seed in range(200 // len(MUTATIONS) + 1):
        found_and_named(mutation, seed, victim)


@pytest.mark.parametrize("mutation", SLOW)
def test_every_change_of_a_stored_row_is_found_and_named(victim, mutation):
    for seed in range(8):
        found_and_named(mutation, seed, victim)


@pytest.mark.parametrize("spoilt", [b"\xff" * 8192, b"no database"])
def test_a_database_that_cannot_be_read_is_a_fault_and_the_rest_is_still_looked_at(
    victim, tmp_path, spoilt
):
    home = Home(tmp_path / "home")
    shutil.copytree(victim.home.root, home.root)
    home.database.write_bytes(spoilt)
    found = checked(gathered(home, victim.run))
    assert "database" in {fault.where for fault in found.faults}
    assert found.size == len(victim.evidence.entries)


def test_an_export_verifies_where_nothing_else_is(victim):
    evidence = imported(victim.whole)
    assert exported(evidence) == victim.whole
    found = checked(evidence)
    assert found.holds, found.faults
    assert found.root == checked(victim.evidence).root


def test_what_is_kept_elsewhere_is_not_missed_in_an_export(victim):
    kept = replace(victim.evidence, ledgers=None, seen=None, database=None)
    evidence = imported(exported(kept))
    assert (evidence.ledgers, evidence.seen) == (None, None)
    assert checked(evidence).holds


def test_an_export_holds_no_answer_and_no_private_key(victim):
    text = victim.whole.decode()
    assert victim.key.raw.hex() not in text
    assert "payload" not in text


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"null", b'{"evidence": {}}', b"\xff"])
def test_what_is_no_export_is_said_to_be_none(text):
    with pytest.raises(CheckFailed, match="no audit export"):
        imported(text)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("run", 5),
        ("checkpoints", 5),
        ("checkpoints", [["a"]]),
        ("plan", 5),
        ("result", 5),
        ("card", "\ud800"),
        ("seen", {"hospital_01": [float("inf"), ""]}),
        ("seal", {"number": "1", "entry": "", "proof": [], "checkpoint": 5, "handovers": []}),
    ],
)
def test_a_part_of_another_kind_makes_it_none(victim, part, value):
    document = json.loads(victim.whole)
    document["evidence"][part] = value
    with pytest.raises(CheckFailed, match="no audit export"):
        imported(json.dumps(document).encode())


def test_a_roster_with_a_name_that_no_note_can_hold_is_a_fault(victim):
    document = json.loads(victim.whole)
    body = document["evidence"]
    roster = json.loads(body["entries"][0])
    for name in ("", "\ud800"):
        roster["hospitals"][name] = roster["coordinator"]
        roster["witnesses"] = [*roster["witnesses"], name]
        body["entries"][0] = canonical(roster).decode()
        found = checked(imported(json.dumps(document).encode()))
        assert any("holds no keys" in str(fault) for fault in found.faults), found.faults
        roster["witnesses"].pop()


def test_a_log_made_up_as_a_whole_is_found_by_who_knows_a_key(victim):
    keys = checked(victim.evidence).keys
    assert checked(victim.evidence, {"coordinator": keys["coordinator"]}).holds
    assert checked(victim.evidence, {"hospital_02": keys["hospital_02"]}).holds
    other = SigningKey.generate().public.fingerprint
    for name in ("coordinator", "hospital_01"):
        found = checked(victim.evidence, {name: other})
        assert [fault.where for fault in found.faults] == ["keys"]
        assert "not the one you know" in str(found.faults[0])
    assert not checked(victim.evidence, {"hospital_99": other}).holds


def test_a_missing_ledger_seal_or_memory_is_missed(victim):
    evidence = victim.evidence
    ledgers = {name: rows for name, rows in evidence.ledgers.items() if name != "hospital_02"}
    for changed, where in (
        (replace(evidence, ledgers=ledgers), "ledger of hospital_02"),
        (replace(evidence, seal=None), "seal"),
        (replace(evidence, seen={}), "witness hospital_01"),
        (replace(evidence, unreadable=(("log", "torn"),)), "log"),
    ):
        assert checked(changed).faults[0].where == where


def test_a_deleted_log_is_missed(victim, tmp_path):
    shutil.copytree(victim.home.root, tmp_path / "home")
    home = Home(tmp_path / "home")
    home.audit_log.unlink()
    assert logged(home) == [victim.run]
    (found,) = verify_home(home)
    assert not found.holds
    with pytest.raises(BadInput, match="no audit log"):
        verify_home(Home(tmp_path))


def test_no_run_ends_twice_in_the_coordinators_own_log(victim, tmp_path):
    shutil.copytree(victim.home.root, tmp_path / "home")
    home = Home(tmp_path / "home")
    log = AuditLog(home.audit_log)
    enter_own(log, victim.key, Exported(victim.run, "evidence", "00"))
    assert checked(gathered(home, OWN)).holds
    assert checked(gathered(home, victim.run)).holds
    last = json.loads(log.entries(OWN)[1].data)
    fields = {n: last[n] for n in RunSealed.__dataclass_fields__}
    enter_own(log, victim.key, RunSealed(**{**fields, "size": 1}))
    log.close()
    assert "another end before" in str(checked(gathered(home, OWN)).faults[0])


def test_a_finished_run_that_is_resumed_still_verifies(victim, tmp_path):
    shutil.copytree(victim.home.root, tmp_path / "home")
    again = local.resume(victim.run, home=tmp_path / "home")
    assert again.document["audit_log"]["verified"] is True
    assert again.document["audit_log"]["root"] == checked(victim.evidence).root
    assert all(one.holds for one in verify_home(Home(tmp_path / "home")))


def test_an_unknown_accountant_leaves_epsilon_out_and_a_wrong_one_is_caught(victim):
    from aegis.store.published import renyi_only

    assert verify(victim.evidence, recount=renyi_only).holds
    found = verify(victim.evidence, recount=lambda events, delta: (9.0, 9.0))
    assert "its ledger comes to 9.0" in str(found.faults[0])


def test_a_run_still_verifies_after_the_coordinator_changed_its_key(victim, tmp_path):
    shutil.copytree(victim.home.root, tmp_path / "home")
    home = Home(tmp_path / "home")
    keys = Keys(home.keys)
    rotated = keys.read("coordinator").rotated(1_800_000_000)
    keys.write(rotated, force=True)
    handed = rotated.rotations[-1]
    log = AuditLog(home.audit_log)
    old, new = handed.old.signing.hex, handed.new.signing.hex
    log.append(KeyChanged("", "", old, new, handed.handover.hex()), OWN)
    log.witnessed(OWN, log.checkpoint(OWN, rotated.signing))
    log.close()
    local.resume(victim.run, home=home.root)  # its last word is now signed by the new key
    evidence = gathered(home, victim.run)
    assert len(evidence.seal.handovers) == 1
    assert checked(evidence).holds, checked(evidence).faults
    assert checked(imported(exported(evidence))).holds
    assert checked(gathered(home, OWN)).holds
    forged = ((SigningKey.generate().public.hex, evidence.seal.handovers[0][1]),)
    changed = replace(evidence, seal=replace(evidence.seal, handovers=forged))
    assert "without the old one's signature" in str(checked(changed).faults[0])
