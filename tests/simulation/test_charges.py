"""A run that is gone on with: its ledgers must know of every round that the run knows of."""

import sqlite3

import pytest

from aegis import run
from aegis.errors import RunAborted
from aegis.events import RoundOpened, RunEnded
from aegis.plan import load_plan
from aegis.simulation import local
from aegis.store.experiments import find
from aegis.store.home import Home

PLAN = {
    "task": "breast_cancer",
    "privacy.epsilon_budget": "1.0",
    "federated.num_rounds": "5",
    "evaluation.every": "0",
}


class Cut(Exception):
    pass


def cut_at(folder, mechanism, here):
    """The data root of a run that ended with the first event that ``here`` says."""

    def cut(event):
        if here(event):
            raise Cut

    said = {"privacy.mechanism": mechanism}
    if mechanism == "local_update":
        said |= {"trust": "open", "training.solver": "sgd", "data.standardize": "none"}
    plan = load_plan(None, {**PLAN, **said}).plan
    with pytest.raises(Cut):
        run(plan, home=folder, compare=False, audit=False, listeners=[cut])
    return Home(folder)


def opened(round):
    return lambda event: isinstance(event, RoundOpened) and event.round == round


def a_ledger(home):
    return sorted((home.results(find(home, "latest").run) / "ledgers").glob("*.db"))[0]


def forgets(ledger, round):
    with sqlite3.connect(ledger) as db:
        db.execute("DELETE FROM rows WHERE round = ? AND number > 1", (round,))
        db.execute("DELETE FROM payloads WHERE round = ?", (round,))
    db.close()


@pytest.fixture(params=["distributed", "local_update"])
def interrupted(request, tmp_path):
    return cut_at(tmp_path, request.param, opened(4))


def test_it_goes_on_where_every_round_was_charged(interrupted):
    name = find(interrupted, "latest").run
    done = local.resume(name, home=interrupted.root)
    assert done.document["rounds"] == 5


def test_it_ends_where_a_ledger_lost_its_last_charges(interrupted):
    name, ledger = find(interrupted, "latest").run, a_ledger(interrupted)
    forgets(ledger, 3)
    with pytest.raises(RunAborted, match=f"{ledger.stem} has no charge for round 3"):
        local.resume(name, home=interrupted.root)


@pytest.mark.parametrize(
    ("here", "round", "said"),
    [
        (opened(1), 0, "the statistics"),
        (lambda event: isinstance(event, RunEnded), 5, "round 5"),
    ],
)
def test_statistics_and_rounds_of_a_run_that_has_ended_are_looked_for_too(
    tmp_path, here, round, said
):
    home = cut_at(tmp_path, "distributed", here)
    name, ledger = find(home, "latest").run, a_ledger(home)
    forgets(ledger, round)
    with pytest.raises(RunAborted, match=f"{ledger.stem} has no charge for {said}"):
        local.resume(name, home=home.root)
