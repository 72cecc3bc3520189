"""Object stores, the slow part: uploads in parts, and vaults of several folders in one place."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from aegis.cli.app import run_command
from aegis.errors import BadInput, RunAborted
from aegis.store import objects
from aegis.store.backup.backups import Backups
from aegis.store.backup.remote import RemoteBackups
from tests.store.test_objects import PHRASE, afar, filled, patched, proxy, store

ROOT = Path(__file__).parents[2]
__all__ = ["patched", "proxy", "store"]  # fixtures


@pytest.mark.prove
def test_a_large_model_goes_on_with_the_parts_that_are_there(proxy, tmp_path, monkeypatch):
    monkeypatch.setattr(objects, "PART", 5 << 20)
    path = tmp_path / "model"
    path.write_bytes(os.urandom(12 << 20))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    proxy.fault = lambda method, path, number: "lose" if "partNumber=3" in path else None
    with pytest.raises(RunAborted, match="goes on from there"):
        afar(read_s=10.0).put_file("models/big", path, sha256)
    assert afar().sizes("models/") == {}
    begun = len(proxy.seen)
    proxy.fault = lambda method, path, number: None
    afar(read_s=10.0).put_file("models/big", path, sha256)
    parts = [path for method, path in proxy.seen[begun:] if method == "PUT"]
    assert len(parts) == 1
    assert "partNumber=3" in parts[0]

    # Parts of another file under this name add up to something else: then all of them go again.
    proxy.fault = lambda method, path, number: "lose" if "partNumber=2" in path else None
    other = tmp_path / "other"
    other.write_bytes(os.urandom(12 << 20))
    with pytest.raises(RunAborted):
        afar(read_s=10.0).put_file("models/big", other, "")
    proxy.fault = lambda method, path, number: None
    afar(read_s=10.0).put_file("models/big", path, sha256)
    assert afar(read_s=10.0).digest("models/big") == sha256

    fetched = tmp_path / "fetched"
    cuts = []
    proxy.fault = lambda method, path, number: (
        "cut" if "models/big" in path and not cuts and not cuts.append(path) else None
    )
    with pytest.raises(RunAborted):
        afar(read_s=10.0).get_file("models/big", fetched, sha256)
    assert not fetched.exists()
    afar(read_s=10.0).get_file("models/big", fetched, sha256)
    assert fetched.read_bytes() == path.read_bytes()
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []


@pytest.mark.prove
def test_another_folders_vault_is_never_replaced_and_an_open_backup_stays_here(proxy, tmp_path):
    first, second = filled(tmp_path / "first"), filled(tmp_path / "second")
    for home in (first, second):
        Backups(home.backups, PHRASE).create(home, encrypt=True)
    RemoteBackups(first.backups, afar()).push()
    with pytest.raises(BadInput, match="AEGIS_S3_PREFIX"):
        RemoteBackups(second.backups, afar()).push()
    with pytest.raises(BadInput, match="another folder"):
        RemoteBackups(second.backups, afar()).pull()
    plain = Backups(first.backups).create(first)
    with pytest.raises(BadInput, match="not encrypted"):
        RemoteBackups(first.backups, afar()).push(plain.name)
    assert RemoteBackups(first.backups, afar()).push(plain.name, unencrypted=True).files
    assert RemoteBackups(tmp_path / "third", afar()).pull(plain.name[:20]).files
    assert Backups(tmp_path / "third").verify() == []
    with pytest.raises(BadInput, match="holds no backup 2020"):
        RemoteBackups(tmp_path / "third", afar()).pull("2020")


@pytest.mark.prove
def test_the_commands_carry_a_data_root_to_the_store_and_back(proxy, tmp_path, monkeypatch, capsys):
    (tmp_path / "phrase.txt").write_text(f"{PHRASE}\n")
    monkeypatch.chdir(tmp_path)

    def aegis(*words, code=0):
        monkeypatch.setenv("AEGIS_HOME", str(tmp_path / home))
        found = run_command([*words, "--json"])
        out, err = capsys.readouterr()
        assert found == code, err
        return json.loads(out)

    home = "one"
    plan = ("examples/wisconsin.yaml", "--set", "federated.num_rounds=1")
    ran = aegis("run", str(ROOT / plan[0]), *plan[1:], "--no-comparison", "--no-audit")
    sealed = ("--encrypt", "--passphrase-file", "phrase.txt")
    assert "encrypted" in aegis("backup", "create", "--push", code=2)["error"]["value"]
    made = aegis("backup", "create", *sealed, "--push")
    assert made["pushed"]["files"] > 3
    assert aegis("backup", "push")["files"] == 0
    assert aegis("backup", "list", "--remote")["backups"] == [made["name"]]
    assert aegis("models", "push")["sent"] == ["v1"]
    assert aegis("models", "push", "v1")["sent"] == []
    proxy.fault = lambda method, path, number: "500"
    assert aegis("backup", "create", *sealed, "--push", code=3)["error"]["need"]
    proxy.fault = lambda method, path, number: None
    assert len(aegis("backup", "list")["backups"]) == 2
    assert aegis("backup", "push")["files"] == 0  # the second has the chunks of the first
    assert len(aegis("backup", "list", "--remote")["backups"]) == 2

    path = Path(ran["files"]["model"])
    before = path.read_bytes()
    path.unlink()
    shutil.rmtree(tmp_path / "one" / "backups" / "models")
    assert "hospital" not in aegis("models", "restore", "v1")["from"]
    assert path.read_bytes() == before

    home = "two"
    assert aegis("backup", "pull", made["name"])["encrypted"]
    restored = aegis("backup", "restore", made["name"], "--passphrase-file", "phrase.txt")
    assert all(log["verified"] for log in restored["logs"])
    assert aegis("models", "list")["models"][0]["sha256"] == ran["model_sha256"]
