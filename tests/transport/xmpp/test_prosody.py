import shutil
import socket
from pathlib import Path

import pytest

from aegis.errors import BadInput, RunAborted
from aegis.transport.xmpp import prosody
from aegis.transport.xmpp.engine import XmppCourier
from aegis.transport.xmpp.prosody import Prosody
from aegis.transport.xmpp.server import Server, configuration, elsewhere, here
from tests.transport.xmpp.site import certified, free_ports

DEPLOYED = Path(__file__).parents[3] / "deploy" / "prosody" / "prosody.cfg.lua"


def written(**changed):
    return configuration(Server(**changed), "/data", certificate="/c.pem", log_to='to = "console"')


def test_the_servers_configuration_leaves_no_door_open():
    text = written()
    for line in (
        "c2s_require_encryption = true",
        "allow_registration = false",
        "allow_unencrypted_plain_auth = false",
        'password_hash = "SHA-256"',
        "s2s_ports = {}",
        "http_ports = {}",
        'modules_disabled = { "s2s", "offline" }',
        "min_wait = 0",
    ):
        assert line in text
    for mechanism in ("PLAIN", "ANONYMOUS", "DIGEST-MD5"):
        assert f'"{mechanism}"' in text.split("disable_sasl_mechanisms")[1].splitlines()[0]
    assert '"register"' not in text


def test_a_host_name_cannot_write_configuration():
    with pytest.raises(BadInput, match="configuration"):
        written(host='x" c2s_require_encryption = false --')


def test_the_deployed_configuration_is_the_one_that_is_tested():
    server = Server(host="xmpp", listen=("*", "::"))
    text = configuration(
        server, "/var/lib/prosody", certificate="/run/aegis/server.pem", log_to='to = "console"'
    )
    assert DEPLOYED.read_text("utf-8") == text


def test_a_taken_port_is_named_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name, path=None: f"/usr/bin/{name}")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        courier = XmppCourier(tmp_path / "keys", certified(tmp_path / "tls"), Server(port=port))
        with pytest.raises(BadInput, match=f"port {port} of 127.0.0.1 is taken"):
            courier.start()


def test_without_prosody_the_way_out_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    with pytest.raises(BadInput, match=r"not installed.*apt-get install prosody.*XMPP_SERVER"):
        XmppCourier(tmp_path / "keys", certified(tmp_path / "tls")).start()


def test_a_server_that_dies_at_once_is_an_error_within_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(prosody, "_command", lambda program, config: ["/bin/false"])
    monkeypatch.setattr(prosody, "_program", lambda: "/bin/false")
    monkeypatch.setattr(prosody, "_is_root", lambda: False)
    port, files_port = free_ports()
    trust = certified(tmp_path / "tls")
    server = Prosody(Server(port=port, files_port=files_port), trust)
    server.prepare()
    folder = server.data.parent
    with pytest.raises(RunAborted, match="did not start"):
        server.start()
    assert not folder.exists()


def test_the_folder_of_a_process_that_was_killed_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(prosody.tempfile, "gettempdir", lambda: str(tmp_path))
    dead, ours, other = (
        tmp_path / name for name in ("aegis-prosody-4194305-x", "aegis-prosody-1-x", "something")
    )
    for folder in (dead, ours, other):
        folder.mkdir()
    prosody._forget_the_dead()
    assert [dead.exists(), ours.exists(), other.exists()] == [False, True, True]


@pytest.mark.parametrize("text", ["broker", "broker:5222", "xmpp://broker", "xmpp://broker:5222/"])
def test_a_server_elsewhere_is_named_in_any_of_these_ways(text):
    assert (elsewhere(text).host, elsewhere(text).port) == ("broker", 5222)


@pytest.mark.parametrize("text", ["", "xmpp://", "https://broker", "broker:x", "broker/room"])
def test_what_names_no_server_is_refused(text):
    with pytest.raises(BadInput, match=r"no XMPP server.*HOST:PORT"):
        elsewhere(text)


def test_ports_that_were_chosen_once_stay(tmp_path):
    first = here(tmp_path / "xmpp", "127.0.0.1", 0, "localhost")
    assert here(tmp_path / "xmpp", "127.0.0.1", 0, "localhost") == first
    assert first.port != first.files_port
    assert here(tmp_path / "xmpp", "127.0.0.1", 5222, "localhost").files_port == 5281


def test_a_server_of_our_own_is_reached_directly_whatever_its_name():
    assert Server("aegis.example", listen=("0.0.0.0", "::")).from_here.address == "127.0.0.1"
    assert Server("aegis.example", listen=("10.0.0.7",)).from_here.address == "10.0.0.7"
