"""People decide on plans by name; what they decided, and what was asked, outlives the process."""

import sqlite3
import subprocess
import sys
import threading
from functools import partial

import pytest

from aegis.errors import BadInput, DataError
from aegis.hospital.decisions import MOST_WAITING, Decisions
from aegis.hospital.ledger import Ledger
from aegis.hospital.release import Account
from aegis.plan import Plan
from aegis.privacy.accounting import GaussianRelease
from aegis.privacy.filters import Cap

PLAN = Plan(task="heart", seed=1)
OTHER = Plan(task="heart", seed=2)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hospital" / "decisions.db"


@pytest.fixture
def decisions(path):
    found = Decisions(path)
    yield found
    found.close()


def test_a_new_plan_waits_and_is_shown_whole(decisions):
    assert "waits for a person's approval" in decisions.refuses("run", PLAN)
    [proposal] = decisions.proposals("pending")
    assert proposal.plan == PLAN
    assert proposal.plan_sha256 == PLAN.sha256
    assert (proposal.by, proposal.runs, proposal.begun) == ("", 0, ())


def test_an_approval_is_by_name_at_a_time_and_for_one_run(decisions):
    decisions.refuses("run", PLAN)
    approved = decisions.approve(PLAN.sha256[:8], "Dr Ada")
    assert (approved.status, approved.by, approved.runs) == ("approved", "Dr Ada", 1)
    assert approved.decided > approved.asked
    assert decisions.refuses("run", PLAN) is None
    assert decisions.refuses("run", PLAN) is None
    assert "that is used (run)" in decisions.refuses("run 2", PLAN)
    assert decisions.approve(PLAN.sha256, "Dr Bob", 2).runs == 3
    assert decisions.refuses("run 2", PLAN) is None
    assert decisions.refuses("run 3", PLAN) is None
    assert "approved for 3 runs" in decisions.refuses("run 4", PLAN)


def test_an_approval_is_of_one_plan(decisions):
    for plan in (PLAN, OTHER):
        decisions.refuses("run", plan)
    decisions.approve(PLAN.sha256, "Dr Ada")
    assert "waits" in decisions.refuses("run", OTHER)


def test_a_run_keeps_the_plan_it_began_with(decisions):
    for plan in (PLAN, OTHER):
        decisions.refuses("x", plan)
        decisions.approve(plan.sha256, "Dr Ada", 5)
    assert decisions.refuses("run", PLAN) is None
    assert "began with another plan" in decisions.refuses("run", OTHER)


def test_a_refusal_says_who_and_why_and_can_be_taken_back(decisions):
    decisions.refuses("run", PLAN)
    decisions.refuse(PLAN.sha256, "Dr Ada", "no ethics vote")
    said = decisions.refuses("run", PLAN)
    assert "Dr Ada at this hospital refused" in said
    assert "no ethics vote" in said
    decisions.approve(PLAN.sha256, "Dr Ada")
    assert decisions.refuses("run", PLAN) is None


def test_everything_outlives_the_process(path, decisions):
    decisions.refuses("run", PLAN)
    decisions.approve(PLAN.sha256, "Dr Ada")
    decisions.refuses("run", PLAN)
    decisions.claim("run", "train 1", "abc")
    decisions.saw_policy("0" * 64, "2026")
    again = Decisions(path)
    assert again.proposals("approved")[0].begun == ("run",)
    assert again.claim("run", "train 1", "def") == "abc"
    assert again.recall("run", "train 1") == "abc"
    assert again.recall("run", "train 2") is None
    assert again.policy_signed() == "2026"
    again.close()


def test_one_of_many_who_ask_at_once_is_first(path, decisions):
    answers = []

    def ask(number):
        own = Decisions(path)
        answers.append(own.claim("run", "train 1", str(number)))
        own.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert len(set(answers)) == 1


def test_one_approval_is_used_once_by_many_who_ask_at_once(path, decisions):
    decisions.refuses("run", PLAN)
    decisions.approve(PLAN.sha256, "Dr Ada")
    answers = []

    def ask(number):
        own = Decisions(path)
        answers.append(own.refuses(f"run {number}", PLAN))
        own.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.count(None) == 1


def test_a_flood_of_plans_is_cut_off(decisions):
    for seed in range(MOST_WAITING):
        decisions.refuses("run", Plan(task="heart", seed=seed))
    said = decisions.refuses("run", Plan(task="heart", seed=10**6))
    assert f"{MOST_WAITING} plans wait" in said
    assert len(decisions.proposals()) == MOST_WAITING


@pytest.mark.parametrize("by", ["", "  ", "x" * 81, "Dr\nAda"])
def test_a_decision_has_a_name(decisions, by):
    decisions.refuses("run", PLAN)
    with pytest.raises(BadInput, match="has the name of the person"):
        decisions.approve(PLAN.sha256, by)
    assert decisions.proposals("pending")


@pytest.mark.parametrize("plan", ["", "1234", "zzzzzzzz", "%" * 8, "0" * 8])
def test_a_plan_that_nobody_proposed_cannot_be_approved(decisions, plan):
    decisions.refuses("run", PLAN)
    with pytest.raises(BadInput):
        decisions.approve(plan, "Dr Ada")


@pytest.mark.parametrize("runs", [0, -1, True, 1001, 1.5])
def test_an_approval_is_for_a_number_of_runs(decisions, runs):
    decisions.refuses("run", PLAN)
    with pytest.raises(BadInput, match="1 to 1000 runs"):
        decisions.approve(PLAN.sha256, "Dr Ada", runs)


def test_a_refusal_without_a_reason_is_none(decisions):
    decisions.refuses("run", PLAN)
    with pytest.raises(BadInput, match="says why"):
        decisions.refuse(PLAN.sha256, "Dr Ada", " ")


def test_another_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE mine (x)")
    other.commit()
    other.close()
    with pytest.raises(DataError, match="holds no hospital's decisions"):
        Decisions(path)
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(DataError, match="cannot be used"):
        Decisions(path)


def test_nobody_else_can_read_the_file(path, decisions):
    assert path.stat().st_mode & 0o077 == 0


def test_a_ledger_that_is_put_back_to_an_older_copy_is_found_out(tmp_path, decisions):
    """A backup of the ledger file forgets spending; the decisions beside it do not."""
    path, cap = tmp_path / "ledger.db", Cap(5.0, 1e-5)
    ledger = Ledger.open(path, "data", decisions.ledger_head("north"))
    account = Account(ledger, cap, partial(decisions.saw_ledger, "north"))
    event = GaussianRelease(3.0)
    assert account.refused("run", 1, "train", "north", event, cap) is None
    ledger.close()
    old = path.read_bytes()
    ledger = Ledger.open(path, "data", decisions.ledger_head("north"))
    account = Account(ledger, cap, partial(decisions.saw_ledger, "north"))
    assert account.within(Cap(4.0, 1e-5)).refused("run", 2, "train", "north", event, cap) is None
    assert decisions.ledger_head("north") == ledger.head()
    ledger.close()
    path.write_bytes(old)
    with pytest.raises(DataError, match="lacks what was seen of it"):
        Ledger.open(path, "data", decisions.ledger_head("north"))
    path.unlink()
    with pytest.raises(DataError, match="is not there"):
        Ledger.open(path, "data", decisions.ledger_head("north"))


def test_an_approval_by_another_process_counts_here_with_the_file_open_twice(path):
    """The node and the console of one process hold it; somebody approves by the command line."""
    node, console = Decisions(path), Decisions(path)
    assert "waits" in node.refuses("run", PLAN)
    assert len(console.proposals("pending")) == 1
    typed = (
        "import sys; from pathlib import Path; from aegis.hospital.decisions import Decisions\n"
        "looking = Decisions(Path(sys.argv[1])); looking.proposals(); looking.close()\n"
        "one = Decisions(Path(sys.argv[1])); one.approve(sys.argv[2], 'Dr Ada'); one.close()"
    )
    subprocess.run([sys.executable, "-c", typed, path, PLAN.sha256], check=True, timeout=60)
    assert node.refuses("run", PLAN) is None
    assert console.proposals()[0].begun == ("run",)
    node.close()
    console.close()
    again = Decisions(path)
    assert again.proposals()[0].begun == ("run",)
    again.close()
