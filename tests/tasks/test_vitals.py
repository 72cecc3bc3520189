import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from aegis.cli.app import app
from aegis.errors import BadInput, DataError
from aegis.plan import Plan, find_faults
from aegis.simulation.federation import Federation
from aegis.simulation.local import run
from aegis.tasks.models import network, perceptron
from aegis.tasks.preparation import Preparation, tally
from aegis.tasks.task import DataOptions, find_task
from aegis.tasks.vitals import MOST_BYTES, SCHEMA, read_vitals, vitals
from aegis.tasks.vitals_sample import (
    BAYES_ACCURACY,
    COLUMNS,
    LABEL,
    LIMITS,
    csv_of,
    healthy_by_rule,
    sample,
    write_samples,
)

GOOD = "heart_rate,systolic_bp,diastolic_bp,spo2,healthy\n72,118,76,98,1\n110,150,95,91,0\n"


@pytest.fixture
def written(tmp_path):
    def write(text, name="one.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write


def test_the_task_is_found_and_its_plan_is_sound():
    assert find_task("vitals") is vitals
    plan = Plan(task="vitals", data={"synthetic": True})
    assert not find_faults(plan)
    assert (plan.model.name, plan.training.optimizer) == ("vitals_mlp", "adam")
    assert plan.training.schedule == "plateau"


def test_the_network_has_2945_parameters_and_its_own_dropout():
    plan = Plan(task="vitals", data={"synthetic": True})
    rows = vitals.load(DataOptions(synthetic=True)).rows
    preparation = Preparation.from_tally(SCHEMA, tally(SCHEMA, rows)).to_json()
    model = network(plan.model, preparation)
    assert model.size == 2945
    assert model.layers == ((4, 64), (64, 32), (32, 16), (16, 1))
    assert model.dropout == (0.3, 0.2, 0.1)
    none = plan.edited({"model.dropout": (0.0, 0.0, 0.0)})
    assert network(none.model, preparation).dropout == (0, 0, 0)
    narrow = plan.edited({"model.hidden": (8,)})
    assert network(narrow.model, preparation).dropout == ()


def test_a_file_is_read_in_any_order_of_columns(written):
    path = written(
        "\ufeffid,healthy,spo2,diastolic_bp,systolic_bp,heart_rate\r\n7,1,98,76,118,72\r\n"
    )
    assert read_vitals(path).tolist() == [[72, 118, 76, 98, 1]]
    found = vitals.load(DataOptions(path=path))
    assert found.rows.labels.tolist() == [0]
    assert found.sites is None
    assert not found.synthetic


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("110,", "300,", "row 3, column heart_rate: 300 is not from 50 to 120"),
        (",150", ",89", "row 3, column systolic_bp: 89 is not from 90 to 160"),
        (",95,", ",101,", "row 3, column diastolic_bp: 101 is not from 60 to 100"),
        (",98,", ",100.5,", "row 2, column spo2: 100.5 is not from 90 to 100"),
        (",98,", ",nan,", "row 2, column spo2: nan is not from"),
        (",98,", ",high,", "row 2, column spo2: 'high' is no number"),
        (",91,0", ",91,2", "row 3, column healthy: '2' is neither 0 nor 1"),
        (",91,0", ",91,", "row 3, column healthy: '' is neither 0 nor 1"),
        (",91,0", ",91,0,5", "row 3 has 6 cells, not 5"),
        ("spo2", "sat", "exactly one column spo2"),
        ("spo2", "healthy", "exactly one column spo2, healthy"),
    ],
)
def test_what_does_not_belong_is_refused_with_row_and_column(written, old, new, says):
    with pytest.raises(DataError, match=says):
        read_vitals(written(GOOD.replace(old, new, 1)))


@pytest.mark.parametrize(("text", "says"), [("", "exactly one"), (GOOD[:49], "no row")])
def test_an_empty_file_is_refused(written, text, says):
    with pytest.raises(DataError, match=says):
        read_vitals(written(text))


def test_a_file_that_is_no_text_or_too_large_is_refused(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match="no CSV in UTF-8"):
        read_vitals(path)
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(DataError, match="larger than 50 MiB"):
        read_vitals(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_vitals(tmp_path / "absent.csv")


def test_an_empty_sign_is_missing_and_its_row_left_out_unless_all_are_wanted(written):
    path = written(GOOD.replace(",98,", ",,"))
    assert len(vitals.load(DataOptions(path=path)).rows) == 1
    every = vitals.load(DataOptions(path=path, rows="all")).rows
    assert np.isnan(every.inputs["spo2"]).tolist() == [True, False]


def test_a_folder_makes_a_hospital_of_each_file(tmp_path):
    write_samples(tmp_path, 3, 20, seed=1)
    found = vitals.load(DataOptions(path=tmp_path))
    assert np.unique(found.sites, return_counts=True)[1].tolist() == [20, 20, 20]
    some = vitals.load(DataOptions(path=tmp_path, sites=("hospital_2",)))
    assert set(some.sites) == {"hospital_2"}
    with pytest.raises(DataError, match=r"names north.*there are hospital_1"):
        vitals.load(DataOptions(path=tmp_path, sites=("north",)))


def test_without_a_file_the_way_out_is_named():
    with pytest.raises(DataError, match=r"data\.synthetic: true"):
        vitals.load(DataOptions())


@given(st.integers(0, 20), st.integers(1, 60), st.integers(0, 2**63))
@settings(max_examples=50)
def test_the_sample_keeps_its_ranges_and_reads_back(tmp_path_factory, hospital, rows, seed):
    table, _ = sample(hospital, rows, seed)
    for values, (low, high) in zip(table[:, :4].T, LIMITS, strict=True):
        assert values.min() >= low
        assert values.max() <= high
    assert (table[:, 1] > table[:, 2]).all()
    path = tmp_path_factory.mktemp("v") / "h.csv"
    path.write_text(csv_of(table))
    assert np.array_equal(read_vitals(path), table)


def test_the_labels_follow_the_rule_as_often_as_is_said():
    table, truthful = sample(0, 40_000, 3)
    by_rule = healthy_by_rule(table[:, :4]) == (table[:, 4] == 1)
    assert np.array_equal(by_rule, truthful)
    assert abs(by_rule.mean() - BAYES_ACCURACY) < 0.005


def test_hospitals_differ_and_seeds_repeat():
    means = np.array([sample(number, 2000, 5)[0].mean(axis=0) for number in range(5)])
    assert (means.max(axis=0) - means.min(axis=0))[:4].min() > 0.5
    assert np.array_equal(sample(2, 50, 5)[0], sample(2, 50, 5)[0])
    assert not np.array_equal(sample(2, 50, 5)[0], sample(2, 50, 6)[0])


def test_the_command_writes_a_sample_and_says_how_good_one_can_be(tmp_path):
    asked = ["data", "sample", "vitals", "--rows", "30", "--hospitals", "2", "--out", str(tmp_path)]
    said = CliRunner().invoke(app, asked)
    assert said.exit_code == 0
    assert "SYNTHETIC. Who knew the rule would be right for 92.0 %" in said.output
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "README.txt",
        "hospital_1.csv",
        "hospital_2.csv",
    ]
    assert (tmp_path / "hospital_1.csv").read_text().splitlines()[0] == ",".join(COLUMNS)
    assert LABEL in (tmp_path / "README.txt").read_text()
    found = json.loads(CliRunner().invoke(app, [*asked, "--force", "--json"]).output)
    assert (found["rows"], found["synthetic"], found["bayes_accuracy"]) == (60, True, 0.92)
    assert CliRunner().invoke(app, ["data", "sample", "heart"]).exit_code != 0


@pytest.mark.parametrize("task", ["vitals", "glaucoma"])
def test_a_sample_is_not_written_over_what_is_there(tmp_path, task):
    asked = ["data", "sample", task, "--rows", "3", "--hospitals", "1", "--out", str(tmp_path)]
    own = tmp_path / ("hospital_1.csv" if task == "vitals" else "hospital_1/labels.csv")
    own.parent.mkdir(exist_ok=True)
    own.write_text("rows of our own")
    refused = CliRunner().invoke(app, asked)
    assert isinstance(refused.exception, BadInput)
    assert "is there already" in str(refused.exception)
    assert "--force" in refused.exception.way_out
    assert own.read_text() == "rows of our own"
    assert CliRunner().invoke(app, [*asked, "--force"]).exit_code == 0
    assert own.read_text() != "rows of our own"


def test_the_command_shows_the_layers():
    said = CliRunner().invoke(app, ["models", "show", "vitals_mlp"])
    assert said.output.splitlines() == [
        "model     vitals_mlp",
        "layer     4 -> 64, ReLU, dropout 0.3, 320 parameters",
        "layer     64 -> 32, ReLU, dropout 0.2, 2,080 parameters",
        "layer     32 -> 16, ReLU, dropout 0.1, 528 parameters",
        "layer     16 -> 1, sigmoid, 17 parameters",
        "parameters 2,945",
    ]
    found = json.loads(CliRunner().invoke(app, ["models", "show", "heart_mlp", "--json"]).output)
    assert found["parameters"] == perceptron("heart_mlp", 13).size
    assert CliRunner().invoke(app, ["models", "show", "logistic"]).exit_code != 0


def test_the_federation_comes_within_two_points_of_the_best_possible(tmp_path):
    plan = Plan(**{"task": "vitals", "data.synthetic": True, "seed": 2})
    found = run(plan, home=tmp_path, out=tmp_path / "out", compare=False, audit=False, files=False)
    signs = [
        np.stack([site.test.inputs[name] for name in SCHEMA.names], axis=1)
        for site in Federation.of(plan, None).sites.values()
    ]
    labels = [site.test.labels for site in Federation.of(plan, None).sites.values()]
    best = np.mean(healthy_by_rule(np.concatenate(signs)) == (np.concatenate(labels) == 0))
    assert found.accuracy >= best - 0.02
    assert found.document["data"]["source"].startswith("SYNTHETIC")
    assert found.document["data"]["synthetic"] is True
