"""The memory's commands as people type them: models, backups, experiments, migration, sweeps."""

import json
import re
import sqlite3
from pathlib import Path

import pytest

from aegis.cli.app import run_command
from aegis.store.backup import vault as vaults

ROOT = Path(__file__).parents[2]
PLAN = ROOT / "examples" / "wisconsin.yaml"
QUICK = ("--set", "federated.num_rounds=2", "--no-comparison")


@pytest.fixture
def aegis(tmp_path, monkeypatch, capsys):
    """Commands on a data root that holds what earlier ones left."""
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("AEGIS_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(vaults, "COST", 2)

    def call(*words, home=None):
        if home is not None:
            monkeypatch.setenv("AEGIS_HOME", str(home))
        code = run_command([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def _json(answered):
    code, out, err = answered
    assert code == 0, err
    return json.loads(out)


def test_a_models_life_from_its_run_to_its_prediction(aegis, tmp_path):
    result = _json(aegis("run", PLAN, *QUICK, "--no-audit", "--json"))
    sha256, path = result["model_sha256"], Path(result["files"]["model"])
    (row,) = _json(aegis("models", "list", "--json"))["models"]
    assert (row["version"], row["sha256"], row["in_use"]) == ("v1", sha256, False)
    assert row["accuracy"] == result["global"]["accuracy"]
    assert "accuracy          0.9" in aegis("models", "show", "v1")[1]
    assert aegis("models", "verify", "--metrics")[0] == 0

    before = path.read_bytes()
    path.unlink()
    assert aegis("models", "verify")[0] == 1
    assert _json(aegis("models", "restore", "v1", "--json"))["sha256"] == sha256
    assert path.read_bytes() == before

    for kind, name in (("safetensors", "a.safetensors"), ("sklearn", "b.safetensors")):
        assert aegis("models", "export", "v1", "--format", kind, "--out", name)[0] == 0
    assert Path("a.safetensors").read_bytes() == before
    assert aegis("models", "export", "v1", "--format", "pickle")[0] == 2

    columns = [column["name"] for column in _json(aegis("models", "show", "v1", "--json"))
               ["schema"]["columns"]]  # fmt: skip
    Path("rows.csv").write_text(",".join(columns) + "\n" + ",".join(["1.5"] * 30) + "\n")
    for name in ("v1", "a.safetensors", "b.safetensors", result["run"]):
        found = _json(aegis("models", "predict", name, "rows.csv", "--json"))
        assert found["model_sha256"] == sha256
        assert 0 <= found["predictions"][0]["probability"] <= 1
        assert any("outside" in remark for remark in found["remarks"])
    code, _, err = aegis("models", "predict", "v1", "rows.csv", "--out", "p.csv")
    assert code == 0
    assert "prediction 1 is malignant, 0 is not" in err
    assert Path("p.csv").read_text().startswith("row,prediction,probability\n2,")
    Path("few.csv").write_text("mean radius,more\n1,2\n")
    code, _, err = aegis("models", "predict", "v1", "few.csv")
    assert code == 2
    assert "lacks the columns mean texture" in err

    code, _, err = aegis("models", "promote", "v1", "--by", "ana")
    assert code == 1
    assert "membership audit: not made" in err


def test_two_persons_promote_a_model_that_passed_and_one_rolls_back(aegis, monkeypatch):
    from aegis.report import card

    passed = {"verdict": "safe", "passed": True, "reason": "no attack won"}
    monkeypatch.setattr(card, "_audit", lambda result: passed)
    for seed in (1, 2):
        _json(aegis("run", PLAN, *QUICK, "--set", f"seed={seed}", "--no-audit", "--json"))
    assert aegis("keys", "generate", "ana")[0] == 0
    first = _json(aegis("models", "promote", "v1", "--by", "ana", "--json"))
    assert (first["kind"], first["signed"]) == ("proposed", True)
    assert aegis("models", "promote", "v1", "--by", "ana")[0] == 2
    assert _json(aegis("models", "promote", "v1", "--by", "ben", "--json"))["kind"] == "promoted"
    for person in ("ana", "ben"):
        assert aegis("models", "promote", "v2", "--by", person)[0] == 0
    assert [row["in_use"] for row in _json(aegis("models", "list", "--json"))["models"]] == [
        False,
        True,
    ]
    assert aegis("models", "rollback", "breast_cancer", "--by", "ana")[0] == 2
    done = aegis("models", "rollback", "breast_cancer", "--by", "ana", "--reason", "drift")
    assert "v1 is in use" in done[1]
    assert aegis("audit", "verify")[0] == 0
    shown = _json(aegis("models", "show", "v1", "--json"))["promotions"]
    assert [act["kind"] for act in shown] == ["proposed", "promoted", "rolled_back"]
    card = aegis("models", "show", "v1")[1]
    assert re.search(r"promoted .* by ben \(by name only\)", card)
    assert re.search(r"proposed .* by ana \([0-9a-f ]{14}\)", card)


def test_a_data_root_is_backed_up_and_restored_elsewhere(aegis, tmp_path):
    _json(aegis("run", PLAN, *QUICK, "--no-audit", "--json"))
    Path("phrase").write_text("five words drawn by chance\n")
    sealing = ("--passphrase-file", "phrase")
    made = _json(aegis("backup", "create", "--encrypt", *sealing, "--with-keys", "--json"))
    plain = _json(aegis("backup", "create", "--json"))
    assert (made["encrypted"], plain["encrypted"]) == (True, False)
    assert len(_json(aegis("backup", "list", "--json"))["backups"]) == 2
    assert "is intact" in aegis("backup", "verify", plain["name"])[1]
    assert "add --passphrase-file" in aegis("backup", "verify", made["name"])[1]
    assert aegis("backup", "restore")[0] == 2
    for name, more in ((made["name"], sealing), (plain["name"], ())):
        new = tmp_path / name
        done = _json(aegis("backup", "restore", name, "--into", new, *more, "--json"))
        assert [log["verified"] for log in done["logs"]] == [True, True]
    assert _json(aegis("backup", "prune", "--keep-last", "1", "--json"))["removed"]
    assert aegis("backup", "create", "--encrypt")[0] == 2
    assert aegis("backup", "create", "--with-keys")[0] == 2
    assert aegis("models", "verify", "--metrics", home=new)[0] == 0


def test_experiments_are_listed_shown_compared_and_run_again(aegis):
    for seed in (1, 2):
        _json(aegis("run", PLAN, *QUICK, "--no-audit", "--set", f"seed={seed}", "--json"))
    rows = _json(aegis("experiments", "list", "--json"))["experiments"]
    assert [row["status"] for row in rows] == ["completed", "completed"]
    assert "Python 3" in aegis("experiments", "show", rows[0]["run"])[1]
    apart = _json(aegis("experiments", "compare", rows[0]["run"], "latest", "--json"))
    assert apart["plan"] == {"seed": [1, 2]}
    assert "The weights differ." in aegis("experiments", "compare", rows[0]["run"], "latest")[1]
    again = _json(aegis("experiments", "rerun", rows[0]["file"], "--json"))
    assert again["reproduced"] is True
    assert aegis("experiments", "compare", "latest")[0] == 2


def test_a_sweep_prints_a_table_and_draws_a_picture(aegis):
    sweep = ("--sweep", "seed=1,2")
    document = _json(aegis("run", PLAN, "--set", "federated.num_rounds=2", *sweep, "--json"))
    assert [run["keys"] for run in document["runs"]] == [{"seed": "1"}, {"seed": "2"}]
    for file in document["files"].values():
        assert Path(file).exists()
    code, out, err = aegis("run", PLAN, "--set", "federated.num_rounds=2", "--sweep", "seed=3")
    assert code == 0
    assert "run 1 of 1: seed=3" in err
    assert "auc" in out
    assert aegis("run", PLAN, "--sweep", "seed", "--json")[0] == 2


def test_an_old_data_root_is_refused_with_the_command_that_migrates_it(aegis, tmp_path):
    from tests.store.test_format import OLD

    (tmp_path / "home").mkdir()
    db = sqlite3.connect(tmp_path / "home" / "federated_learning.db")
    db.executescript(OLD)
    db.close()
    code, _, err = aegis("models", "list")
    assert code == 2
    assert "aegis migrate" in err
    assert _json(aegis("migrate", "--json"))["before"] == 1
    assert len(_json(aegis("models", "list", "--json"))["models"]) == 2
    assert "already" in aegis("migrate")[1]


def test_a_full_disk_is_said_in_a_sentence(aegis, monkeypatch):
    from aegis.simulation import local

    def full(*args, **kept):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(local, "run", full)
    code, _, err = aegis("run", PLAN)
    assert code == 3
    assert "No space left on device" in err
    assert "Traceback" not in err
