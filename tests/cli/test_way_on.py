"""What is said to whoever wants to go on: with a run, or after the input ended."""

import json
import sqlite3
from contextlib import closing

import pytest
import typer

from aegis.plan import load_plan
from aegis.states import Failed, Registration
from aegis.store.home import Home
from aegis.store.journal import Journal


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return Home(tmp_path / "home").prepare()


def _of_a_road(home, state):
    plan = load_plan(None, {"task": "breast_cancer"}).plan
    journal = Journal(home.database)
    journal.open_run("run-1", plan.task, plan.to_json(), plan.sha256, {"transport": "flower"})
    journal.save("run-1", state, [])
    journal.close()


INTERRUPTED = Registration("run-1", ("north",))
FAILED = Failed("run-1", "nobody answered")


@pytest.mark.parametrize(
    ("state", "way_on"),
    [
        (INTERRUPTED, "aegis coordinator --transport flower"),
        (FAILED, "start its plan again: aegis run PLAN.yaml --coordinator URL"),
    ],
)
def test_a_coordinators_run_is_not_resumed_here_and_the_way_on_is_said(home, aegis, state, way_on):
    _of_a_road(home, state)
    for words in (("run", "--resume", "run-1"), ("report", "run-1")):
        code, _, err = aegis(*words)
        assert code == 2
        assert way_on in err
        assert "aegis run --resume" not in err


def test_the_latest_run_is_gone_on_with_without_its_name(home, aegis):
    assert aegis("run", "--resume", "latest")[0] == 2
    assert aegis("simulate", "--hospitals", "3", "--rounds", "2", "--json")[0] == 0
    code, out, err = aegis("run", "--resume", "latest")
    assert (code, "going on with" in err) == (0, True)
    assert "breast_cancer" in out


def test_a_model_of_hospitals_elsewhere_is_intact_though_it_is_not_scored_again(home, aegis):
    assert aegis("simulate", "--hospitals", "3", "--rounds", "2", "--json")[0] == 0
    with closing(sqlite3.connect(home.database)) as database, database:
        database.execute("""UPDATE runs SET options = '{"transport": "flower"}'""")
    code, out, err = aegis("models", "verify", "--metrics")
    assert (code, "1 of 1 versions are intact" in out) == (0, True)
    assert "0 of 1 were scored again" in out
    assert "v1 cannot be scored here" in err
    assert "at its hospitals, not here" in err
    code, out, _ = aegis("models", "verify", "--metrics", "--json")
    assert (code, json.loads(out)["broken"], len(json.loads(out)["not_scored"])) == (0, [], 1)


@pytest.mark.parametrize(
    ("words", "way_out"),
    [
        (("keys", "admit", "north.public.json"), "--fingerprint"),
        (("hospital", "join", "-", "--hospital", "north"), "in place of -"),
    ],
)
def test_an_input_that_ends_at_a_prompt_is_no_interrupted_run(
    home, aegis, monkeypatch, words, way_out
):
    if words[0] == "keys":
        assert aegis("keys", "generate", "north")[0] == 0
        words = (*words[:2], home.keys / "north.public.json")

    def ended(*question, **how):
        raise typer.Abort

    monkeypatch.setattr(typer, "prompt", ended)
    code, _, err = aegis(*words)
    assert code == 2
    assert "was not typed" in err
    assert way_out in err
    assert "--resume" not in err


@pytest.mark.parametrize(
    ("words", "way_on"),
    [
        (("simulate",), "aegis run --resume latest"),
        (("run", "plan.yaml", "--transport", "flower"), "aegis coordinator --transport flower"),
        (("data", "list"), "Run the command again"),
    ],
)
def test_an_interruption_says_how_this_command_goes_on(home, aegis, monkeypatch, words, way_on):
    def interrupted(*arguments, **kept):
        raise KeyboardInterrupt

    monkeypatch.setattr("aegis.cli.app.app", interrupted)
    code, _, err = aegis(*words)
    assert code == 3
    assert way_on in err


@pytest.mark.parametrize(
    ("words", "way_out"),
    [
        (("resume",), "It is: aegis run --resume RUN"),
        (("verify", "latest"), "It is: aegis audit verify RUN"),
        (("run", "plan.yaml", "--rounds", "3"), "--set federated.num_rounds=VALUE"),
    ],
)
def test_a_word_in_the_wrong_place_is_answered_with_the_right_one(aegis, words, way_out):
    code, _, err = aegis(*words)
    assert code == 2
    assert way_out in err
    assert "--out" not in err


def test_an_aborted_run_is_not_told_as_one_that_has_not_ended(home, aegis):
    delta = ("--set", "privacy.epsilon_budget=1", "--set", "privacy.delta=0.01")
    assert aegis("simulate", *delta)[0] == 3
    _, out, _ = aegis("audit", "verify", "latest")
    assert "the run was aborted: 0 of 5 hospitals joined" in out
    assert "has not ended" not in out
    _, _, err = aegis("report", "latest")
    assert "has no result (it was aborted: 0 of 5 hospitals joined" in err


def test_a_restored_run_is_gone_on_with_in_its_new_root(home, aegis, tmp_path):
    _of_a_road(home, INTERRUPTED)
    assert aegis("backup", "create")[0] == 0
    new = tmp_path / "new"
    _, out, _ = aegis("backup", "restore", "latest", "--into", new)
    assert f"AEGIS_HOME={new} aegis coordinator --transport flower" in out


def test_a_key_is_not_rotated_while_a_coordinators_run_needs_it_and_the_way_on_is_said(
    home, aegis, monkeypatch
):
    _of_a_road(home, INTERRUPTED)
    assert aegis("keys", "generate", "coordinator")[0] == 0
    monkeypatch.setattr("aegis.simulation.key_records.open_runs", lambda home: ["run-1"])
    code, _, err = aegis("keys", "rotate", "coordinator")
    assert code == 2
    assert "aegis coordinator --transport flower; or add --force" in err
