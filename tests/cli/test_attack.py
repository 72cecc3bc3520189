"""``aegis attack`` as people and scripts type it."""

import json
from pathlib import Path

import pytest

from aegis.cli.app import run_command

PLAN = Path(__file__).parents[2] / "examples" / "wisconsin.yaml"
SMALL = (
    "--set",
    "federated.num_clients=7",
    "--set",
    "federated.num_rounds=5",
    "--set",
    "federated.partition.by=iid",
    "--set",
    "training.solver=sgd",
    "--set",
    "training.tolerance=null",
    "--set",
    "training.l2=0",
)


@pytest.fixture
def aegis(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = run_command([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_both_runs_stand_side_by_side_with_one_line_that_says_it(aegis, tmp_path):
    code, out, err = aegis(
        "attack", PLAN, "--attack", "scaling", "--byzantine", 2, "--rules", "fedavg,median", *SMALL
    )
    assert code == 0
    assert "fedavg falls from" in out
    assert "median holds" in out
    assert "Dishonest: hospital_" in out
    assert "fedavg: all hospitals honest" in err
    folder = next((tmp_path / "home" / "results").glob("attack-*-breast_cancer-scaling"))
    assert (folder / "attack.png").read_bytes()[:4] == b"\x89PNG"
    assert json.loads((folder / "attack.json").read_text())["reading"] in out


def test_json_is_one_object_with_every_rule(aegis, tmp_path):
    code, out, err = aegis(
        "attack",
        PLAN,
        *("--attack", "inner_product", "--byzantine", 2, "--adaptive", "--json"),
        *("--rules", "trimmed_mean,centered_clipping", "--out", tmp_path / "here", *SMALL),
    )
    document = json.loads(out)
    assert code == 0
    assert err == ""
    assert [row["rule"] for row in document["rules"]] == ["trimmed_mean", "centered_clipping"]
    assert document["adaptive"] is True
    for row in document["rules"]:
        assert 0 <= row["attacked"]["accuracy"] <= row["clean"]["accuracy"] + 0.05
    assert Path(document["files"]["picture"]).parent == tmp_path / "here"


def test_a_backdoor_is_told_in_patients(aegis):
    code, out, _ = aegis("attack", PLAN, "--attack", "backdoor", "--byzantine", 2, *SMALL)
    assert code == 0
    assert "of the ill with the trigger are called healthy" in out


def test_turned_labels_are_told_in_recall(aegis):
    code, out, _ = aegis("attack", PLAN, "--attack", "label_flip", "--byzantine", 3, *SMALL)
    assert code == 0
    assert "of the ill" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--attack", "lie", "--byzantine", 1), "no attack is called lie"),
        (("--attack", "sybil", "--byzantine", 3), "honest must be the majority"),
        (("--attack", "sybil", "--byzantine", 1, "--adaptive"), "no strength to search"),
        (("--attack", "sybil", "--byzantine", 1, "--rules", "krumm"), "krumm"),
        (("--attack", "sybil", "--byzantine", 1, "--rules", "bulyan"), "at least 7 hospitals"),
        (("--attack", "sybil"), "--byzantine"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line_or_two(aegis, words, said):
    code, out, err = aegis("attack", PLAN, *words)
    assert code == 2
    assert out == ""
    assert said in err
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 4
