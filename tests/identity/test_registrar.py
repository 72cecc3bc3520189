"""The registrar: one change after the other, and nothing without its authority."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from aegis.errors import BadInput, RunAborted
from aegis.identity import registrar
from aegis.identity.identity import Identity
from aegis.identity.registrar import Registrar


@pytest.fixture
def office(tmp_path):
    made = Registrar(tmp_path / "keys")
    made.begin("hearts")
    return made


def test_a_federation_begins_once(office):
    authority = office.authority
    office.admit(Identity.generate("mercy").public)
    assert office.begin("minds") == office.membership
    assert (office.membership.federation, office.authority) == ("hearts", authority)


def test_changes_made_at_the_same_time_are_all_kept(office):
    names = [f"h{i}" for i in range(8)]
    people = [Identity.generate(name).public for name in names]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(Registrar(office.folder).admit, people))
    assert [m.identity.name for m in office.membership.members] == names
    assert office.membership.number == 8


def test_a_lock_that_stayed_behind_is_named(office, monkeypatch):
    monkeypatch.setattr(registrar, "_PATIENCE_S", 0.0)
    lock = office.folder / ".federation.json.lock"
    lock.touch()
    with pytest.raises(RunAborted, match=r"federation\.json\.lock"):
        office.admit(Identity.generate("mercy").public)
    lock.unlink()
    office.admit(Identity.generate("mercy").public)
    assert not lock.exists()


def test_a_change_that_is_refused_changes_nothing_and_frees_the_lock(office):
    before = office.membership
    with pytest.raises(BadInput, match="not a member"):
        office.revoke("nobody", "")
    with pytest.raises(BadInput, match="signs the list"):
        office.admit(Identity.generate("authority").public)
    assert office.membership == before
    office.admit(Identity.generate("mercy").public)


def test_without_a_federation_there_is_nothing_to_change(tmp_path):
    empty = Registrar(tmp_path / "keys")
    assert not empty.there
    for change in (lambda: empty.membership, lambda: empty.revoke("mercy", "")):
        with pytest.raises(BadInput, match="holds no federation"):
            change()


def test_a_locked_authority_signs_with_its_passphrase_only(tmp_path, monkeypatch):
    monkeypatch.setattr("aegis.identity.pkcs8.N", 2**8)
    Registrar(tmp_path / "keys", "open sesame").begin("hearts")
    with pytest.raises(BadInput, match="locked"):
        Registrar(tmp_path / "keys").admit(Identity.generate("mercy").public)
    Registrar(tmp_path / "keys", "open sesame").admit(Identity.generate("mercy").public)
    assert Registrar(tmp_path / "keys").membership.number == 1
