"""Ten thousand changes, a hundred thousand events, and a death at every write of the log."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest

from aegis.events import HospitalJoined, RosterFixed, RoundClosed
from aegis.hospital.witness import LogWitness
from aegis.identity.keys import SigningKey
from aegis.messages.witness import Witness
from aegis.simulation.evidence import verify_home
from aegis.store.audit_log import AuditLog
from aegis.store.checkpoint import Checkpoint
from aegis.store.evidence import Evidence
from aegis.store.home import Home
from aegis.store.note import parse_line
from aegis.store.verification import verify
from tests.simulation.tampering import MUTATIONS, Victim, checked, found_and_named, raw_byte
from tests.store.test_audit_log import check_kills

ROOT = Path(__file__).parents[2]
CHANGES = 10_000
RAW = 2_000
EVENTS = 100_000
PLAN = """\
task: breast_cancer
trust: TRUST
federated: {num_clients: 3, num_rounds: 3}
training: {learning_rate: 0.1}
"""


@pytest.fixture(scope="module")
def victim():
    with tempfile.TemporaryDirectory() as folder:
        yield Victim.made(Path(folder) / "home")


@pytest.mark.prove
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_ten_thousand_changes_are_all_found_and_named(victim, mutation, measured):
    """The same number of each kind; a change that gave back what was there does not count."""
    share = -(-CHANGES // len(MUTATIONS))

    def count():
        began, found, seed, named = time.perf_counter(), 0, 0, Counter()
        while found < share:
            where = found_and_named(mutation, seed, victim)
            seed += 1
            if where != "unchanged":
                found += 1
                named[where.split()[0]] += 1
        return {"found": found, "named": dict(named), "seconds": time.perf_counter() - began}

    told = measured(f"{mutation.__name__}", count)
    print(f"\n{mutation.__name__}: {told['found']} of {share} found, named {told['named']}")
    assert told["found"] == share


@pytest.mark.prove
def test_a_changed_byte_of_any_file_is_found_or_holds_nothing(victim, measured):
    def count():
        found: Counter[str] = Counter()
        for seed in range(RAW):
            changed, _ = raw_byte(random.Random(seed), victim)
            if changed == victim.evidence:
                found["holds nothing"] += 1
            else:
                assert checked(changed).faults, f"byte {seed} was not found"
                found["found"] += 1
        return dict(found)

    told = measured("raw bytes", count)
    print(f"\n{RAW} single bytes of databases, ledgers, model and result: {told}")
    assert sum(told.values()) == RAW


@pytest.mark.prove
def test_a_hundred_thousand_events_are_verified_in_ten_seconds(tmp_path, measured):
    def count():
        key, names = SigningKey.generate(), [f"hospital_{n:02}" for n in range(8)]
        keys = {name: SigningKey.generate() for name in names}
        log, clock = AuditLog(tmp_path / "audit.db"), iter(range(EVENTS + 1))
        records = []
        roster = RosterFixed("run", key.public.hex, {n: k.public.hex for n, k in keys.items()},
                             tuple(names))  # fmt: skip
        log.append(roster)
        stamp = json.loads(log.entries("run")[0].data)["time"]
        from aegis.events import as_json

        for number in range(2, EVENTS + 1):
            event = (
                RoundClosed("run", number // 1000, "ab" * 32, {"accuracy": 0.9, "auc": 0.95})
                if number % 1000 == 0
                else HospitalJoined("run", names[number % 8], next(clock), 10)
            )
            records.append((number, stamp, as_json(event)))
        witnesses = {n: LogWitness(n, k, key.public) for n, k in keys.items()}
        began, since = time.process_time(), 0
        for at in range(0, len(records), 1000):
            log.enter("run", records[at : at + 1000])
            note = log.checkpoint("run", key)
            size = Checkpoint.parse(note.text).size
            proof = log.consistency("run", since, size)
            request = Witness("run", "plan", at // 1000, str(note), since, proof)
            log.witnessed(
                "run",
                note,
                [parse_line(one.cosign(request).cosignature) for one in witnesses.values()],
            )
            since = size
        writing = time.process_time() - began
        began, by_the_wall = time.process_time(), time.perf_counter()
        evidence = Evidence("run", log.entries("run"), log.checkpoints("run"))
        found = verify(evidence)
        verifying = time.process_time() - began
        by_the_wall = time.perf_counter() - by_the_wall
        faults = [f for f in found.faults if "round" not in f.what]  # no RoundOpened between
        assert not faults
        assert (found.size, found.checkpoints, len(found.witnesses)) == (EVENTS, 100, 8)
        log.close()
        return {"writing": writing, "verifying": verifying, "verifying by the wall": by_the_wall}

    told = measured("a hundred thousand events", count)
    print(f"\n{EVENTS} events, 100 checkpoints with 8 witnesses, processor seconds: {told}")
    assert told["verifying"] <= 10


@pytest.mark.prove
def test_sixty_kills_while_appending_lose_nothing_that_was_acknowledged(tmp_path):
    assert check_kills(tmp_path, 60) > 60


def auditing(home: Path, plan: Path, where: str, number: int, *more: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.prove.auditing", home, plan, where, str(number), *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout.strip() or done.stderr[-2000:]


def check_every_death(folder: Path, trust: str, points: list[tuple[str, int]] | None = None) -> int:
    plan = folder / "plan.yaml"
    plan.write_text(PLAN.replace("TRUST", trust))
    code, told = auditing(folder / "whole", plan, "never", 0)
    assert code == 0, told
    writes, model = int(told.split()[0]), told.split()[1]
    size = json.loads(told.split(maxsplit=2)[2])["size"]
    every = [(where, n) for n in range(1, writes + 1) for where in ("before", "inside", "after")]
    for where, number in points or every:
        home = folder / f"{where}-{number}"
        code, told = auditing(home, plan, where, number)
        assert code == -signal.SIGKILL, f"{where} {number}: {told}"
        code, told = auditing(home, plan, "never", 0, "--resume")
        assert code == 0, told
        summary = json.loads(told.split(maxsplit=2)[2])
        assert told.split()[1] == model, f"killed {where} write {number}"
        assert summary["verified"] is True, f"killed {where} write {number}: {summary}"
        assert summary["witnesses"] == 3
        # An attempt at a sealed sum that was cut off is opened again; nothing else is told twice.
        assert summary["size"] == size or trust == "masked"
        for found in verify_home(Home(home)):
            assert found.holds, f"killed {where} write {number}: {found.faults[0]}"
    return len(points or every)


@pytest.mark.prove
@pytest.mark.parametrize("trust", ["open", "masked"])
def test_a_run_killed_at_any_write_of_its_log_resumes_and_verifies(trust, tmp_path):
    died = check_every_death(tmp_path, trust)
    print(f"\n{trust}: killed {died} times, {died} resumed runs verify with the same model")
    assert died > 40


def test_a_run_killed_while_its_log_is_written_resumes_and_verifies(tmp_path):
    check_every_death(tmp_path, "open", [("inside", 1), ("before", 12)])
