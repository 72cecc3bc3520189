"""What was entered stays, in its order; what a crash kept out comes in once, the same bytes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from aegis.errors import CheckFailed, DataError, RunAborted
from aegis.events import HospitalAbsent, HospitalJoined, RoundClosed, RunStarted
from aegis.hospital.witness import LogWitness
from aegis.identity.keys import SigningKey
from aegis.messages import Absence, Refusal
from aegis.messages.witness import Cosigned
from aegis.store.audit_log import AuditLog, canonical
from aegis.store.checkpoint import OWN, Checkpoint, digest
from aegis.store.journal import Journal
from aegis.store.merkle import Tree, included, leaf_hash
from aegis.store.note import LOG, Note, Verifier, cosigned, line
from aegis.store.recording import Recording

ROOT = Path(__file__).parents[2]
NAMES = ("a", "b", "c")


@pytest.fixture
def log(tmp_path):
    log = AuditLog(tmp_path / "logs" / "audit.db")
    yield log
    log.close()


def joined(number):
    return HospitalJoined("run", f"hospital {number}", number, 1)


def closed(round):
    return RoundClosed("run", round, f"model {round}", {"accuracy": 0.5, "auc": None})


def test_an_entry_is_canonical_bytes_with_its_number_and_time(log):
    assert log.append(RunStarted("run", "heart", "hash", 16, 5, "open")) == 1
    (entry,) = log.entries("run")
    fields = json.loads(entry.data)
    assert canonical(fields) == entry.data
    assert fields == {
        "event": "RunStarted",
        "number": 1,
        "plan_sha256": "hash",
        "rounds": 5,
        "run": "run",
        "seed": 16,
        "task": "heart",
        "time": fields["time"],
        "trust": "open",
    }
    assert fields["time"].endswith("+00:00")
    assert entry.leaf == leaf_hash(entry.data)


def test_runs_have_logs_of_their_own_and_the_coordinator_has_one(log):
    for number in range(5):
        log(joined(number))
    log.append(joined(0), OWN)
    log.append(RunStarted("other", "heart", "hash", 16, 5, "open"))
    assert log.runs() == ["", "other", "run"]
    assert [log.size(run) for run in log.runs()] == [1, 1, 5]
    tree = Tree(entry.leaf for entry in log.entries("run"))
    assert log.root("run") == tree.root()
    proof = log.inclusion("run", 3)
    assert included(log.entries("run")[2].leaf, 2, 5, proof, log.root("run"))


def test_time_never_goes_back(tmp_path):
    times = iter(["2026-02-02", "2026-01-01", "2026-03-03"])
    log = AuditLog(tmp_path / "audit.db", lambda: next(times))
    for number in range(3):
        log.append(joined(number))
    found = [json.loads(entry.data)["time"] for entry in log.entries("run")]
    assert found == ["2026-02-02", "2026-02-02", "2026-03-03"]
    log.close()


def test_a_journal_is_entered_once_however_often_it_is_handed_in(log, tmp_path):
    journal = Journal(tmp_path / "db")
    journal.open_run("run", "heart", "{}", "hash", {})
    journal.tell("run", [joined(1), joined(2)])
    log.enter("run", journal.events("run"))
    before = log.entries("run")
    journal.tell("run", [joined(3)])
    for _ in range(3):
        log.enter("run", journal.events("run"))
    assert log.entries("run")[:2] == before
    assert log.size("run") == 3
    other = AuditLog(tmp_path / "another.db")
    other.enter("run", journal.events("run"))
    assert other.root("run") == log.root("run")
    other.close()
    journal.close()


def test_a_gap_is_refused_and_nothing_is_entered(log):
    record = {"event": "HospitalJoined", "run": "run"}
    with pytest.raises(CheckFailed, match="ends at 0"):
        log.enter("run", [(2, "2026", record)])
    assert log.size("run") == 0
    assert log.entries("run") == []


def test_two_processes_may_hold_one_log(tmp_path):
    path = tmp_path / "audit.db"

    def write(name):
        own = AuditLog(path)
        for number in range(20):
            own.append(HospitalJoined("run", f"{name} {number}", 1, 1))
        own.close()

    threads = [threading.Thread(target=write, args=(name,)) for name in "xyz"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = AuditLog.reading(path)
    fields = [json.loads(entry.data) for entry in log.entries("run")]
    assert [one["number"] for one in fields] == list(range(1, 61))
    assert len({one["hospital"] for one in fields}) == 60
    assert log.root("run") == Tree(leaf_hash(e.data) for e in log.entries("run")).root()
    log.close()


def test_a_file_that_is_no_log_or_is_not_there_is_refused(tmp_path):
    path = tmp_path / "audit.db"
    with pytest.raises(DataError, match="cannot be read"):
        AuditLog.reading(path)
    path.write_bytes(b"a letter, not a log" * 100)
    with pytest.raises(DataError, match="cannot be read"):
        AuditLog(path)
    assert path.read_bytes().startswith(b"a letter")


def test_a_log_that_cannot_be_written_says_so_and_keeps_what_it_has(log):
    log.append(joined(1))
    log._db.execute("PRAGMA query_only=ON")
    with pytest.raises(RunAborted, match="cannot be written"):
        log.append(joined(2))
    log._db.execute("PRAGMA query_only=OFF")
    assert log.append(joined(2)) == 2
    assert log.size("run") == 2


def test_the_log_is_synced_and_writes_ahead(log):
    log.append(joined(1))
    assert log._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert log._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_checkpoints_chain_and_a_log_that_has_not_grown_has_the_one_it_had(log):
    key = SigningKey.generate()
    log.append(joined(1))
    first = log.witnessed("run", log.checkpoint("run", key))
    assert log.checkpoint("run", key) == first
    log.append(joined(2))
    second = log.checkpoint("run", key)
    found = Checkpoint.parse(second.text)
    assert (found.size, found.root, found.previous) == (2, log.root("run"), digest(first))
    assert second.signed(Verifier(found.origin, key.public, LOG))
    log.witnessed("run", second)
    log.append(joined(3))
    stale = Note(second.text.replace("previous ", "previous A"), second.signatures)
    with pytest.raises((CheckFailed, DataError)):
        log.witnessed("run", stale)
    assert len(log.checkpoints("run")) == 2


# --- a run on record ---


class Watched:
    """A recording with three witnesses, over a journal of its own."""

    def __init__(self, folder, answers=None):
        self.key = SigningKey.from_raw(bytes(32))
        self.keys = {name: SigningKey.from_raw(name.encode() * 32) for name in NAMES}
        self.journal, self.log = Journal(folder / "db"), AuditLog(folder / "audit.db")
        if "run" not in self.journal.runs():
            self.journal.open_run("run", "heart", "{}", "hash", {})
        self.witnesses = {n: LogWitness(n, k, self.key.public) for n, k in self.keys.items()}
        self.answers = answers or (lambda name, request: self.witnesses[name].cosign(request))
        self.asked = []
        self.recording = self.again()

    def again(self):
        """As after a restart of the coordinator; the witnesses go on."""
        public = {name: key.public for name, key in self.keys.items()}
        recording = Recording(
            self.log, self.journal, "run", "plan", self.key, public, NAMES, self.ask
        )
        recording.begin()
        return recording

    def ask(self, requests):
        self.asked.append(dict(requests))
        return {name: self.answers(name, one) for name, one in requests.items()}

    def tell(self, *events):
        self.journal.tell("run", events)
        for event in events:
            self.recording(event)

    def cosigners(self, at=-1):
        return [name for name, _ in Note.parse(self.log.checkpoints("run")[at]).signatures][1:]

    def close(self):
        self.journal.close()
        self.log.close()


@pytest.fixture
def watched(tmp_path):
    watched = Watched(tmp_path)
    yield watched
    watched.close()


def test_every_event_is_entered_and_every_round_is_cosigned(watched):
    watched.tell(joined(1), closed(1))
    watched.tell(joined(2))
    watched.tell(closed(2))
    kinds = [json.loads(entry.data)["event"] for entry in watched.log.entries("run")]
    assert kinds == [
        "RosterFixed", "HospitalJoined", "RoundClosed", "HospitalJoined", "RoundClosed",
    ]  # fmt: skip
    assert len(watched.log.checkpoints("run")) == 2
    assert watched.cosigners(0) == watched.cosigners(1) == list(NAMES)
    assert [one.since for one in watched.asked[1].values()] == [3, 3, 3]


def test_witnesses_are_shown_which_model_the_round_ended_with(watched):
    watched.tell(joined(1), closed(1), joined(2))
    (request, *_) = watched.asked[-1].values()
    assert json.loads(request.closed)["model_sha256"] == "model 1"
    assert request.number == 3
    watched.witnesses["a"].check_model("run", 2, "model 1")
    with pytest.raises(CheckFailed, match="by the log"):
        watched.witnesses["a"].check_model("run", 2, "another")
    watched.recording = watched.again()
    watched.tell(closed(2))
    watched.witnesses["b"].check_model("run", 3, "model 2")


def test_a_recording_goes_on_where_a_crash_left_it(watched):
    watched.tell(joined(1), closed(1))
    watched.journal.tell("run", [joined(2), closed(2)])  # died before anybody was told
    watched.recording = watched.again()
    assert watched.log.size("run") == 5
    assert len(watched.log.checkpoints("run")) == 2
    watched.recording = watched.again()
    assert watched.log.size("run") == 5
    roster = [e for e in watched.log.entries("run") if b"RosterFixed" in e.data]
    assert len(roster) == 1


def test_witnesses_that_saw_more_than_the_coordinator_knows_are_asked_from_there(watched):
    watched.tell(closed(1))
    kept = watched.log.witnessed
    watched.log.witnessed = lambda *_: (_ for _ in ()).throw(RunAborted("died after they cosigned"))
    watched.journal.tell("run", [closed(2)])
    with pytest.raises(RunAborted):
        watched.recording(closed(2))
    watched.log.witnessed = kept
    watched.recording = watched.again()
    assert watched.cosigners() == list(NAMES)
    watched.tell(closed(3))
    assert watched.cosigners() == list(NAMES)
    assert "WitnessRefused" not in str(watched.journal.events("run"))


def test_who_is_away_is_left_out_and_who_refuses_is_put_on_record(watched, caplog):
    def answers(name, request):
        if name == "a":
            return Absence("a", "no answer")
        if name == "b":
            return Refusal("run", request.round, "b", "the log was forked")
        return Cosigned("run", request.round, "c", "— c AAAAAAAAAAAA\n", 0)

    watched.answers = answers
    watched.tell(closed(1))
    assert watched.cosigners() == []
    refused = [e for _, _, e in watched.journal.events("run") if e["event"] == "WitnessRefused"]
    assert [one["hospital"] for one in refused] == ["b", "c"]
    assert "forked" in refused[0]["reason"]
    assert "its key" in refused[1]["reason"]
    assert watched.log.size("run") == len(watched.journal.events("run"))
    assert "does not cosign" in caplog.text


def test_what_is_said_of_the_last_checkpoint_is_signed_too(watched):
    honest = watched.answers

    def answers(name, request):
        if name == "b":
            return Refusal("run", request.round, "b", "the log was forked")
        return honest(name, request)

    watched.tell(closed(1))
    watched.answers = answers
    note = watched.recording.finish(1)
    kinds = [json.loads(entry.data)["event"] for entry in watched.log.entries("run")]
    assert kinds[-1] == "WitnessRefused"
    assert f"\n{len(kinds)}\n" in note.text
    assert watched.cosigners() == ["a", "c"]


def test_who_was_silent_at_the_end_is_asked_again_until_more_than_half_cosigned(watched):
    honest, rests = watched.answers, []

    def answers(name, request):
        if name == "b" and not rests:
            return Refusal("run", request.round, "b", "the log was forked")
        return honest(name, request) if name == "b" or len(rests) > 2 else Absence(name, "")

    def waits():
        for number in range(5):
            rests.append(number)
            yield number

    watched.tell(closed(1))
    watched.answers = answers
    before = len(watched.asked)
    watched.recording.finish(1, waits())
    assert [sorted(asked) for asked in watched.asked[before:]] == [
        ["a", "b", "c"], ["a", "c"], ["a", "c"], ["a", "c"], ["a", "c"],
    ]  # fmt: skip
    assert rests == [0, 1, 2]
    assert watched.cosigners() == ["a", "c"]
    assert len(watched.log.checkpoints("run")) == 2


def test_who_stays_silent_is_asked_a_stated_number_of_times(watched):
    watched.tell(closed(1))
    watched.answers = lambda name, request: Absence(name, "")
    watched.tell(joined(2))
    before = len(watched.asked)
    watched.recording.finish(1, range(2))
    assert len(watched.asked) == before + 3
    assert watched.cosigners() == []


def test_who_refuses_while_the_silent_are_asked_again_is_on_record(watched):
    honest, rests = watched.answers, []

    def answers(name, request):
        if not rests:
            return Absence(name, "")
        if name == "a":
            return honest(name, request)
        return Refusal("run", request.round, name, "the log was forked")

    watched.tell(closed(1))
    watched.answers = answers
    watched.tell(joined(2))
    watched.recording.finish(1, (rests.append(one) or one for one in range(9)))
    entries = [json.loads(entry.data) for entry in watched.log.entries("run")]
    refused = [one for one in entries if one["event"] == "WitnessRefused"]
    assert [one["hospital"] for one in refused] == ["b", "c"]
    assert Checkpoint.parse(Note.parse(watched.log.checkpoints("run")[-1]).text).size == len(
        entries
    )
    assert watched.cosigners() == ["a"]
    assert len(rests) == 1  # the others cannot make it more than half


@pytest.mark.parametrize("size", [-1, 10**9])
def test_who_remembers_a_log_that_cannot_be_is_refused_and_the_others_go_on(watched, size):
    honest = watched.answers

    def answers(name, request):
        if name == "b":
            return Cosigned("run", request.round, name, "", size)
        return honest(name, request)

    watched.answers = answers
    watched.tell(closed(1))
    watched.tell(closed(2))
    assert watched.cosigners(0) == watched.cosigners(1) == ["a", "c"]
    refused = [e for _, _, e in watched.journal.events("run") if e["event"] == "WitnessRefused"]
    assert {one["reason"] for one in refused} == {f"it remembers a log of {size} entries"}
    watched.recording = watched.again()
    watched.recording.finish(2)
    watched.answers = honest
    watched.tell(closed(3))
    assert watched.cosigners() == list(NAMES)


def test_a_cosignature_from_before_the_last_one_is_not_kept(watched):
    """Else one hospital's clock would make an honest log fail its verification."""
    times = {"a": [5, 5, 6], "b": [5, 4, 4], "c": [5, 9, 8]}

    def answers(name, request):
        round = request.round
        note = Note.parse(request.checkpoint)
        signature = cosigned(note.text, name, watched.keys[name], times[name][round - 1])
        return Cosigned("run", round, name, line(signature), Checkpoint.parse(note.text).size)

    watched.answers = answers
    for round in (1, 2, 3):
        watched.tell(closed(round))
        watched.recording = watched.again()  # what it knows, it reads from the log
    assert [watched.cosigners(at) for at in range(3)] == [list(NAMES), ["a", "c"], ["a"]]
    refused = [e for _, _, e in watched.journal.events("run") if e["event"] == "WitnessRefused"]
    assert "before that of its last cosignature" in refused[0]["reason"]


def test_who_did_not_join_is_not_asked_to_cosign(watched):
    watched.tell(HospitalAbsent("run", 0, "c", "its policy lets no such plan in"), closed(1))
    assert sorted(watched.asked[-1]) == ["a", "b"]


def test_who_joins_later_is_asked_from_then_on(watched):
    watched.tell(HospitalAbsent("run", 0, "c", "it is not connected"), closed(1))
    watched.tell(HospitalJoined("run", "c", 10, 1), closed(2))
    assert [sorted(asked) for asked in watched.asked] == [["a", "b"], ["a", "b", "c"]]


def test_what_a_round_reads_does_not_grow_with_the_rounds_before_it(watched):
    """Else a long run would slow down as it goes."""
    read, events = [], watched.journal.events
    told = watched.log._db.set_trace_callback
    watched.journal.events = lambda run, after=0: _counted(read, events(run, after))
    asked: list[str] = []
    told(asked.append)
    costs = []
    for round in range(1, 31):
        before = len(read), len(asked)
        watched.tell(joined(round), closed(round))
        costs.append((len(read) - before[0], len(asked) - before[1]))
    told(None)
    assert costs[29] == costs[1]
    assert not [text for text in asked if text.startswith("SELECT note") and "LIMIT" not in text]


def _counted(read, found):
    read.extend(found)
    return found


def test_a_cosignature_of_another_hospital_is_not_kept(watched):
    honest = watched.answers

    def answers(name, request):
        found = honest("b", request) if name == "a" else honest(name, request)
        return Cosigned("run", request.round, name, found.cosignature, found.size)

    watched.answers = answers
    watched.tell(closed(1))
    assert watched.cosigners() == ["b", "c"]


def test_appending_takes_five_milliseconds_or_what_the_disk_needs_to_sync(log, tmp_path):
    """On a busy disk one sync alone takes longer, so it is measured beside."""

    def median(act, times=60):
        took = []
        for _ in range(times):
            began = time.perf_counter()
            act()
            took.append(time.perf_counter() - began)
        return sorted(took)[times // 2]

    with open(tmp_path / "beside", "ab") as file:

        def sync():
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())

        appending, syncing = median(lambda: log.append(joined(1))), median(sync)
    assert appending < max(0.005, 4 * syncing)


# --- kill -9 ---


def serve(path: str) -> None:
    """Appends for ever, and tells each number when it is on disk."""
    log = AuditLog(Path(path))
    while True:
        number = log.append(HospitalJoined("run", f"hospital {os.getpid()}", 1, 1))
        print(number, flush=True)


def killed_while_appending(path: Path, after: float) -> int:
    """The last number that was told."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.store.test_audit_log", str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        time.sleep(after)
        os.kill(process.pid, signal.SIGKILL)
        lines += process.stdout.readlines()
    return int([line for line in lines if line.endswith("\n")][-1])


def check_kills(folder: Path, kills: int) -> int:
    path, told = folder / "audit.db", 0
    for kill in range(kills):
        told = killed_while_appending(path, 0.003 * (kill % 7))
        log = AuditLog(path)
        numbers = [json.loads(entry.data)["number"] for entry in log.entries("run")]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) in (told, told + 1)  # one may be on disk that nobody was told of
        assert log.root("run") == Tree(leaf_hash(e.data) for e in log.entries("run")).root()
        log.close()
    return told


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path):
    assert check_kills(tmp_path, 3) >= 3


if __name__ == "__main__":
    serve(sys.argv[1])


def test_a_search_finds_what_holds_every_part_newest_first_and_page_by_page(log):
    for number in range(1, 8):
        log.append(joined(number))
    log.append(closed(1))
    log.append(RunStarted("other", "heart", "HASH", 16, 5, "open"), "other")
    total, found = log.search("run", ['"event":"HospitalJoined"'], most=3, skip=2)
    assert total == 7
    assert [entry.number for _, entry in found] == [5, 4, 3]
    assert log.search("run", ["hospital 2", "joined"])[0] == 1
    assert log.search("run", ["hospital 2", "closed"]) == (0, [])
    assert log.search(None, ["hash"])[1][0][0] == "other"  # whatever its case
    assert log.search(None)[0] == 9
    assert log.search("run", ["%"]) == (0, [])  # no pattern, just text
