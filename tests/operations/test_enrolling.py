"""The front desk over real HTTP: who gets in, who waits, who is turned away, and why."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time

import pytest

from aegis.console.calling import Calling
from aegis.console.listening import Listening
from aegis.errors import BadInput, CheckFailed, RunAborted
from aegis.identity.certificates import Authority, certificate_request, pem
from aegis.identity.enrolment import EnrolRequest
from aegis.identity.join_code import JoinCode
from aegis.operations.coordinator.enrolling import FrontDesk
from aegis.operations.coordinator.office import Office
from aegis.operations.hospital.folder import HospitalFolder, Registered, init, policy_text
from aegis.operations.hospital.joining import join
from aegis.operations.hospital.policies import for_public_data
from aegis.store.home import Home
from tests.operations.here import Here

TOKEN = "a-token"


@pytest.fixture
def here(tmp_path):
    found = Here(tmp_path)
    with found.coordinator:
        yield found


@pytest.fixture
def listening(here):
    with Listening(here.window(TOKEN), "127.0.0.1", 0, None) as found:
        yield found


def hospital(here, name):
    folder = here.folder(name)
    data = Registered("breast_cancer", share="1/2")
    return folder, init(folder, data, policy_text(name, for_public_data()))


def call(listening, method, path, body=None, token=TOKEN):
    connection = http.client.HTTPConnection("127.0.0.1", listening.port, timeout=10)
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read()), reply.headers
    finally:
        connection.close()


def test_a_trusted_code_lets_its_hospital_in_with_one_command(here, listening):
    folder, identity = hospital(here, "north")
    code = here.coordinator.desk.invite("north", f"localhost:{listening.port}", trusted=True)
    joined = join(folder, identity, JoinCode.read(code.text))
    assert joined.road["road"] == "queues"
    assert here.office.hospitals() == ("north",)
    again = join(folder, identity, JoinCode.read(code.text))
    assert again.authority == joined.authority


def test_without_trust_it_waits_until_its_fingerprint_was_read_back(here, listening):
    folder, identity = hospital(here, "north")
    desk = here.coordinator.desk
    code = desk.invite("north", f"localhost:{listening.port}")
    told: list[str] = []

    def rest(seconds):
        assert here.office.hospitals() == ()
        with pytest.raises(CheckFailed, match="read back"):
            desk.confirm("north", "0000 " * 8)
        desk.confirm("north", told[0].split(": ")[1])

    join(folder, identity, code, told=told.append, rest=rest)
    assert here.office.hospitals() == ("north",)
    assert desk.waiting() == []


def test_nobody_joins_under_another_name_than_the_codes(here, listening):
    folder, identity = hospital(here, "south")
    code = here.coordinator.desk.invite("north", f"localhost:{listening.port}", trusted=True)
    with pytest.raises(CheckFailed, match="for north, not for south"):
        join(folder, identity, code)
    assert here.office.hospitals() == ()
    join(*hospital(here, "north"), code)  # a slip at another place has not used it up
    assert here.office.hospitals() == ("north",)


def test_a_code_of_another_federation_is_found_out_before_anything_is_sent(here, listening):
    folder, identity = hospital(here, "north")
    good = here.coordinator.desk.invite("north", f"localhost:{listening.port}", trusted=True)
    forged = JoinCode(good.address, good.secret, bytes(16))
    with pytest.raises(CheckFailed, match="not the federation"):
        join(folder, identity, forged)


def test_a_used_code_lets_no_other_keys_in(here, listening, tmp_path):
    folder, identity = hospital(here, "north")
    code = here.coordinator.desk.invite("north", f"localhost:{listening.port}", trusted=True)
    join(folder, identity, code)
    other = HospitalFolder(tmp_path / "thief", "north")
    thief = init(
        other, Registered("breast_cancer", share="2/2"), policy_text("north", for_public_data())
    )
    with pytest.raises(CheckFailed, match="used by another"):
        join(other, thief, code)


def test_a_coordinator_that_is_not_there_is_said_with_the_way_out(here):
    folder, identity = hospital(here, "north")
    code = here.coordinator.desk.invite("north", "localhost:9", trusted=True)
    with pytest.raises(RunAborted, match="cannot be reached"):
        join(folder, identity, code)


def test_a_member_is_not_invited_twice(here, listening):
    folder, identity = hospital(here, "north")
    desk = here.coordinator.desk
    join(folder, identity, desk.invite("north", f"localhost:{listening.port}", trusted=True))
    with pytest.raises(BadInput, match="member already"):
        desk.invite("north", "localhost:1")


def test_over_tls_only_the_federations_own_root_is_believed(here):
    office = here.office.open("test", ["localhost"])
    with Listening(here.window(TOKEN), "127.0.0.1", 0, office.trust) as listening:
        context = ssl.create_default_context(cafile=str(office.trust.root))
        address = ("127.0.0.1", listening.port)
        with (
            socket.create_connection(address) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secured,
        ):
            assert secured.version() == "TLSv1.3"
        other = here.root / "other.pem"
        other.write_bytes(pem(Authority.create("other").root.certificate))
        strange = ssl.create_default_context(cafile=str(other))
        with (
            socket.create_connection(address) as plain,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            strange.wrap_socket(plain, server_hostname="localhost")


def test_plain_http_is_spoken_on_loopback_only(here):
    with pytest.raises(BadInput, match="plain HTTP"):
        Listening(here.window(TOKEN), "0.0.0.0", 0, None)


def test_a_taken_port_is_said_at_once(here, listening):
    with pytest.raises(BadInput, match="is taken"):
        Listening(here.window(TOKEN), "127.0.0.1", listening.port, None)


def test_state_and_control_need_the_token(here, listening):
    assert call(listening, "GET", "/api/state", token="guess")[0] == 401
    assert call(listening, "POST", "/api/control", {"action": "stop"}, token="")[0] == 401
    status, found, headers = call(listening, "GET", "/api/state")
    assert (status, found["state"]) == (200, "Idle")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert call(listening, "GET", "/health", token="")[0] == 200


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"action": "start"}, 400, "needs a plan"),
        ({"action": "start", "plan": "task: nonsense"}, 400, "nonsense"),
        ({"action": "start", "plan": {"task": "breast_cancer", "oops": 1}}, 400, "oops"),
        ({"action": "pause"}, 400, "no run"),
    ],
)
def test_a_wish_that_cannot_be_met_says_why(listening, body, status, said):
    found = call(listening, "POST", "/api/control", body)
    assert found[0] == status
    assert said in json.dumps(found[1])


def test_no_result_is_read_from_outside_its_folder(listening):
    assert call(listening, "GET", "/api/results/..%2F..%2Fkeys")[0] in (400, 404)
    assert call(listening, "GET", "/api/results/nothing")[0] == 404


def test_a_body_beyond_its_limit_is_refused_before_it_is_read(listening):
    connection = http.client.HTTPConnection("127.0.0.1", listening.port, timeout=10)
    connection.putrequest("POST", "/api/enrol")
    connection.putheader("Content-Length", str(10**9))
    connection.endheaders()
    reply = connection.getresponse()
    assert reply.status == 413
    reply.read()
    connection.close()


def test_who_says_nothing_is_cut_off(here, monkeypatch):
    monkeypatch.setattr("aegis.console.listening.PATIENCE_S", 0.5)
    with (
        Listening(here.window(TOKEN), "127.0.0.1", 0, None) as listening,
        socket.create_connection(("127.0.0.1", listening.port), timeout=10) as slow,
    ):
        slow.sendall(b"GET /health HT")
        begun = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            assert slow.recv(100) == b""
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    "then",
    [
        b"GET /health HT",
        b"POST /api/enrol HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
    ],
)
def test_who_is_slow_with_a_second_request_is_cut_off_too(here, monkeypatch, then):
    monkeypatch.setattr("aegis.console.listening.PATIENCE_S", 0.5)
    with (
        Listening(here.window(TOKEN), "127.0.0.1", 0, None) as listening,
        socket.create_connection(("127.0.0.1", listening.port), timeout=10) as slow,
    ):
        slow.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in slow.recv(4096)
        time.sleep(0.6)  # the connection's own time is over, and it is idle
        slow.sendall(then)
        begun = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            assert slow.recv(100) == b""
        assert time.monotonic() - begun < 3  # before the idle clock of 5 s


def test_a_stranger_that_has_to_wait_costs_no_write(here, listening):
    _, identity = hospital(here, "north")
    desk = here.coordinator.desk
    stranger = JoinCode.new("localhost:1", here.office.fingerprint)
    for number in range(8):
        _, asked = certificate_request("north")
        request = EnrolRequest.of(stranger, identity, time.time(), asked)
        with pytest.raises(CheckFailed, match="not known" if number < 5 else "too many"):
            desk.enrol(request.to_bytes(), "10.0.0.9")
        if number == 5:
            written = desk.path.stat().st_mtime_ns
    assert desk.waiting() == []
    assert desk.path.stat().st_mtime_ns == written


def test_a_crash_between_admission_and_its_note_leaves_nobody_waiting_for_ever(here, listening):
    _, identity = hospital(here, "north")
    desk = here.coordinator.desk
    code = desk.invite("north", f"localhost:{listening.port}")
    _, asked = certificate_request("north")
    desk.enrol(EnrolRequest.of(code, identity, time.time(), asked).to_bytes())
    here.office.registrar.admit(identity.public)  # and there the power failed
    desk.confirm("north", identity.public.fingerprint)
    assert desk.waiting() == []
    assert here.office.hospitals() == ("north",)


def test_who_enrols_again_after_a_revocation_finds_the_old_way_in_closed(here, monkeypatch):
    here.make("north", Registered("breast_cancer", share="1/2"))
    here.office.registrar.revoke("north", "laptop stolen")
    expelled = []
    monkeypatch.setattr(here.queues, "expel", expelled.append)
    _, identity = hospital(Here(here.root / "anew"), "north")
    code = here.coordinator.desk.invite("north", "localhost:1", trusted=True)
    _, asked = certificate_request("north")
    here.coordinator.desk.enrol(EnrolRequest.of(code, identity, time.time(), asked).to_bytes())
    assert expelled == ["north"]
    assert here.office.hospitals() == ("north",)


def test_a_token_is_not_sent_in_clear_over_a_network(monkeypatch):
    monkeypatch.setenv("AEGIS_TOKEN", TOKEN)
    with pytest.raises(BadInput, match="show the coordinator's token"):
        Calling("http://coordinator.example:8080")
    for url in (
        "http://localhost:1",
        "http://127.0.0.1:1",
        "http://[::1]:1",
        "https://a.example:1",
    ):
        assert Calling(url).url == url


def test_an_old_request_that_is_sent_again_exchanges_no_members_way_in(here, monkeypatch):
    _, identity = hospital(here, "north")
    desk = here.coordinator.desk
    code = desk.invite("north", "localhost:1", trusted=True)
    _, asked = certificate_request("north")
    request = EnrolRequest.of(code, identity, time.time(), asked).to_bytes()
    assert desk.enrol(request)
    assert desk.enrol(request)  # its answer may have been lost
    admitted = []
    monkeypatch.setattr(here.queues, "admit", lambda *who: admitted.append(who))
    later = FrontDesk(here.office, here.queues.admit, clock=lambda: time.time() + 1000)
    with pytest.raises(CheckFailed, match="another time"):
        later.enrol(request)
    assert admitted == []


def test_two_desks_do_not_lose_each_others_codes(here):
    office = Office(Home(here.root / "coordinator"))

    def invite(first):
        for number in range(first, first + 5):
            FrontDesk(office).invite(f"hospital-{number}", "localhost:1")

    threads = [threading.Thread(target=invite, args=(10 * one,)) for one in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    document = json.loads(here.coordinator.desk.path.read_text())
    assert len(document["names"]) == 15
