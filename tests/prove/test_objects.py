"""Object stores, the slow part: uploads in parts, and vaults of several folders in one place."""

import hashlib
import os

import pytest

from aegis.errors import BadInput, RunAborted
from aegis.store import objects
from aegis.store.backup.backups import Backups
from aegis.store.backup.remote import RemoteBackups
from tests.store.test_objects import PHRASE, afar, filled, patched, proxy, store

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
