"""Runs are on file, come out again from the file, and can be swept over a key or two."""

import json
from dataclasses import replace

import pytest

import aegis
from aegis.errors import BadInput, CheckFailed, DataError, PlanError, RunAborted
from aegis.events import RoundClosed
from aegis.plan import load_plan
from aegis.simulation import local
from aegis.simulation.evidence import gathered, verify_home
from aegis.simulation.experiments import rerun
from aegis.simulation.rescoring import rescore
from aegis.simulation.sweep import asked, planned, swept
from aegis.store.backup import vault as vaults
from aegis.store.backup.backups import Backups
from aegis.store.experiments import differences, find, listed, read
from aegis.store.home import Home
from aegis.store.journal import Journal
from aegis.store.registry import Registry
from aegis.store.verification import verify

PLAIN = {
    "task": "breast_cancer",
    "federated.num_clients": "4",
    "federated.num_rounds": "3",
    "training.solver": "sgd",
    "training.learning_rate": "0.05",
    "training.tolerance": "null",
    "training.l2": "0",
}
PHRASE = "five words drawn by chance"


def _run(home, listeners=(), **keys):
    said = PLAIN | {key.replace("__", "."): str(value) for key, value in keys.items()}
    plan = load_plan(None, said).plan
    return local.run(plan, home=home, compare=False, audit=False, files=False, listeners=listeners)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A data root with three runs: two the same, one of another seed."""
    home = Home(tmp_path_factory.mktemp("experiments"))
    for seed in (1, 1, 2):
        _run(home.root, seed=seed)
    return home


def test_n_runs_give_n_versions_and_each_reproduces_its_stored_metrics(home):
    journal = Journal(home.database)
    versions = Registry(home, journal).versions()
    journal.close()
    assert [version.name for version in versions] == ["v1", "v2", "v3"]
    assert versions[0].sha256 == versions[1].sha256 != versions[2].sha256
    for version in versions:
        found = rescore(version.name, home.root)
        stored = version.card["metrics"]
        assert found["accuracy"] == stored["accuracy"]
        assert found["examples"] == 114
        low, high = stored["ci95"]["accuracy"]
        assert low <= found["accuracy"] <= high


def test_a_card_says_what_how_good_for_whom_and_whence(home):
    model = aegis.load("v1", home=home.root)
    card = model.card
    assert len(card["schema"]["columns"]) == 30
    assert card["plan"]["training"]["solver"] == "sgd"
    assert card["privacy"]["summary"] == "This model carries no differential privacy guarantee."
    assert card["membership_audit"] == {"verdict": None, "passed": None, "reason": "not asked for"}
    assert card["fairness"]["thresholds"]["accuracy_parity"] == 0.15
    assert card["checkpoint"].startswith("aegis/run/")
    assert all(one.holds for one in verify_home(home))


def test_rescoring_finds_a_model_that_scores_otherwise(home, monkeypatch):
    from aegis.simulation import rescoring

    monkeypatch.setattr(rescoring, "_card", lambda *a: {"metrics": {"accuracy": 1.0}})
    with pytest.raises(CheckFailed, match=r"accuracy was 1\.0, is 0"):
        rescore("v1", home.root)


def test_every_run_has_a_file_with_all_it_takes_to_make_it_again(home):
    found, broken = listed(home)
    assert len(found) == 3
    assert broken == []
    body = found[0].body
    assert body["status"] == "completed"
    assert body["seed"] == 1
    assert body["environment"]["packages"]["numpy"]
    assert body["result"]["model_sha256"] == found[0].model_sha256
    assert str(home.root) not in found[0].path.read_text()
    assert find(home, "latest").run == found[-1].run == find(home, found[-1].run).run
    with pytest.raises(BadInput, match="experiments list"):
        find(home, "nothing")


def test_a_run_from_its_file_comes_out_the_same_to_the_bit(home, tmp_path):
    experiment = find(home, "latest")
    done = rerun(experiment, home=tmp_path)
    assert done.reproduced is True
    assert done.same_model
    assert done.as_json()["differs"] == {}
    other = tmp_path / "other.json"
    body = json.loads(experiment.path.read_text())
    body["plan"]["training"]["learning_rate"] = 0.02
    other.write_text(json.dumps(body))
    again = rerun(read(other), home=tmp_path)
    assert again.reproduced is False
    assert not again.same_model


def test_noise_is_new_in_every_run_and_that_is_said(tmp_path):
    _run(
        tmp_path,
        trust="open",
        training__solver="sgd",
        federated__num_rounds=1,
        privacy__enabled="true",
        privacy__mechanism="local_update",
        privacy__epsilon_budget=8,
    )
    done = rerun(find(Home(tmp_path), "latest"), home=tmp_path)
    assert done.reproduced is None
    assert not done.same_model
    assert done.inside in (True, False)


def test_experiments_are_compared_by_what_they_do_not_share(home):
    first, second, third = listed(home)[0]
    apart = differences([first, third])
    assert apart["plan"] == {"seed": [1, 2]}
    assert apart["environment"] == {}
    assert not apart["same_model"]
    assert differences([first, second])["same_model"]
    assert apart["metrics"]["examples"] == [114, 114]


def test_a_run_that_fails_is_on_file_with_its_reason_and_a_killed_one_as_running(
    tmp_path, monkeypatch
):
    def ending(error):
        def listener(event):
            if isinstance(event, RoundClosed):
                raise error

        return listener

    with pytest.raises(KeyboardInterrupt):
        _run(tmp_path, [ending(KeyboardInterrupt())])
    assert find(Home(tmp_path), "latest").status == "running"
    done = local.resume(find(Home(tmp_path), "latest").run, home=tmp_path)
    assert find(Home(tmp_path), "latest").model_sha256 == done.model_sha256

    def full(self, run, state, events):
        raise RunAborted("the journal cannot be written (database or disk is full)")

    monkeypatch.setattr(Journal, "save", full)
    with pytest.raises(RunAborted, match="disk is full"):
        _run(tmp_path)
    aborted = find(Home(tmp_path), "latest")
    assert aborted.status == "aborted"
    assert "disk is full" in aborted.body["error"]["value"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "aegis-experiment/9"}', "null"])
def test_a_file_that_is_no_experiment_is_refused(tmp_path, text):
    path = tmp_path / "experiments" / "experiment_x.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(DataError, match="no experiment"):
        read(path)
    assert len(listed(Home(tmp_path))[1]) == 1


@pytest.mark.parametrize(("optimizer", "trust"), [("scaffold", "open"), ("fedavg", "masked")])
def test_a_backup_of_a_run_that_is_on_goes_on_elsewhere_to_the_same_hash(
    tmp_path, monkeypatch, optimizer, trust
):
    monkeypatch.setattr(vaults, "COST", 2)
    home = Home(tmp_path / "home").prepare()
    backups = Backups(tmp_path / "backups", PHRASE)
    made = []

    def listener(event):
        if isinstance(event, RoundClosed) and event.round <= 2:
            made.append(backups.create(home, encrypt=True, with_keys=True))

    whole = _run(home.root, [listener], server__optimizer=optimizer, trust=trust)
    for number, backup in enumerate(made):
        done = backups.restore(tmp_path / f"new-{number}", backup.name)
        assert done.open_runs == (whole.run,)
        assert local.resume(whole.run, home=done.root).model_sha256 == whole.model_sha256
        logs = verify_home(Home(done.root))
        assert [str(fault) for one in logs for fault in one.faults] == []
        assert all(one.complete for one in logs if one.run)
    assert len(made) == 2


class Watching:
    def __init__(self):
        self.begun = []

    def begin(self, number, of, name, rounds):
        self.begun.append((number, of, name, rounds))

    def __call__(self, event):
        pass


def test_a_sweep_is_a_run_for_each_value_with_a_table_and_a_picture(tmp_path):
    from aegis.report.sweeps import as_csv, as_markdown, picture, rows

    values = asked(["seed=1,2", "federated.partition.by=iid,site"])
    sweep = planned(values, lambda keys: load_plan(None, PLAIN | dict(keys)).plan)
    watching = Watching()
    document = swept(sweep, watching, home=tmp_path)
    assert [name for _, _, name, _ in watching.begun] == [
        f"seed={seed}, federated.partition.by={by}" for seed in (1, 2) for by in ("iid", "site")
    ]
    assert [run["status"] for run in document["runs"]] == ["completed", "failed"] * 2
    stored = json.loads((tmp_path / "experiments" / f"{sweep.name}.json").read_text())
    assert stored == document
    assert len(listed(Home(tmp_path))[0]) == 2  # the others never began
    found = rows(document)
    assert found[0][:2] == ["1", "iid"]
    assert "% (" in found[0][3]
    assert found[1][-1] == document["runs"][1]["reason"]
    assert len(as_csv(document).splitlines()) == 5
    assert "| 2 | iid |" in as_markdown(document)
    path = picture(document, tmp_path / "sweep.png")
    assert path.read_bytes() == picture(document, tmp_path / "again.png").read_bytes()
    nothing = document | {"runs": [document["runs"][1]]}
    assert picture(nothing, tmp_path / "nothing.png").exists()


def test_the_runs_of_a_private_sweep_have_a_result_and_verify(tmp_path):
    private = {"task": "breast_cancer", "federated.num_clients": "3", "seed": "5"}
    private |= {"privacy.mechanism": "distributed", "federated.partition.by": "iid"}
    values = asked(["privacy.epsilon_budget=1,2"])
    sweep = planned(values, lambda keys: load_plan(None, private | dict(keys)).plan)
    document = swept(sweep, Watching(), home=tmp_path)
    home = Home(tmp_path)
    for row in document["runs"]:
        result = json.loads((home.results(row["run"]) / "result.json").read_text())
        assert result["privacy"]["epsilon"] == row["epsilon"]
        evidence = gathered(home, row["run"])
        assert [str(fault) for fault in verify(evidence).faults] == []
        # A result that was not written yet says nothing of epsilon, so it says nothing wrong.
        assert verify(replace(evidence, result=None, open=True)).holds


def test_an_unsound_sweep_runs_nothing_and_says_each_fault_once(tmp_path):
    def read(keys):
        return load_plan(None, PLAIN | dict(keys)).plan

    with pytest.raises(PlanError, match=r"seed=1, .*training\.momentum must.*\(and 2 more\)"):
        planned({"seed": ("1", "2", "3"), "training.momentum": ("2",)}, read)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (["seed"], "names no values"),
        (["seed="], "names no values"),
        (["seed=1,,2"], "names no values"),
        (["seed=1,1"], "a value twice"),
        (["seed=1", "seed=2"], "seed twice"),
        (["a=1", "b=1", "c=1"], "of 3 keys"),
        (["seed=" + ",".join(map(str, range(201)))], "201 runs"),
    ],
)
def test_what_cannot_be_swept_is_refused(said, expected):
    with pytest.raises(BadInput, match=expected):
        asked(said)


def test_lists_in_a_sweep_are_kept_whole():
    assert asked(["model.hidden=[16,8],[32]"]) == {"model.hidden": ("[16,8]", "[32]")}
