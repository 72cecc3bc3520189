"""Versions: one for every run, brought back whatever was lost, whole whatever fails."""

import contextlib
import json
import os

import numpy as np
import pytest

from aegis import states
from aegis.errors import BadInput, CheckFailed, RunAborted
from aegis.store.home import Home
from aegis.store.journal import Journal
from aegis.store.registry import Registry
from aegis.tasks.models import Perceptron

CARD = {"preparation": "[]", "note": "x"}


@pytest.fixture
def registry(tmp_path):
    home = Home(tmp_path / "home").prepare()
    journal = Journal(home.database)
    yield Registry(home, journal)
    journal.close()


def _save(registry, run, start=0.0, **more):
    return registry.save(
        run, "heart", Perceptron(4), np.arange(5.0) + start, {**CARD, "run": run, **more}
    )


def test_n_runs_give_n_versions_whether_or_not_their_weights_are_the_same(registry):
    hashes = [_save(registry, f"run-{n}", start=n // 2) for n in range(6)]
    versions = registry.versions()
    assert [v.name for v in versions] == ["v1", "v2", "v3", "v4", "v5", "v6"]
    assert len(set(hashes)) == 3
    assert [v.first for v in versions] == [True, False] * 3
    for number, version in enumerate(versions):
        assert registry.find(f"run-{number}") == version == registry.find(version.name)
        assert version.card["run"] == f"run-{number}"
        assert np.array_equal(registry.load(version), np.arange(5.0) + number // 2)
        registry.verify(version)
    assert registry.find(hashes[0][:8]).number == 1


def test_saving_again_after_a_crash_keeps_the_first_card(registry):
    _save(registry, "run", seconds=1)
    first = registry.find("run").text
    _save(registry, "run", seconds=2)
    assert [v.text for v in registry.versions()] == [first]
    assert registry.card_path(registry.find("run")).read_text() == first


@pytest.mark.parametrize("damage", ["deleted", "changed", "cut", "card"])
def test_a_lost_or_damaged_version_comes_back_byte_for_byte(registry, damage):
    path = registry.path(_save(registry, "run"))
    version = registry.find("run")
    data, card = path.read_bytes(), registry.card_path(version)
    text = card.read_bytes()
    match damage:
        case "deleted":
            path.unlink()
            card.unlink()
        case "changed":
            path.write_bytes(data[:-1] + b"x")
        case "cut":
            path.write_bytes(data[: len(data) // 2])
        case "card":
            card.write_text("{}")
    with pytest.raises(CheckFailed, match="models restore v1"):
        registry.verify(version)
    assert "backups/models" in registry.restore(version)
    assert (path.read_bytes(), card.read_bytes()) == (data, text)
    registry.verify(version)
    aside = path if damage in ("changed", "cut") else card
    assert aside.with_name(f"{aside.name}.damaged").exists() is (damage != "deleted")


def test_a_version_comes_back_from_a_snapshot_or_says_where_it_looked(registry):
    path = registry.path(_save(registry, "run"))
    data = path.read_bytes()
    path.unlink()
    copy = registry.home.backups / "models" / path.name
    copy.write_bytes(b"damaged as well")
    with pytest.raises(CheckFailed, match="backups/models, a snapshot, the state"):
        registry.restore(registry.find("run"), [("a snapshot", lambda name: b"other bytes")])
    assert not path.exists()
    found = registry.restore(registry.find("run"), [("a snapshot", {path.name: data}.get)])
    assert found == "a snapshot"
    assert path.read_bytes() == data == copy.read_bytes()


def test_the_state_with_which_a_run_ended_still_has_the_weights(registry):
    path = registry.path(_save(registry, "run"))
    data = path.read_bytes()
    progress = states.Progress("run", 1, (), "[]", np.arange(5.0), 0.1, 1)
    registry.journal.open_run("run", "heart", "{}", "", {})
    registry.journal.save("run", states.Terminated(progress, "completed", "", 1, {}, {}), [])
    path.unlink()
    (registry.home.backups / "models" / path.name).unlink()
    assert "state" in registry.restore(registry.find("run"))
    assert path.read_bytes() == data


def test_a_disk_that_fails_at_any_write_loses_nothing(tmp_path, monkeypatch):
    """Every sync to disk fails once, in turn; what was there stays, and the save succeeds after."""
    sync, failed = os.fsync, 0
    for number in range(1, 50):
        home = Home(tmp_path / f"home-{number}").prepare()
        journal = Journal(home.database)
        registry = Registry(home, journal)
        before = _save(registry, "before")
        count = 0

        def failing(handle, number=number):
            nonlocal count
            count += 1
            if count == number:
                raise OSError(28, "No space left on device")
            sync(handle)

        monkeypatch.setattr("os.fsync", failing)
        with contextlib.suppress(RunAborted):
            _save(registry, "after", start=7)
        monkeypatch.setattr("os.fsync", sync)
        if count >= number:
            failed += 1
            assert [v.run for v in registry.versions()] == ["before"]
        registry.verify(registry.find("before"))
        assert registry.find("before").sha256 == before
        _save(registry, "after", start=7)
        registry.verify(registry.find("after"))
        assert not list(home.root.rglob("*.tmp"))
        journal.close()
        if count < number:
            break
    assert failed >= 4


def test_a_full_database_is_said_and_rolls_back(registry):
    _save(registry, "before")
    pages = registry.journal._db.execute("PRAGMA page_count").fetchone()[0]
    registry.journal._db.execute(f"PRAGMA max_page_count={pages}")

    def fill():
        for number in range(100):
            _save(registry, f"run-{number}", start=number, more="x" * 4000)

    with pytest.raises(RunAborted, match="full"):
        fill()
    versions = registry.versions()
    registry.journal._db.execute("PRAGMA max_page_count=100000")
    _save(registry, "after", start=1000)
    assert len(registry.versions()) == len(versions) + 1
    for version in registry.versions():
        registry.verify(version)


def test_a_name_that_nothing_has_is_refused(registry):
    _save(registry, "run")
    for name in ("v2", "0000", "ab", "latest-run"):
        with pytest.raises(BadInput, match="models list"):
            registry.find(name)


def test_a_card_holds_no_number_that_json_has_not(registry):
    with pytest.raises(ValueError, match="JSON"):
        _save(registry, "run", metrics=float("nan"))
    assert registry.versions() == []
    assert json.dumps(registry.versions()) == "[]"
