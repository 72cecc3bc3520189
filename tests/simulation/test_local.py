"""A whole run in one process: what it writes, what it refuses, and what repeats."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from aegis import Plan, run
from aegis.coordinator import asking, sealing, steps
from aegis.errors import BadInput, PlanError, RunAborted
from aegis.events import HospitalAbsent, RoundClosed
from aegis.hospital.node import Node
from aegis.hospital.site import Site, VolatileMemory
from aegis.messages import Train
from aegis.plan import load_plan
from aegis.simulation import local
from aegis.simulation.accounts import PUBLIC
from aegis.simulation.federation import Federation
from aegis.simulation.stacked import StackedHospitals
from aegis.store.home import Home
from aegis.store.journal import Forgetful, Journal
from aegis.store.registry import Registry
from aegis.tasks.task import Dataset, Rows, find_task
from aegis.transport.transport import InProcess
from aegis.wiring import federate
from tests.federations import federated


def _plan(**more):
    return Plan(task="breast_cancer", **more)


def test_two_lines_give_a_model_a_result_and_a_report(tmp_path):
    result = run(_plan(), home=tmp_path)
    document = json.loads((tmp_path / "results" / result.run / "result.json").read_text())
    assert document == json.loads(json.dumps(result.document))
    assert document["status"] == "completed"
    assert 0.9 < result.accuracy <= 1.0
    assert len(document["hospitals"]) == 5
    assert sum(h["examples"] for h in document["hospitals"]) == 455
    assert document["comparison"]["hospitals"][0]["everywhere"]["examples"] == 114
    assert document["odds_ratios"]
    assert document["table_one"]["rows"]
    for path in result.files.values():
        assert Path(path).stat().st_size > 16
    html = Path(result.files["report"]).read_text(encoding="utf-8")
    assert "Not medical software" in html
    assert "ndependently audited" in html


def test_the_same_seed_gives_the_same_model_and_another_seed_another(tmp_path):
    first = run(_plan(seed=3), home=tmp_path / "a", compare=False)
    second = run(_plan(seed=3), home=tmp_path / "b", compare=False)
    third = run(_plan(seed=4), home=tmp_path / "c", compare=False)
    assert first.model_sha256 == second.model_sha256 != third.model_sha256
    assert first.document["plan_sha256"] == second.document["plan_sha256"]


def test_a_finished_run_resumes_to_its_own_result(tmp_path):
    first = run(_plan(), home=tmp_path, compare=False)
    again = local.resume(first.run, home=tmp_path)
    assert again.model_sha256 == first.model_sha256
    assert again.document["history"] == first.document["history"]


@pytest.mark.parametrize("solver", ["sgd", "gradient", "newton"])
def test_hospitals_as_a_stack_and_one_by_one_give_the_same_model(solver):
    keys = {"training.solver": solver, "federated.num_rounds": "4", "training.tolerance": "null"}
    if solver != "newton":
        keys["training.learning_rate"] = "0.1"
    plan = load_plan(None, {"task": "breast_cancer", **keys}).plan
    federation = Federation.of(plan, None)
    finals = [
        federate(federation.study, "run", road(federation.nodes(VolatileMemory())), Forgetful())
        for road in (StackedHospitals, InProcess)
    ]
    stacked, single = (final.progress.weights for final in finals)
    assert np.abs(stacked - single).max() < 1e-12
    for name, histogram in finals[0].histograms.items():
        assert np.array_equal(histogram, finals[1].histograms[name])


@pytest.mark.parametrize(
    "server", ["fedavg", "fedavgm", "fedadam", "fedyogi", "fedadagrad", "scaffold"]
)
def test_each_server_optimizer_learns(server):
    rate = {"fedadam": 0.1, "fedyogi": 0.1, "fedadagrad": 0.1, "fedavgm": 0.3}.get(server, 1.0)
    done = federated(
        task="breast_cancer",
        server__optimizer=server,
        server__learning_rate=rate,
        training__solver="sgd",
        training__learning_rate=0.1,
        training__l2=0,
        training__tolerance="null",
        federated__num_rounds=20,
    )
    assert done.together["accuracy"] > 0.93
    assert done.final.progress.round == 20


def test_newton_equals_the_pooled_fit_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    from aegis.tasks.preparation import Preparation
    from aegis.tasks.task import below

    done = federated(task="breast_cancer")
    train = below([site.train for site in done.federation.sites.values()])
    design = Preparation.from_json(done.final.progress.preparation).apply(train)
    pooled = LogisticRegression(C=0.5, solver="newton-cholesky", tol=1e-12, max_iter=200)
    pooled.fit(design, train.labels)
    assert np.abs(np.r_[pooled.coef_[0], pooled.intercept_] - done.weights).max() < 1e-8


def test_starting_from_a_stored_version_records_the_lineage_and_goes_on_from_it(tmp_path):
    first = run(_plan(federated={"num_rounds": 3}), home=tmp_path, compare=False)
    plan = _plan(model={"start": first.run}, federated={"num_rounds": 10})
    second = run(plan, home=tmp_path, compare=False)
    assert (
        second.document["history"][0]["global"]["log_loss"]
        < (first.document["history"][0]["global"]["log_loss"])
    )
    journal = Journal(Home(tmp_path).database)
    version = Registry(Home(tmp_path), journal).find(second.run)
    journal.close()
    assert version.card["parent"] == first.model_sha256


def test_a_model_of_another_task_is_no_start(tmp_path):
    first = run(_plan(federated={"num_rounds": 1}), home=tmp_path, compare=False)
    plan = Plan(task="heart", data={"synthetic": True}, model={"start": first.run})
    with pytest.raises(BadInput, match="was trained for breast_cancer"):
        run(plan, home=tmp_path)
    gone = Plan(task="breast_cancer", model={"start": "nowhere.safetensors"})
    with pytest.raises(BadInput, match="cannot be read"):
        run(gone, home=tmp_path)


def test_a_missing_data_file_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.delenv("AEGIS_DATA_DIR", raising=False)
    home = tmp_path / "home"
    with pytest.raises(BadInput, match="AEGIS_DATA_DIR"):
        run(Plan(task="heart"), home=home)
    assert not home.exists()


def test_an_altered_data_file_is_refused_with_both_hashes(tmp_path):
    folder = tmp_path / "heart"
    folder.mkdir()
    for name in ("cleveland", "hungarian", "switzerland", "va"):
        (folder / f"processed.{name}.data").write_text("63,1,1,145,233,1,2,150,0,2.3,3,0,6,0\n")
    with pytest.raises(BadInput, match="a74b7efa"):
        run(Plan(task="heart"), home=tmp_path / "home", data_directory=tmp_path)
    assert not (tmp_path / "home").exists()


def test_an_unknown_task_names_the_known_ones(tmp_path):
    with pytest.raises(PlanError, match="breast_cancer"):
        run(Plan(task="hart"), home=tmp_path)


def test_a_synthetic_run_says_so_everywhere(tmp_path):
    result = run(Plan(task="heart", data={"synthetic": True}), home=tmp_path)
    assert result.document["data"]["synthetic"] is True
    assert result.document["data"]["source"].startswith("SYNTHETIC")
    assert "SYNTHETIC" in Path(result.files["report"]).read_text(encoding="utf-8")


_BY_SITE = {"task": "breast_cancer", "federated__partition__by": "site"}


def _dataset(parts):
    """A breast-cancer table from (rows, positives) per hospital."""
    schema = find_task("breast_cancer").schema
    rng = np.random.default_rng(5)
    labels = np.concatenate([np.r_[np.ones(p, int), np.zeros(n - p, int)] for n, p in parts])
    inputs = {
        column.name: rng.normal(labels * 0.5, 1.0) * (column.high - column.low)
        for column in schema.columns
    }
    sites = np.concatenate([np.full(n, f"site {i}") for i, (n, _) in enumerate(parts)])
    return Dataset(Rows(inputs, labels.astype(np.int64)), "made for a test", sites)


def test_one_hospital_without_positives_and_one_with_a_single_row_take_part():
    dataset = _dataset([(60, 30), (40, 0), (1, 1)])
    done = federated(dataset=dataset, **_BY_SITE, federated__num_clients=3)
    assert [h.examples for h in done.final.progress.hospitals] == [48, 32, 1]
    assert done.by_hospital["site 1"]["auc"] is None
    assert done.by_hospital["site 2"]["accuracy"] is None
    assert done.together["accuracy"] is not None


def test_missing_values_in_features_are_imputed_not_passed_on():
    dataset = _dataset([(60, 30), (60, 30)])
    dataset.rows.inputs["mean radius"][::3] = np.nan
    done = federated(dataset=dataset, **_BY_SITE, federated__num_clients=2)
    assert np.isfinite(done.weights).all()
    assert "mean radius missing" in done.final.progress.preparation


def test_hospitals_without_a_row_make_no_model():
    dataset = _dataset([(10, 5), (10, 5), (10, 5)])
    keys = {"federated.partition.by": "site", "federated.num_clients": "3"}
    federation = Federation.dealt(load_plan(None, {"task": "breast_cancer", **keys}).plan, dataset)
    empty = next(iter(federation.sites.values())).train.take(np.zeros(0, dtype=int))
    nodes = {
        name: Node(Site(name, site.schema, empty, empty, empty), policy=PUBLIC)
        for name, site in federation.sites.items()
    }
    with pytest.raises(RunAborted):
        federate(federation.study, "run", StackedHospitals(nodes), Forgetful())


def test_a_hospital_that_says_no_is_named_and_the_others_go_on():
    plan = load_plan(None, {"task": "breast_cancer", "federated.quorum": "3"}).plan
    federation = Federation.of(plan, None)
    nodes = federation.nodes(VolatileMemory())
    refuses = next(iter(nodes))
    says_no = Node(federation.sites[refuses], approve=lambda plan: "not this study", policy=PUBLIC)
    nodes[refuses] = says_no
    told = []
    final = federate(federation.study, "run", StackedHospitals(nodes), Forgetful(), [told.append])
    assert refuses not in [h.hospital for h in final.progress.hospitals]
    assert any(isinstance(e, HospitalAbsent) and e.reason == "not this study" for e in told)
    assert any(isinstance(e, RoundClosed) for e in told)


def test_no_patient_value_is_in_any_file_of_the_coordinator(tmp_path, monkeypatch):
    """A sentinel row in one hospital's data is found in no file that the run leaves behind."""
    sentinel = 12345.678901
    task = find_task("breast_cancer")
    real = type(task).load

    def marked(self, options):
        dataset = real(self, options)
        dataset.rows.inputs["mean area"][7] = sentinel
        return dataset

    monkeypatch.setattr(type(task), "load", marked)
    run(_plan(), home=tmp_path)
    needles = [
        repr(sentinel).encode(),
        np.float64(sentinel).tobytes(),
        np.float32(sentinel).tobytes(),
    ]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 6
    for path in files:
        data = path.read_bytes()
        assert not any(needle in data for needle in needles), path


def test_a_thousand_hospitals_finish(tmp_path):
    plan = Plan(
        task="heart",
        data={"synthetic": True, "rows": "all"},
        federated={"num_clients": 200, "num_rounds": 3, "partition": {"by": "iid"}},
    )
    result = run(plan, home=tmp_path)
    assert len(result.document["hospitals"]) == 200
    assert result.document["comparison"] is None
    assert "100" in result.document["comparison_reason"]


@pytest.mark.parametrize("trust", ["open", "masked"])
def test_a_hospital_trains_on_no_model_but_the_one_in_the_log(tmp_path, monkeypatch, trust):
    """A coordinator that logs one model and sends another is refused in the next round."""

    def swapped(study, state):
        asked = asking.inquiry(study, state)
        first = next(iter(asked.values()), None)
        if isinstance(first, Train) and first.round == 2:
            return dict.fromkeys(asked, dataclasses.replace(first, weights=first.weights + 1e-6))
        return asked

    monkeypatch.setattr(steps, "inquiry", swapped)
    monkeypatch.setattr(sealing, "inquiry", swapped)
    with pytest.raises(RunAborted, match="by the log, round 1 ended with"):
        run(_plan(trust=trust), home=tmp_path, compare=False, audit=False)
