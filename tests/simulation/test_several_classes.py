"""Federations that tell three diagnoses apart, over every road and with every protection."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aegis.coordinator.steps import Study
from aegis.errors import BadInput, RunAborted
from aegis.evaluation.metrics import metrics
from aegis.hospital.ledger import Ledger
from aegis.hospital.node import Node
from aegis.hospital.release import Account
from aegis.plan import Plan
from aegis.privacy.filters import Cap
from aegis.simulation import local
from aegis.simulation.accounts import PUBLIC
from aegis.simulation.comparison import Fitted, pooled_site
from aegis.simulation.federation import Federation
from aegis.simulation.holdings import label_skew
from aegis.simulation.partition import partition
from aegis.simulation.seals import simulated_keys, simulated_seals
from aegis.simulation.stacked import StackedHospitals
from aegis.store.journal import Forgetful
from aegis.tasks.task import Column, Dataset, Rows, Schema
from aegis.transport.transport import InProcess
from aegis.wiring import federate

NAMES = ("cold", "flu", "measles")
SCHEMA = Schema(
    tuple(Column(name, "number", name, low=-6.0, high=6.0) for name in "abcd"), classes=NAMES
)
SOUND = {
    "task": "table",
    "model.num_classes": 3,
    "federated.num_clients": 4,
    "federated.num_rounds": 3,
    "trust": "open",
    "training.learning_rate": 0.1,
}


def dataset(rows=400, seed=3):
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, rows, p=[0.5, 0.3, 0.2]).astype(np.int64)
    centres = rng.normal(size=(3, 4))
    table = centres[labels] + rng.normal(size=(rows, 4))
    inputs = {name: table[:, j].copy() for j, name in enumerate("abcd")}
    sex = np.where(rng.random(rows) < 0.5, "female", "male")
    return Dataset(
        Rows(inputs, labels, {"sex": sex}), "drawn for a test", synthetic=True, schema=SCHEMA
    )


def dealt(**changes):
    plan = Plan(**{**SOUND, **{key.replace("__", "."): value for key, value in changes.items()}})
    return Federation.dealt(plan, dataset())


def run(federation, nodes=None, road=StackedHospitals):
    if nodes is None:
        nodes = {name: Node(site, policy=PUBLIC) for name, site in federation.sites.items()}
    return federate(federation.study, "run", road(nodes), Forgetful())


def sealed_nodes(federation, scores):
    keys = simulated_keys(federation.sites, None)
    seals = simulated_seals(keys, 16)
    return {
        name: Node(site, policy=replace(PUBLIC, scores=scores), seal=seals[name])
        for name, site in federation.sites.items()
    }


@pytest.mark.parametrize("hidden", [None, (8,)])
def test_one_stack_makes_the_model_of_hospitals_asked_one_by_one(hidden):
    model = {} if hidden is None else {"model__name": "mlp", "model__hidden": hidden}
    federation = dealt(**model)
    stacked, single = run(federation), run(federation, road=InProcess)
    assert stacked.progress.weights.tobytes() == single.progress.weights.tobytes()
    assert stacked.histograms.keys() == single.histograms.keys()
    for name, tableau in stacked.histograms.items():
        assert np.array_equal(tableau, single.histograms[name])


@pytest.mark.parametrize("solver", ["sgd", "newton"])
def test_a_masked_federation_ends_where_the_open_one_does(solver):
    changes = {"training__solver": solver, "training__l2": 1.0}
    if solver == "newton":
        changes["training__learning_rate"] = 0.05
    open_run = run(dealt(**changes))
    masked = dealt(trust="masked", secure_aggregation__enabled=True, **changes)
    hidden = run(masked, sealed_nodes(masked, "summed"))
    apart = np.abs(hidden.progress.weights - open_run.progress.weights).max()
    assert apart < 1e-12
    assert not hidden.histograms
    whole = np.add.reduce(list(open_run.histograms.values()))
    assert np.array_equal(hidden.sealed.histogram, whole)
    assert hidden.sealed.loss_sum == pytest.approx(sum(open_run.losses.values()))
    assert metrics(whole, None)["accuracy"] > 0.6


def test_newton_ends_where_scikit_learn_does_on_all_rows_in_one_place():
    from sklearn.linear_model import LogisticRegression

    l2 = 2.0
    federation = dealt(
        training__solver="newton",
        training__l2=l2,
        training__learning_rate=0.05,
        federated__num_rounds=12,
        training__tolerance=1e-10,
    )
    final = run(federation)
    fitted = Fitted(federation.study, final.progress.preparation, final.progress.weights)
    everyone = pooled_site(federation.sites)
    train = np.column_stack([everyone.train.inputs[name] for name in "abcd"])
    centre, scale = train.mean(axis=0), train.std(axis=0)
    theirs = LogisticRegression(C=1 / l2, tol=1e-12, max_iter=10_000)
    theirs.fit((train - centre) / scale, everyone.train.labels)
    test = np.column_stack([everyone.test.inputs[name] for name in "abcd"])
    expected = theirs.predict_proba((test - centre) / scale)
    logits = fitted.logits(everyone.test)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.abs(chances - expected).max() < 1e-6


@pytest.mark.parametrize("mechanism", ["dp_sgd", "local_update"])
def test_private_training_spends_its_budget_and_learns(tmp_path, mechanism):
    federation = dealt(
        privacy__enabled=True,
        privacy__mechanism=mechanism,
        privacy__epsilon_budget={"dp_sgd": 50.0, "local_update": 2000.0}[mechanism],
        privacy__max_grad_norm=1.0,
        data__standardize="none",
        federated__num_rounds=8,
        training__local_epochs=2,
        training__learning_rate=0.5,
    )
    ledgers = {name: Ledger.open(tmp_path / name, name) for name in federation.sites}
    nodes = {
        name: Node(site, policy=PUBLIC, account=Account(ledgers[name], Cap(1e5, 1e-5)))
        for name, site in federation.sites.items()
    }
    final = run(federation, nodes)
    assert all(len(ledger.events("run")) == 8 for ledger in ledgers.values())
    found = metrics(np.add.reduce(list(final.histograms.values())), None)
    assert found["accuracy"] > 0.55
    for ledger in ledgers.values():
        ledger.close()


def test_a_hospital_whose_labels_are_others_is_not_let_in():
    federation = dealt()
    name = next(iter(federation.sites))
    other = replace(SCHEMA, classes=("flu", "cold", "measles"))
    sites = {**federation.sites, name: replace(federation.sites[name], schema=other)}
    nodes = {one: Node(site, policy=PUBLIC) for one, site in sites.items()}
    final = run(federation, nodes)
    assert name not in {h.hospital for h in final.progress.hospitals}
    fewer = replace(SCHEMA, classes=())
    sites = {one: replace(site, schema=fewer) for one, site in federation.sites.items()}
    nodes = {one: Node(site, policy=PUBLIC) for one, site in sites.items()}
    with pytest.raises(RunAborted, match="the labels of table are 2 classes"):
        federate(Study(federation.study.plan, fewer), "run", StackedHospitals(nodes), Forgetful())


def test_data_of_another_number_of_classes_are_refused_before_anything_is_dealt():
    with pytest.raises(BadInput, match=r"labels of table are 3 classes.*Set model.num_classes: 3"):
        dealt(model__num_classes=4)


@pytest.mark.parametrize("by", ["dirichlet", "iid"])
def test_every_row_of_every_class_is_dealt_once(by):
    data = dataset()
    parts = partition(data, 5, by, 0.5, 16)
    labels = np.concatenate(
        [
            np.concatenate([p.train.labels, p.validation.labels, p.test.labels])
            for p in parts.values()
        ]
    )
    assert np.bincount(labels).tolist() == np.bincount(data.rows.labels).tolist()
    if by == "dirichlet":
        even = partition(data, 5, "iid", 0.5, 16)
        assert label_skew(parts) > 2 * label_skew(even)


def test_class_weights_find_more_of_the_rare_class():
    changes = {
        "training__solver": "newton",
        "training__l2": 1.0,
        "training__learning_rate": 0.05,
        "federated__num_rounds": 10,
    }
    plain = run(dealt(**changes))
    weighted = run(dealt(training__class_weights=(0.5, 1.0, 6.0), **changes))

    def recalls(final):
        total = np.add.reduce(list(final.histograms.values()))
        return np.diagonal(total) / total[:, :3].sum(axis=1)

    assert recalls(weighted)[2] > recalls(plain)[2]
    assert recalls(weighted)[0] < recalls(plain)[0]


def test_a_whole_run_says_of_three_classes_what_it_can_and_why_not_the_rest(tmp_path, monkeypatch):
    changes = {"training.solver": "newton", "training.learning_rate": 0.05, "training.l2": 1.0}
    plan = Plan(**{**SOUND, **changes, "fairness.attributes": ("sex",)})
    whole = Federation.dealt(plan, dataset())
    monkeypatch.setattr(Federation, "of", lambda plan, directory: whole)
    found = local.run(plan, home=tmp_path, audit=False, leave_one_out=True).document
    assert found["data"]["classes"] == list(NAMES)
    assert [row["label"] for row in found["table_one"]["rows"]][1:4] == list(NAMES)
    assert "no one odds ratio" in found["odds_ratios_reason"]
    assert "one condition" in found["usefulness_reason"]
    by_sex = next(a for a in found["fairness"]["attributes"] if a["attribute"] == "sex")
    assert list(by_sex["measures"]) == ["accuracy_parity"]
    assert set(by_sex["groups"][0]) <= {"group", "withheld", "examples", "accuracy"}
    right = sum(g["accuracy"]["value"] * g["examples"] for g in by_sex["groups"])
    assert right == pytest.approx(found["global"]["accuracy"] * found["global"]["examples"])
    assert len(found["comparison"]["hospitals"]) == 4
    assert found["comparison"]["hospitals"][0]["personal"]["method"] == "fine-tuning"
    assert found["pooled"]["accuracy"] == pytest.approx(found["global"]["accuracy"], abs=0.03)
    assert len(found["leave_one_out"]["hospitals"]) == 4
    page = Path(found["files"]["report"]).read_text(encoding="utf-8")
    assert "Which classes does it tell apart" in page
    assert "n/a: more than two classes" in page
    assert "Among the three likeliest" not in page  # of three, everybody is


def test_a_model_of_two_classes_is_no_start_for_three(tmp_path, monkeypatch):
    two = replace(SCHEMA, classes=())
    rows = dataset().rows
    binary = Dataset(
        Rows(rows.inputs, (rows.labels > 0).astype(np.int64), rows.attributes), "", schema=two
    )
    plan = Plan(**{**SOUND, "model.num_classes": 2})
    whole = Federation.dealt(plan, binary)
    monkeypatch.setattr(Federation, "of", lambda plan, directory: whole)
    first = local.run(plan, home=tmp_path, audit=False, compare=False, files=False)
    three = Plan(**{**SOUND, "model.start": first.model_sha256})
    other = Federation.dealt(three, dataset())
    monkeypatch.setattr(Federation, "of", lambda plan, directory: other)
    with pytest.raises(BadInput, match="its columns are not those of"):
        local.run(three, home=tmp_path, audit=False, compare=False, files=False)
