import hashlib
import hmac
import json
import re
import stat

import pytest

from aegis.errors import BadInput, DataError
from aegis.transport.xmpp.accounts import COORDINATOR, Accounts, account, main, scram


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def stored(data, name, host="localhost"):
    return data / host / "accounts" / f"{name}.dat"


def test_an_account_that_is_asked_for_again_is_the_same_even_after_a_restart(tmp_path, data):
    first = Accounts(tmp_path / "keys", "localhost", data).hospital("cleveland")
    again = Accounts(tmp_path / "keys", "localhost", data)
    assert again.hospital("cleveland") == first
    assert again.hospitals == {"cleveland@localhost": "cleveland"}


def test_passwords_are_long_different_and_for_nobody_else_to_read(tmp_path, data):
    accounts = Accounts(tmp_path / "keys", "localhost", data)
    made = {accounts.hospital(name) for name in ("a", "b")} | {accounts.coordinator()}
    assert len(made) == 3
    assert min(map(len, made)) >= 43
    for path in (tmp_path / "keys" / "accounts.json", stored(data, "a")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_server_gets_keys_from_which_no_password_follows(tmp_path, data):
    password = Accounts(tmp_path / "keys", "localhost", data).hospital("a")
    text = stored(data, "a").read_text()
    assert password not in text
    field = dict(re.findall(r'\["(\w+)"\] = "?([^";]+)', text))
    salted = hashlib.pbkdf2_hmac(
        "sha256", password.encode(), field["salt"].encode(), int(field["iteration_count"])
    )
    client = hmac.new(salted, b"Client Key", "sha256").digest()
    assert field["stored_key"] == hashlib.sha256(client).hexdigest()
    assert field["server_key"] == hmac.new(salted, b"Server Key", "sha256").hexdigest()


def test_no_two_accounts_with_one_password_look_alike():
    assert scram("same") != scram("same")


def test_names_that_differ_in_capitals_have_different_accounts(tmp_path, data):
    accounts = Accounts(tmp_path / "keys", "localhost", data)
    accounts.hospital("Cleveland")
    accounts.hospital("cleveland")
    assert accounts.hospitals == {
        "+cleveland@localhost": "Cleveland",
        "cleveland@localhost": "cleveland",
    }
    assert stored(data, "%2bcleveland").exists()


def test_a_host_that_is_an_address_has_its_folder(tmp_path, data):
    Accounts(tmp_path / "keys", "127.0.0.1", data).hospital("a_b")
    assert stored(data, "a%5fb", "127%2e0%2e0%2e1").exists()


@pytest.mark.parametrize("name", [COORDINATOR, "../up", "a b", ""])
def test_a_name_that_would_be_somebody_else_is_refused(tmp_path, data, name):
    with pytest.raises(BadInput):
        Accounts(tmp_path / "keys", "localhost", data).hospital(name)


def test_an_expelled_hospital_is_nobody_and_has_a_new_password_if_it_returns(tmp_path, data):
    accounts = Accounts(tmp_path / "keys", "localhost", data)
    before = accounts.hospital("a")
    accounts.expel("a")
    accounts.expel("a")
    assert not stored(data, "a").exists()
    assert not accounts.hospitals
    assert accounts.hospital("a") != before


def test_at_a_server_that_is_not_ours_accounts_must_exist(tmp_path, data):
    with pytest.raises(BadInput, match="has no account at broker"):
        Accounts(tmp_path / "keys", "broker").hospital("a")
    assert main([str(tmp_path / "keys"), "broker", str(data), "a"]) == 0
    assert account("a") == "a"
    assert Accounts(tmp_path / "keys", "broker").hospital("a")
    assert stored(data, COORDINATOR, "broker").exists()


def test_a_lost_server_gets_all_accounts_again(tmp_path, data):
    Accounts(tmp_path / "keys", "localhost", data).hospital("a")
    stored(data, "a").unlink()
    Accounts(tmp_path / "keys", "localhost", data).write_all()
    assert stored(data, "a").exists()


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"a": 1})])
def test_a_damaged_file_of_accounts_is_an_error_that_names_it(tmp_path, text):
    (tmp_path / "accounts.json").write_text(text)
    with pytest.raises(DataError, match=r"accounts\.json"):
        Accounts(tmp_path, "localhost")


def test_a_server_that_was_taken_over_leads_no_account_elsewhere(tmp_path, data):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (data / "localhost").symlink_to(elsewhere)
    accounts = Accounts(tmp_path / "keys", "localhost", data)
    with pytest.raises(DataError, match="is a link"):
        accounts.hospital("a")
    assert list(elsewhere.iterdir()) == []
