"""A backup is whole or not there, comes back byte for byte, and says what is wrong with it."""

import json
import os
import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import BadInput, CheckFailed, RunAborted
from aegis.identity.identity import Identity
from aegis.identity.keyfile import Keys
from aegis.store.backup import chunks as chunking
from aegis.store.backup import vault as vaults
from aegis.store.backup.backups import Backups
from aegis.store.backup.chunks import Chunks
from aegis.store.backup.lock import alone
from aegis.store.backup.retention import Keep, thinned
from aegis.store.backup.snapshot import is_private
from aegis.store.home import Home
from aegis.store.journal import Journal
from aegis.store.registry import Registry
from aegis.tasks.models import Perceptron

PHRASE = "five words drawn by chance"


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    monkeypatch.setattr(vaults, "COST", 2)


@pytest.fixture
def home(tmp_path):
    """A data root with a database, versions, files and keys."""
    home = Home(tmp_path / "home").prepare()
    journal = Journal(home.database)
    registry = Registry(home, journal)
    for number in range(3):
        registry.save(f"run-{number}", "heart", Perceptron(4), np.arange(5.0) + number, {})
    journal.close()
    (home.results("run-0")).mkdir(parents=True)
    (home.results("run-0") / "result.json").write_text('{"run": "run-0"}')
    (home.root / "experiments" / "big.json").write_bytes(os.urandom(5000) * 500)
    Keys(home.keys).write(Identity.generate("ana"))
    return home


def _files(root, but=("backups",)):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
        and path.relative_to(root).parts[0] not in but
        and path.suffix != ".db"
        and not path.name.endswith(("-wal", "-shm"))
    }


def _rows(home):
    db = sqlite3.connect(home.database)
    rows = db.execute("SELECT * FROM models").fetchall()
    db.close()
    return rows


@pytest.mark.parametrize("sealed", [False, True])
def test_a_backup_comes_back_byte_for_byte_on_a_fresh_root(home, tmp_path, sealed):
    backups = Backups(home.backups, PHRASE if sealed else None)
    made = backups.create(home, encrypt=sealed, with_keys=sealed)
    assert backups.verify() == []
    done = Backups(home.backups, PHRASE if sealed else None).restore(tmp_path / "new", made.name)
    new = Home(done.root)
    before = _files(home.root)
    if not sealed:
        before = {name: data for name, data in before.items() if not name.endswith(".key")}
    assert _files(new.root) == before
    assert _rows(new) == _rows(home)
    if sealed:
        assert Keys(new.keys).read("ana").public == Keys(home.keys).read("ana").public
    journal = Journal(new.database)
    for version in Registry(new, journal).versions():
        Registry(new, journal).verify(version)
    journal.close()


def test_a_second_backup_stores_what_changed_only(home):
    backups = Backups(home.backups)
    backups.create(home)
    first = set((home.backups / "chunks").rglob("*"))
    (home.root / "experiments" / "small.json").write_text("{}")
    backups.create(home)
    new = {path for path in set((home.backups / "chunks").rglob("*")) - first if path.is_file()}
    assert len(new) == 1


def test_private_keys_are_never_in_a_backup_unless_asked_and_then_only_encrypted(home, tmp_path):
    (home.root / "logs" / "note.txt").write_text(
        "-----BEGIN " + "PRIVATE KEY-----\nAA==\n-----END " + "PRIVATE KEY-----"
    )
    (home.results("run-0") / "hospitals").mkdir()
    (home.results("run-0") / "hospitals" / "keys.json").write_text('{"a": "00"}')
    backups = Backups(home.backups, PHRASE)
    with pytest.raises(BadInput, match="encrypted or not at all"):
        backups.create(home, with_keys=True)
    assert backups.names() == []
    plain = backups.create(home)
    held = _files(backups.restore(tmp_path / "plain", plain.name).root)
    assert not [name for name in held if name.endswith((".key", "keys.json", "note.txt"))]
    assert "keys/ana.public.json" in held
    backups.create(home, encrypt=True, with_keys=True)
    held = _files(backups.restore(tmp_path / "sealed").root)
    assert {"keys/ana.key", "results/run-0/hospitals/keys.json", "logs/note.txt"} <= set(held)
    assert (tmp_path / "sealed" / "keys").stat().st_mode & 0o777 == 0o700


def test_an_encrypted_backup_shows_neither_names_nor_bytes(home):
    secret = "ward-seven-and-its-diagnoses"
    (home.root / "results" / f"{secret}.json").write_text(secret * 20)
    Backups(home.backups, PHRASE).create(home, encrypt=True)
    for path in home.backups.rglob("*"):
        if path.is_file() and path.parent.name != "models":
            assert secret.encode() not in path.read_bytes()
            assert secret not in path.name
    assert not (home.backups / "chunks").exists()


def test_a_wrong_passphrase_is_said_and_changes_nothing(home, tmp_path):
    Backups(home.backups, PHRASE).create(home, encrypt=True)
    before = _files(home.backups, but=())
    for wrong, said in (
        ("another five words of chance", "not the passphrase"),
        (None, "need their passphrase"),
    ):
        with pytest.raises(BadInput, match=said):
            Backups(home.backups, wrong).restore(tmp_path / "new")
        with pytest.raises(BadInput, match=said):
            Backups(home.backups, wrong).create(home, encrypt=True)
    assert not (tmp_path / "new").exists()
    assert _files(home.backups, but=()) == before
    with pytest.raises(BadInput, match="at least 12"):
        Backups(tmp_path / "other", "short").create(home, encrypt=True)


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("damage", ["missing", "changed", "cut", "swapped", "list", "vault"])
def test_damage_is_found_said_and_restores_nothing(home, tmp_path, damage, sealed):
    backups = Backups(home.backups, PHRASE)
    made = backups.create(home, encrypt=sealed)
    folder = home.backups / ("sealed" if sealed else "chunks")
    path, other = sorted(path for path in folder.rglob("*") if path.is_file())[:2]
    match damage:
        case "missing":
            path.unlink()
        case "changed":
            data = path.read_bytes()
            path.write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
        case "cut":
            path.write_bytes(path.read_bytes()[:-3])
        case "swapped":
            path.write_bytes(other.read_bytes())
        case "list":
            listed = home.backups / f"{made.name}.json"
            listed.write_text(listed.read_text().replace('"files": ', '"files":  1', 1))
        case "vault" if sealed:
            (home.backups / "vault.json").write_text("{}")
        case "vault":
            return
    again = Backups(home.backups, PHRASE)
    if damage in ("list", "vault"):
        with pytest.raises(CheckFailed, match="damaged"):
            again.verify(made.name)
    else:
        assert again.verify()
    with pytest.raises(CheckFailed):
        again.restore(tmp_path / "new", made.name)
    assert not (tmp_path / "new").exists()
    assert not [path for path in tmp_path.iterdir() if "restoring" in path.name]


def test_what_is_there_is_moved_aside_never_overwritten(home):
    backups = Backups(home.backups)
    made = backups.create(home)
    model = next((home.root / "models").glob("*.safetensors"))
    model.write_bytes(b"made after the backup")
    with pytest.raises(BadInput, match="is a data root already"):
        backups.restore(home.root)
    assert model.read_bytes() == b"made after the backup"
    done = backups.restore(home.root, force=True)
    assert (done.aside / "models" / model.name).read_bytes() == b"made after the backup"
    assert model.read_bytes() != b"made after the backup"
    assert Backups(home.backups).names() == [made.name]
    assert Backups(home.backups).verify() == []


def test_a_list_that_leads_out_of_the_root_is_refused(home, tmp_path):
    backups = Backups(home.backups)
    made = backups.create(home)
    path = home.backups / f"{made.name}.json"
    for name in ("../outside.txt", "/tmp/outside.txt", "a/../../outside.txt", "c:\\outside"):
        document = json.loads(path.read_text())
        files = document["body"]["files"]
        document["body"]["files"] = {name: next(iter(files.values()))}
        del document["sha256"]
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
        document["sha256"] = __import__("hashlib").sha256(canonical).hexdigest()
        path.write_text(json.dumps(document))
        with pytest.raises(CheckFailed, match="outside of a data root"):
            backups.restore(tmp_path / "new")
    assert not (tmp_path / "outside.txt").exists()


def test_a_disk_that_fails_at_any_write_leaves_the_backups_there_were(home, tmp_path, monkeypatch):
    backups = Backups(home.backups)
    first = backups.create(home)
    sync, failures = os.fsync, 0
    for number in range(1, 40):
        (home.root / "experiments" / "new.json").write_bytes(os.urandom(3000))
        (home.root / "experiments" / "newer.json").write_bytes(os.urandom(3000))
        count = 0

        def failing(handle, number=number):
            nonlocal count
            count += 1
            if count >= number:
                raise OSError(28, "No space left on device")
            sync(handle)

        monkeypatch.setattr("os.fsync", failing)
        names = backups.names()
        failed = False
        try:
            backups.create(home)
        except RunAborted:
            failed = True
        monkeypatch.setattr("os.fsync", sync)
        # After the rename only the folder's own sync can fail: the list is then there, and whole.
        assert failed == (count >= number)
        assert set(names) <= set(backups.names())
        for name in backups.names():
            assert backups.verify(name) == []
        assert not [p for p in home.backups.iterdir() if p.name.startswith(".2")]
        if not failed:
            break
        failures += 1
    assert failures >= 4
    done = backups.restore(tmp_path / "new", first.name)
    assert "experiments/new.json" not in _files(done.root)


def test_a_restore_that_fails_leaves_nothing_half_done(home, tmp_path, monkeypatch):
    backups = Backups(home.backups)
    backups.create(home)
    sync = os.fsync
    for number in (1, 3, 6):
        count = 0

        def failing(handle, number=number):
            nonlocal count
            count += 1
            if count == number:
                raise OSError(28, "No space left on device")
            sync(handle)

        monkeypatch.setattr("os.fsync", failing)
        with pytest.raises(RunAborted, match="No space left"):
            backups.restore(tmp_path / "new")
        monkeypatch.setattr("os.fsync", sync)
        assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert backups.restore(tmp_path / "new").files > 5


def test_databases_are_copied_at_one_moment_while_they_are_written(home, tmp_path):
    """A writer puts equal numbers of rows into two databases, the journal first; a copy never has
    more in the second than the first, nor a row of half a transaction."""
    other = home.root / "results" / "run-0" / "other.db"
    first, second = sqlite3.connect(home.database), sqlite3.connect(other)
    second.execute("PRAGMA journal_mode=WAL")
    for db in (first, second):
        db.execute("CREATE TABLE told (number INTEGER, half INTEGER)")
        db.commit()
        db.close()
    stop, failed = threading.Event(), []

    def writing():
        try:
            dbs = [sqlite3.connect(path, timeout=30) for path in (home.database, other)]
            number = 0
            while not stop.is_set():
                number += 1
                for db in dbs:
                    with db:
                        db.execute("INSERT INTO told VALUES (?, 1)", (number,))
                        db.execute("INSERT INTO told VALUES (?, 2)", (number,))
            for db in dbs:
                db.close()
        except Exception as error:
            failed.append(error)

    writer = threading.Thread(target=writing)
    writer.start()
    backups = Backups(tmp_path / "elsewhere")
    for _ in range(4):
        backups.create(home)
    stop.set()
    writer.join()
    assert failed == []
    for number, name in enumerate(backups.names()):
        root = backups.restore(tmp_path / f"new-{number}", name).root
        counts = []
        for path in (root / "federated_learning.db", root / "results" / "run-0" / "other.db"):
            db = sqlite3.connect(path)
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            counts.append(db.execute("SELECT COUNT(*) FROM told").fetchone()[0])
            db.close()
        # The journal is held still first; the other writer may be one step behind, or done with it.
        assert counts[0] % 2 == counts[1] % 2 == 0
        assert counts[0] - 2 <= counts[1] <= counts[0]


def test_one_process_at_a_time_and_a_lock_ends_with_its_process(home):
    backups = Backups(home.backups)
    with alone(home.backups), pytest.raises(BadInput, match="is making or removing backups"):
        backups.create(home)
    assert backups.names() == []
    (home.backups / ".20260101-000000-aaaa.staging").mkdir()
    assert backups.create(home).files > 3
    assert not list(home.backups.glob(".*.staging"))


def test_pruning_keeps_what_is_kept_and_frees_what_nothing_needs(home, tmp_path):
    backups = Backups(home.backups, PHRASE)
    for number in range(4):
        (home.root / "experiments" / "new.json").write_bytes(os.urandom(9000))
        backups.create(home, encrypt=number % 2 == 1)
    kept = backups.names()[-2:]
    stray = home.backups / "chunks" / "ab" / ("ab" * 32)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"left by a crash")
    gone, freed = Backups(home.backups).prune(Keep(last=2))
    assert (len(gone), backups.names()) == (2, kept)
    assert freed > 9000
    assert not stray.exists()
    for number, name in enumerate(kept):
        assert backups.verify(name) == []
        backups.restore(tmp_path / f"new-{number}", name)


def test_nothing_is_pruned_where_a_list_cannot_be_read(home):
    backups = Backups(home.backups)
    for _ in range(3):
        backups.create(home)
    last = home.backups / f"{backups.names()[-1]}.json"
    last.write_text("{")
    before = _files(home.backups, but=())
    with pytest.raises(CheckFailed, match="damaged"):
        backups.prune(Keep(last=1))
    assert _files(home.backups, but=()) == before


NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@settings(max_examples=200)
@given(
    st.lists(st.integers(-1, 90 * 24), unique=True, max_size=60),
    st.builds(Keep, st.integers(1, 5), st.integers(0, 9), st.integers(0, 5), st.integers(0, 4)),
)
def test_thinning_keeps_the_latest_and_one_of_each_period(hours, keep):
    dated = {f"b{hour}": NOW - timedelta(hours=hour) for hour in hours}
    stay = set(dated) - thinned(dated, keep, NOW)
    latest = sorted(dated, key=lambda name: dated[name], reverse=True)
    assert set(latest[: keep.last]) <= stay
    days = sorted({time.date() for time in dated.values()}, reverse=True)
    for day in days[: keep.daily]:
        assert max((n for n in dated if dated[n].date() == day), key=lambda n: dated[n]) in stay
    many = keep.last + keep.daily + keep.weekly + keep.monthly
    assert len(stay) <= many + sum(time > NOW for time in dated.values())
    assert thinned({n: dated[n] for n in stay}, keep, NOW) == set()


def test_keeping_nothing_is_refused():
    with pytest.raises(BadInput, match="no backup at all"):
        Keep(0)


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=3000), max_size=5), st.booleans())
def test_chunks_give_back_what_they_took(tmp_path_factory, parts, sealed):
    folder = tmp_path_factory.mktemp("chunks")
    vault = vaults.Vault(bytes(32)) if sealed else None
    chunks = Chunks(folder, vault)
    names = [chunks.put(part) for part in parts]
    assert list(chunks.joined(names)) == parts
    assert len(set(names)) == len(set(parts))
    other = Chunks(folder, vaults.Vault(bytes([1] * 32)) if sealed else None)
    if sealed and parts:
        with pytest.raises(CheckFailed, match="changed or damaged"):
            other.get(names[0])


def test_a_chunk_that_would_fill_the_disk_is_refused(tmp_path):
    import zlib

    chunks = Chunks(tmp_path)
    name = chunks.put(b"small")
    chunks.path(name).write_bytes(zlib.compress(bytes(chunking.SIZE * 40)))
    with pytest.raises(CheckFailed, match="changed or damaged"):
        chunks.get(name)


@pytest.mark.parametrize(
    ("name", "private"),
    [("a.key", True), ("keys.json", True), ("a.public.json", False), ("a.json", False)],
)
def test_private_files_are_known_by_name_or_content(tmp_path, name, private):
    path = Path(tmp_path / name)
    path.write_text("{}")
    assert is_private(path) is private


def test_a_root_without_anything_and_a_folder_without_backups_say_so(tmp_path):
    backups = Backups(tmp_path / "none")
    with pytest.raises(BadInput, match="no data root"):
        backups.create(Home(tmp_path / "nowhere"))
    with pytest.raises(BadInput, match="holds no backup"):
        backups.restore(tmp_path / "new")
    assert backups.names() == []
    assert backups.find("models/x") is None


def test_a_folder_that_cannot_be_written_is_said(home):
    with pytest.raises(RunAborted, match="cannot be written"):
        Backups(Path("/proc/aegis")).create(home)


def test_what_others_could_not_read_they_cannot_read_in_a_backup_either(home, tmp_path):
    inside = home.root / "hospitals" / "north"
    (inside / "federation").mkdir(parents=True, mode=0o700)
    (inside / "federation" / "federation.json").write_text('{"road": {"password": "sesame"}}')
    (inside / "features").mkdir()
    (inside / "features" / "images").write_text("what a patient looks like")
    (home.root / "xmpp").mkdir()
    (home.root / "xmpp" / "accounts.json").write_text('{"north": "sesame"}')
    (home.keys / "console.token").write_text("sesame")
    # Whoever has the key of tokens logs in as anybody, this machine included.
    (home.keys / "console-tokens.json").write_text('[{"kid": "1", "key": "00"}]')
    backups = Backups(tmp_path / "backups")
    backups.create(home)
    assert (tmp_path / "backups" / "chunks").stat().st_mode & 0o077 == 0
    backups.restore(tmp_path / "again")
    found = "".join(path.as_posix() for path in (tmp_path / "again").rglob("*"))
    kept = ("accounts.json", "console.token", "console-tokens", "north/federation", "features")
    for left_out in kept:
        assert left_out not in found


def test_a_list_that_was_altered_opens_no_folder_to_others(home, tmp_path):
    backups = Backups(home.backups)
    made = backups.create(home)
    path = home.backups / f"{made.name}.json"
    document = json.loads(path.read_text())
    body = document["body"]
    body["folders"] = dict.fromkeys(body["folders"], 0o777)
    body["files"] = {name: one | {"mode": 0o6777} for name, one in body["files"].items()}
    del document["sha256"]
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    document["sha256"] = __import__("hashlib").sha256(canonical).hexdigest()
    path.write_text(json.dumps(document))
    root = backups.restore(tmp_path / "new").root
    assert {one.stat().st_mode & 0o7022 for one in root.rglob("*")} == {0}
