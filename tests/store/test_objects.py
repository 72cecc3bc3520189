"""Backups and models in an object store that works, fails, hangs, cuts answers short and lies."""

import os
import shutil
import time
from functools import lru_cache

import numpy as np
import pytest

from aegis.errors import AegisError, BadInput, CheckFailed, RunAborted
from aegis.store import models_afar
from aegis.store.backup import vault
from aegis.store.backup.backups import Backups
from aegis.store.backup.remote import RemoteBackups
from aegis.store.home import Home
from aegis.store.journal import Journal
from aegis.store.objects import Objects, Place
from aegis.store.registry import Registry
from aegis.tasks.models import Perceptron
from tests.flaky import flaky
from tests.servers import object_store

PHRASE = "five words drawn by chance"


@pytest.fixture(scope="module")
def patched():
    with pytest.MonkeyPatch.context() as found:
        found.setattr(vault, "COST", 2)
        yield found


@pytest.fixture(scope="module")
def store(patched):
    with object_store(patched) as port:
        yield port


@pytest.fixture
def proxy(store, monkeypatch, request):
    """A store of this test's own name, behind a road that may fail."""
    with flaky(store) as road:
        monkeypatch.setenv("AEGIS_S3_ENDPOINT", road.url)
        monkeypatch.setenv("AEGIS_S3_PREFIX", request.node.name)
        yield road


@lru_cache
def _client(place, attempts, read_s):
    return Objects(place, read_s=read_s, attempts=attempts)


def afar(attempts=1, read_s=10.0):
    return _client(Place.from_settings(), attempts, read_s)


def filled(folder):
    """A data root with a backup in several chunks."""
    home = Home(folder).prepare()
    (home.results("run") / "result.json").parent.mkdir(parents=True)
    (home.results("run") / "result.json").write_bytes(os.urandom(2_500_000))
    Journal(home.database).close()
    return home


@pytest.mark.engine
def test_an_encrypted_backup_survives_every_fault_of_a_store_and_comes_back(proxy, tmp_path):
    home = filled(tmp_path / "home")
    made = Backups(home.backups, PHRASE).create(home, encrypt=True)

    def push(read_s=10.0):
        return RemoteBackups(home.backups, afar(read_s=read_s)).push()

    for fault in ("500", "hang", "lose", "corrupt"):
        sent = len(proxy.seen)
        proxy.fault = lambda method, path, number, fault=fault, sent=sent: (
            fault if method == "PUT" and number > sent + 5 else None
        )
        began = time.monotonic()
        with pytest.raises((RunAborted, CheckFailed)) as caught:
            push(0.5 if fault == "hang" else 10.0)
        assert time.monotonic() - began < 8
        assert "Repeat the command" in caught.value.way_out
        assert RemoteBackups(home.backups, afar()).names() == []
        assert Backups(home.backups, PHRASE).verify() == []

    # What comes back cut short or changed does not count as sent either.
    for fault in ("cut", "corrupt"):
        proxy.fault = lambda method, path, number, fault=fault: (
            fault if method == "GET" and "/sealed/" in path else None
        )
        with pytest.raises((RunAborted, CheckFailed)):
            push()
    proxy.fault = lambda method, path, number: None
    done = push()
    assert done.backup == made.name
    assert done.there > 0
    before = len([one for one in proxy.seen if one[0] == "PUT"])
    assert push().files == 0
    assert len([one for one in proxy.seen if one[0] == "PUT"]) == before + 2  # the two lists

    there = tmp_path / "elsewhere"
    proxy.fault = lambda method, path, number: "corrupt" if "/sealed/" in path else None
    with pytest.raises(CheckFailed, match="other bytes"):
        RemoteBackups(there, afar()).pull()
    assert Backups(there).names() == []
    cut = []
    proxy.fault = lambda method, path, number: (
        "cut" if "/sealed/" in path and len(cut) < 4 and not cut.append(path) else None
    )
    assert RemoteBackups(there, afar(attempts=3)).pull("latest").encrypted
    assert len(cut) == 4
    assert Backups(there, PHRASE).verify() == []
    root = Backups(there, PHRASE).restore(tmp_path / "new").root
    assert (root / "results/run/result.json").read_bytes() == (
        home.results("run") / "result.json"
    ).read_bytes()

    everything = b"".join(afar().get(key) for key in afar().sizes(""))
    assert PHRASE.encode() not in everything
    assert b"result.json" not in everything


@pytest.mark.engine
def test_a_version_comes_back_from_the_store_when_every_copy_here_is_lost(proxy, tmp_path):
    home = Home(tmp_path).prepare()
    journal = Journal(home.database)
    registry = Registry(home, journal)
    registry.save("run", "heart", Perceptron(4), np.arange(5.0), {"preparation": "[]"})
    version = registry.find("v1")
    assert models_afar.push(registry, version, afar())
    assert not models_afar.push(registry, version, afar())
    path = registry.path(version.sha256)
    data = path.read_bytes()
    path.unlink()
    shutil.rmtree(home.backups / "models")
    with pytest.raises(CheckFailed, match="cannot be read"):
        models_afar.push(registry, version, afar())
    found = registry.restore(version, [("store", lambda name: models_afar.find(afar(), name))])
    assert (found, path.read_bytes()) == ("store", data)
    proxy.fault = lambda method, path, number: "corrupt" if method == "GET" else None
    path.unlink()
    shutil.rmtree(home.backups / "models")
    with pytest.raises(CheckFailed, match="no intact copy"):
        registry.restore(version, [("store", lambda name: models_afar.find(afar(), name))])
    journal.close()


@pytest.mark.parametrize(
    ("endpoint", "fine"),
    [
        ("", True),
        ("https://store.example.org", True),
        ("http://127.0.0.1:9000", True),
        ("http://store.example.org", False),
        ("ftp://127.0.0.1", False),
        ("store.example.org", False),
    ],
)
def test_a_store_elsewhere_is_spoken_to_by_tls_only(endpoint, fine):
    if fine:
        Place("bucket", endpoint)
        return
    with pytest.raises(BadInput, match="https://"):
        Place("bucket", endpoint)


def test_no_store_is_used_unless_one_is_named(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("BUCKET", "PREFIX", "ENDPOINT"):
        monkeypatch.delenv(f"AEGIS_S3_{name}", raising=False)
    assert Place.from_settings() is None
    with pytest.raises(AegisError, match="AEGIS_S3_BUCKET"):
        Objects.from_settings()
    (tmp_path / ".env").write_text("AEGIS_S3_BUCKET=b\nAEGIS_S3_PREFIX=/x/\n")
    assert str(Place.from_settings()) == "s3/b/x/"
