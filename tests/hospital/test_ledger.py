"""The ledger: charged before computed, stored before sent, never refunded, never forgotten."""

import multiprocessing
import os
import sqlite3
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import CheckFailed, DataError, RunAborted
from aegis.hospital.ledger import Exhausted, Head, Ledger, Reservation
from aegis.privacy.accounting import GaussianRelease, LaplaceRelease, PoissonGaussian
from aegis.privacy.dpgd import plan_rounds
from aegis.privacy.filters import Cap
from tests.hospital.dying import DATA, DELTA, MortalLedger, Trial

CAP = Cap(4.0, DELTA)
EVENT = GaussianRelease(5.0)
KEY = ("run", 1, "train")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "privacy" / "ledger.db"


@pytest.fixture
def ledger(path):
    opened = Ledger.open(path, DATA)
    yield opened
    opened.close()


@given(st.integers(0, 2**63), st.integers(0, 4))
@settings(max_examples=200, deadline=None)
def test_no_schedule_and_no_death_overspends_or_sends_two_answers(tmp_path_factory, seed, lives):
    trial = Trial(tmp_path_factory.mktemp("trial"), seed)
    trial.play(lives)
    trial.check()


class Generous(MortalLedger):
    def reserve(self, run, round, purpose, event, cap, run_cap=None):
        return super().reserve(run, round, purpose, event, Cap(9e9, DELTA), run_cap)


class Forgetful(MortalLedger):
    def payload(self, run, round, purpose):
        return None

    def store(self, run, round, purpose, payload):
        if super().payload(run, round, purpose) is None:
            super().store(run, round, purpose, payload)


@pytest.mark.parametrize("broken", [Generous, Forgetful])
def test_a_ledger_that_breaks_the_rules_would_be_caught(tmp_path_factory, broken):
    caught = 0
    for seed in range(20):
        trial = Trial(tmp_path_factory.mktemp("trial"), seed, broken)
        try:
            trial.play(2)
            trial.check()
        except AssertionError:
            caught += 1
    assert caught > 9


def test_the_charge_comes_first(ledger):
    with pytest.raises(DataError, match="never reserved"):
        ledger.store(*KEY, b"noised")
    assert ledger.reserve(*KEY, EVENT, CAP) == Reservation(*KEY, EVENT, repeated=False)
    assert ledger.payload(*KEY) is None
    ledger.store(*KEY, b"noised")
    assert ledger.payload(*KEY) == b"noised"


def test_a_question_asked_again_costs_nothing_and_gets_the_same_bytes(ledger):
    ledger.reserve(*KEY, EVENT, CAP)
    ledger.store(*KEY, b"noised")
    assert ledger.reserve(*KEY, EVENT, CAP).repeated
    ledger.store(*KEY, b"noised")
    assert len(ledger.rows()) == 3
    with pytest.raises(DataError, match="one question gets one answer"):
        ledger.store(*KEY, b"other noise")
    assert ledger.payload(*KEY) == b"noised"


def test_the_price_of_a_question_cannot_change(ledger):
    ledger.reserve(*KEY, EVENT, CAP)
    with pytest.raises(DataError, match="cannot be changed"):
        ledger.reserve(*KEY, GaussianRelease(6.0), CAP)


def test_rounds_runs_and_purposes_are_charged_apart(ledger):
    for key in (KEY, ("run", 2, "train"), ("other", 1, "train"), ("run", 1, "statistics")):
        assert not ledger.reserve(*key, EVENT, CAP).repeated
    assert len(ledger.events()) == 4
    assert len(ledger.events("run")) == 3


def test_the_last_charge_of_a_run_is_that_of_its_latest_round_with_one(ledger):
    assert ledger.last_reserved("run", "train") is None
    for number in (1, 2, 5):
        ledger.reserve("run", number, "train", GaussianRelease(5.0 + number), CAP)
    ledger.reserve("run", 6, "statistics", GaussianRelease(50.0), CAP)
    ledger.reserve("other", 7, "train", GaussianRelease(60.0), CAP)
    assert ledger.last_reserved("run", "train") == GaussianRelease(10.0)


def test_an_exhausted_ledger_says_why_and_charges_nothing(ledger):
    for number in range(100):
        found = ledger.reserve("run", number, "train", EVENT, CAP)
        if isinstance(found, Exhausted):
            break
        ledger.store("run", number, "train", bytes([number]))
    before = ledger.rows()
    assert isinstance(ledger.reserve("run", 99, "train", EVENT, CAP), Exhausted)
    assert ledger.rows() == before
    assert "these data have spent epsilon 3.9" in found.reason
    assert "of 4 at delta 1e-05" in found.reason
    assert found.spent <= 4.0
    with pytest.raises(DataError):
        ledger.store("run", 99, "train", b"raw")
    assert ledger.reserve("run", 0, "train", EVENT, CAP).repeated  # what is paid stays paid
    assert ledger.payload("run", 0, "train") == b"\0"


def test_a_cheaper_release_may_still_fit(ledger):
    while isinstance(ledger.reserve("run", len(ledger.rows()), "train", EVENT, CAP), Reservation):
        pass
    assert isinstance(ledger.reserve("run", 0, "sums", GaussianRelease(60.0), CAP), Reservation)


def test_the_cap_of_the_run_is_kept_exactly_for_a_gaussian_plan(ledger):
    schedule = plan_rounds(455, 30, 1, 1.0, DELTA)
    run_cap = Cap(1.0, DELTA)
    for number, event in enumerate(schedule.events):
        assert isinstance(ledger.reserve("run", number, "train", event, CAP, run_cap), Reservation)
    more = ledger.reserve("run", 99, "train", GaussianRelease(1e3), CAP, run_cap)
    assert isinstance(more, Exhausted)
    assert more.reason.startswith("the run run has spent epsilon 1 of 1")
    another = ledger.reserve("next", 1, "train", EVENT, CAP, run_cap)
    assert isinstance(another, Reservation)
    assert ledger.spent(DELTA, "run").pld == pytest.approx(1.0, rel=1e-4)


def test_both_figures_are_given(ledger):
    nothing = ledger.spent(DELTA)
    assert (nothing.rdp, nothing.pld, nothing.releases) == (0.0, 0.0, 0)
    for number, event in enumerate([EVENT, LaplaceRelease(5.0), PoissonGaussian(1.0, 0.1, 5)]):
        ledger.reserve("run", number, "train", event, Cap(20.0, DELTA))
    spent = ledger.spent(DELTA)
    assert 0 < spent.pld <= spent.rdp <= 1.3 * spent.pld
    assert spent.releases == 3


def test_a_ledger_outlives_its_process(path):
    first = Ledger.open(path, DATA)
    first.reserve(*KEY, EVENT, CAP)
    first.store(*KEY, b"noised")
    head = first.head()
    first.close()
    second = Ledger.open(path, DATA, witness=head)
    assert second.payload(*KEY) == b"noised"
    assert second.verify() == head
    second.close()


def test_only_its_owner_can_read_the_file(ledger):
    for name in os.listdir(ledger.path.parent):
        assert stat.S_IMODE(os.stat(ledger.path.parent / name).st_mode) == 0o600


def test_the_ledger_of_other_data_is_refused(ledger, path):
    with pytest.raises(DataError, match="belongs to the data dddddddddddd, not to eeeeeeeeeeee"):
        Ledger.open(path, "e" * 64)


def test_a_file_that_is_no_ledger_is_refused(path, tmp_path):
    path.parent.mkdir()
    path.write_bytes(b"number,epsilon\n1,0.5\n" * 100)
    with pytest.raises(DataError, match="cannot be read as a privacy ledger"):
        Ledger.open(path, DATA)
    other = tmp_path / "other.db"
    db = sqlite3.connect(other)
    db.execute("CREATE TABLE patients (name TEXT)")
    db.close()
    with pytest.raises(DataError, match="no privacy ledger"):
        Ledger.open(other, DATA)
    with pytest.raises(DataError, match="cannot be read"):
        Ledger.open(tmp_path, DATA)


CHANGES = {
    "a refund": "DELETE FROM rows WHERE number=2",
    "a cheaper charge": "UPDATE rows SET detail=replace(detail, '5.0', '50.0') WHERE number=2",
    "another round": "UPDATE rows SET round=7 WHERE number=2",
    "another time": "UPDATE rows SET time='2020-01-01' WHERE number=2",
    "another run": "UPDATE rows SET run='other' WHERE number=4",
    "other data": "UPDATE rows SET detail='" + "f" * 64 + "' WHERE number=1",
    "a moved row": "UPDATE rows SET number=99 WHERE number=2",
    "a forged hash": "UPDATE rows SET sha256='00' WHERE number=3",
    "a row of its own": "INSERT INTO rows VALUES (6,'t','reserved','x',1,'p','{}','00')",
    "no rows": "DELETE FROM rows",
}


@pytest.fixture
def written(path):
    ledger = Ledger.open(path, DATA)
    for number in (1, 2):
        ledger.reserve("run", number, "train", EVENT, CAP)
        ledger.store("run", number, "train", bytes([number]))
    head = ledger.head()
    ledger.close()
    return head


def changed(path, statement):
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(statement)
    db.close()


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_row_is_found_and_the_file_refused(path, written, change):
    changed(path, CHANGES[change])
    with pytest.raises(DataError, match="row") as refusal:
        Ledger.open(path, DATA)
    assert "Restore" in str(refusal.value)


def test_a_change_under_an_open_ledger_is_named(path, written):
    ledger = Ledger.open(path, DATA)
    changed(path, "UPDATE rows SET round=7 WHERE number=4")
    with pytest.raises(CheckFailed, match="row 4"):
        ledger.verify()
    ledger.close()


def test_changed_bytes_are_found_and_never_sent(path, written):
    ledger = Ledger.open(path, DATA)
    changed(path, "UPDATE payloads SET payload=x'00' WHERE round=1")
    with pytest.raises(CheckFailed, match=r"row 3 .* bytes were changed"):
        ledger.verify()
    with pytest.raises(DataError, match="no longer there"):
        ledger.payload("run", 1, "train")
    ledger.close()


def test_a_file_cut_short_or_lost_is_noticed_by_whoever_remembers_it(path, written, tmp_path):
    changed(path, "DELETE FROM rows WHERE number>3")
    Ledger.open(path, DATA).close()
    with pytest.raises(DataError, match="has 3 rows and lacks what was seen of it, 5 rows"):
        Ledger.open(path, DATA, witness=written)
    with pytest.raises(DataError, match="lacks what was seen"):
        Ledger.open(path, DATA, witness=Head(2, "00"))
    gone = tmp_path / "gone.db"
    with pytest.raises(DataError, match="is not there"):
        Ledger.open(gone, DATA, witness=written)
    assert not gone.exists()


def test_forgotten_bytes_are_not_computed_anew(path, written):
    ledger = Ledger.open(path, DATA)
    ledger.forget("run")
    assert len(ledger.events()) == 2
    with pytest.raises(DataError, match="no longer there"):
        ledger.payload("run", 1, "train")
    with pytest.raises(DataError, match="one question gets one answer"):
        ledger.store("run", 1, "train", b"new noise")
    assert ledger.verify() == written
    ledger.close()


def test_a_disk_that_is_full_stops_the_release(ledger, monkeypatch):
    class Full:
        in_transaction = False

        def execute(self, statement, *rest):
            raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(ledger._chain, "_db", Full())
    with pytest.raises(RunAborted, match=r"disk is full.*nothing was sent"):
        ledger.reserve(*KEY, EVENT, CAP)
    monkeypatch.undo()
    assert len(ledger.rows()) == 1


def _spend(path, number, results):
    ledger = Ledger.open(path, DATA)
    done = [
        isinstance(ledger.reserve(f"run{number}", n, "train", EVENT, CAP), Reservation)
        for n in range(20)
    ]
    results.put(sum(done))
    ledger.close()


def test_two_processes_share_one_budget(path):
    Ledger.open(path, DATA).close()
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=_spend, args=(path, n, results)) for n in range(2)]
    for worker in workers:
        worker.start()
    granted = sum(results.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    alone = Ledger.open(path.with_name("alone.db"), DATA)
    expected = sum(
        isinstance(alone.reserve("run", n, "train", EVENT, CAP), Reservation) for n in range(40)
    )
    assert granted == expected < 40
    shared = Ledger.open(path, DATA)
    assert len(shared.verify().sha256) == 64
    assert len(shared.events()) == granted
    shared.close()
    alone.close()
