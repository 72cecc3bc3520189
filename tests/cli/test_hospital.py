"""``aegis hospital`` as the person who answers for the data types it."""

import json
from pathlib import Path

import pytest

from aegis.cli.app import run_command
from aegis.hospital.decisions import Decisions
from aegis.identity.identity import Identity
from aegis.identity.keyfile import Keys
from aegis.plan import Plan

SAMPLE = Path(__file__).parents[2] / "config" / "policy.toml"
PLAN = Plan(task="heart")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    found = tmp_path / "home" / "hospitals" / "north"
    found.mkdir(parents=True)
    (found / "policy.toml").write_bytes(SAMPLE.read_bytes())
    Keys(found / "keys").write(Identity.generate("north"))
    return found


@pytest.fixture
def aegis(capsys):
    def call(*words):
        code = run_command([*words, "--hospital", "north"])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_a_policy_is_checked_signed_and_shown(folder, aegis):
    code, out, _ = aegis("hospital", "policy", "check")
    assert code == 0
    assert "is sound" in out
    code, _, err = aegis("hospital", "policy", "show")
    assert code == 1
    assert "is not signed" in err
    assert aegis("hospital", "policy", "sign")[0] == 0
    code, out, _ = aegis("hospital", "policy", "show")
    assert code == 0
    for wanted in ("counts", "breast_cancer, heart", "minimum_rows", "50"):
        assert wanted in out


def test_a_policy_that_was_changed_no_longer_counts_and_says_how_to_go_on(folder, aegis):
    assert aegis("hospital", "policy", "sign")[0] == 0
    with open(folder / "policy.toml", "a", encoding="utf-8") as file:
        file.write("# later\n")
    code, out, _ = aegis("hospital", "policy", "show", "--json")
    assert code == 1
    error = json.loads(out)["error"]
    assert "was changed after it was signed" in error["value"]
    assert "aegis hospital policy sign" in error["way_out"]


def test_an_unsound_policy_is_not_signed(folder, aegis):
    (folder / "policy.toml").write_text('version = 1\nhospital = "north"\ndelta = 1\n')
    code, _, err = aegis("hospital", "policy", "sign")
    assert code == 2
    assert "delta" in err
    assert "tasks is missing" in err
    assert not (folder / "policy.toml.sig").exists()


def test_a_locked_key_opens_with_its_passphrase_only(folder, aegis, monkeypatch):
    Keys(folder / "keys").write(Identity.generate("north"), "open sesame", force=True)
    assert aegis("hospital", "policy", "sign")[0] == 2
    monkeypatch.setenv("AEGIS_KEY_PASSPHRASE", "open sesame")
    assert aegis("hospital", "policy", "sign")[0] == 0
    monkeypatch.delenv("AEGIS_KEY_PASSPHRASE")
    (folder / "word").write_text("open sesame\n")
    word = str(folder / "word")
    assert aegis("hospital", "policy", "sign", "--passphrase-file", word)[0] == 0


def test_a_person_lists_plans_approves_one_and_refuses_it_again(folder, aegis):
    assert "No plan was proposed" in aegis("hospital", "approve")[1]
    decisions = Decisions(folder / "decisions.db")
    decisions.refuses("run", PLAN)
    code, out, _ = aegis("hospital", "approve")
    assert code == 0
    assert f"{PLAN.sha256[:12]}  pending   heart" in out
    code, _, err = aegis("hospital", "approve", PLAN.sha256[:8])
    assert code == 2
    assert "name of the person" in err
    code, out, _ = aegis("hospital", "approve", PLAN.sha256[:8], "--by", "Dr Ada", "--json")
    assert code == 0
    [row] = json.loads(out)["plans"]
    assert (row["status"], row["by"], row["runs"]) == ("approved", "Dr Ada", 1)
    assert decisions.refuses("run", PLAN) is None
    words = (PLAN.sha256[:8], "--by", "Dr Bob", "--refuse", "no vote")
    code, out, _ = aegis("hospital", "approve", *words)
    assert code == 0
    assert "refused" in out
    assert "no vote" in out
    decisions.close()


def test_a_hospital_that_is_not_there_is_said(folder, aegis):
    code, _, err = aegis("hospital", "policy", "show", "--home", "nowhere")
    assert code == 2
    assert "there is no hospital in nowhere" in err


@pytest.mark.parametrize(
    "words",
    [("hospital", "budget"), ("hospital", "serve"), ("hospital", "policy", "sign")],
)
def test_an_unknown_hospital_is_not_answered_with_a_new_key(tmp_path, monkeypatch, capsys, words):
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "home"))
    assert run_command([*words, "--hospital", "nort"]) == 2
    err = capsys.readouterr().err
    assert "aegis hospital init" in err
    assert "keys generate" not in err


def test_every_way_out_of_an_unsigned_policy_can_be_typed(folder, aegis):
    _, _, err = aegis("hospital", "policy", "show")
    assert "aegis hospital policy sign --hospital north" in err
    assert "--home" not in err
    elsewhere = folder.parents[2] / "elsewhere"
    folder.rename(elsewhere)
    _, _, err = aegis("hospital", "policy", "show", "--home", str(elsewhere))
    assert f"aegis hospital policy sign --hospital north --home {elsewhere}" in err


def test_every_way_out_of_a_plan_that_waits_can_be_typed(folder, aegis):
    decisions = Decisions(folder / "decisions.db")
    reason = decisions.refuses("run", PLAN)
    decisions.close()
    wanted = f"aegis hospital approve {PLAN.sha256[:12]} --hospital north --by PERSON"
    assert wanted in reason
    _, _, err = aegis("hospital", "approve", "0" * 12, "--by", "Dr Ada")
    assert "See: aegis hospital approve --hospital north" in err
    assert aegis("hospital", "approve")[0] == 0


def test_while_the_policy_is_not_signed_the_limit_is_not_known(folder, aegis):
    (folder / "hospital.toml").write_text('[data]\ntask = "breast_cancer"\nshare = "1/2"\n')
    code, out, _ = aegis("hospital", "budget")
    assert code == 0
    assert "the limit is not known until the policy is signed" in out
    assert "the limit is not known until the policy is signed" in aegis("doctor")[1]
    assert aegis("hospital", "policy", "sign")[0] == 0
    assert "not known" not in aegis("hospital", "budget")[1]


def test_a_locked_key_is_named_and_both_ways_to_open_it(folder, aegis, monkeypatch):
    Keys(folder / "keys").write(Identity.generate("north"), "open sesame", force=True)
    file = str(folder / "keys" / "north.key")
    for word in (None, "open sesam"):
        if word is not None:
            monkeypatch.setenv("AEGIS_KEY_PASSPHRASE", word)
        _, _, err = aegis("hospital", "policy", "sign")
        assert all(said in err for said in (file, "AEGIS_KEY_PASSPHRASE", "--passphrase-file"))


def test_a_hospitals_keys_change_in_its_own_folder_and_the_policy_is_signed_again(
    folder, capsys, monkeypatch
):
    assert run_command(["keys", "rotate", "north"]) == 2
    assert f"AEGIS_HOME={folder} aegis keys rotate north" in capsys.readouterr().err
    monkeypatch.setenv("AEGIS_HOME", str(folder))
    assert run_command(["keys", "rotate", "north"]) == 0
    out = capsys.readouterr().out
    assert f"aegis hospital policy sign --hospital north --home {folder}" in out
