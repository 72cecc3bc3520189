"""A run that is gone on with: its ledgers must know of every round that the run knows of."""

import sqlite3

import pytest

from aegis import run
from aegis.errors import RunAborted
from aegis.events import RoundOpened
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


@pytest.fixture(params=["distributed", "local_update"])
def interrupted(request, tmp_path):
    """The data root of a run that ended in its fourth round."""

    def cut(event):
        if isinstance(event, RoundOpened) and event.round == 4:
            raise Cut

    said = {"privacy.mechanism": request.param}
    if request.param == "local_update":
        said |= {"trust": "open", "training.solver": "sgd", "data.standardize": "none"}
    plan = load_plan(None, {**PLAN, **said}).plan
    with pytest.raises(Cut):
        run(plan, home=tmp_path, compare=False, audit=False, listeners=[cut])
    return Home(tmp_path)


def test_it_goes_on_where_every_round_was_charged(interrupted):
    name = find(interrupted, "latest").run
    done = local.resume(name, home=interrupted.root)
    assert done.document["rounds"] == 5


def test_it_ends_where_a_ledger_lost_its_last_charges(interrupted):
    name = find(interrupted, "latest").run
    ledger = sorted((interrupted.results(name) / "ledgers").glob("*.db"))[0]
    with sqlite3.connect(ledger) as db:
        db.execute("DELETE FROM rows WHERE round = 3")
    db.close()
    with pytest.raises(RunAborted, match=f"{ledger.stem} has no charge for round 3"):
        local.resume(name, home=interrupted.root)
