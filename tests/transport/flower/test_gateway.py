"""The door: what hospitals reach, and who is one. Behind it stands a small fake."""

from __future__ import annotations

import http.client
import http.server
import json
import socket
import ssl
import threading
import time
from base64 import b64encode
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("flwr")

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from aegis.errors import BadInput
from aegis.identity.certificates import Certified
from aegis.identity.tls import client_context
from aegis.transport.flower import compat
from aegis.transport.flower import http as limits
from aegis.transport.flower.gateway import FLEET, PATHS, Gateway
from aegis.transport.flower.guests import checked_key
from tests.transport.flower.federation import Certificates, public_key


class Behind(http.server.ThreadingHTTPServer):
    """Says to every path what ``answers`` holds for it, and counts."""

    daemon_threads = True

    def __init__(self, trust) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(trust.own)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.answers: dict[str, list[bytes]] = {}
        self.asked: list[str] = []


class Answering(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append(self.path)
        bodies = self.server.answers.get(self.path, [])
        body = bodies.pop(0) if bodies else b""
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def door(certificates):
    trust = certificates.server()
    behind = Behind(trust)
    threading.Thread(target=behind.serve_forever, args=(0.05,), daemon=True).start()
    arrived: list[tuple[str, str]] = []
    gateway = Gateway(
        "127.0.0.1",
        0,
        trust,
        lambda hospital, message: arrived.append((hospital, message)),
        lambda: (f"127.0.0.1:{behind.server_address[1]}", trust.root.read_bytes()),
    )
    gateway.start()
    yield gateway, behind, arrived
    gateway.stop()
    behind.shutdown()
    behind.server_close()


@pytest.fixture
def hospital(door, certificates):
    trust = certificates.client("north")
    door[0].admit("north", checked_key(public_key(trust)))
    return trust


def signed(trust, at: datetime | None = None) -> dict[str, str]:
    key = Certified.load(trust.own).key
    stamp = (at or datetime.now(UTC)).isoformat()
    return {
        "content-type": "application/protobuf",
        compat.FLEET_HTTP_PUBLIC_KEY_HEADER: b64encode(public_key(trust)).decode(),
        compat.FLEET_HTTP_SIGNATURE_HEADER: b64encode(
            key.sign(stamp.encode(), ec.ECDSA(hashes.SHA256()))
        ).decode(),
        compat.TIMESTAMP_HEADER: stamp,
    }


def ask(door, trust, path, body=b"", headers=None, method="POST"):
    context = client_context(trust.root, trust.own)
    line = http.client.HTTPSConnection("localhost", door[0].port, context=context, timeout=10)
    try:
        line.request(method, path, body, headers if headers is not None else signed(trust))
        answer = line.getresponse()
        return answer.status, answer.read()
    finally:
        line.close()


def test_a_hospital_reaches_the_fleet_api(door, hospital) -> None:
    door[1].answers[FLEET + "send-node-heartbeat"] = [b"alive"]
    assert ask(door, hospital, FLEET + "send-node-heartbeat") == (200, b"alive")
    assert door[0].present() == {"north"}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/start-run",
        "/v1/control/list-nodes",
        "/v1/runtime/push-messages",
        "/v1/fleet/../control/start-run",
        "/v1/fleet/%2e%2e/control/start-run",
        "/v1/fleet/register-node",
        "/v1/fleet/pull-messages?x=1",
        "//v1/fleet/pull-messages",
        "/health",
        "/docs",
    ],
)
def test_nothing_else_is_reached(door, hospital, path) -> None:
    status, body = ask(door, hospital, path)
    assert status == 404
    assert "nothing else" in json.loads(body)["detail"]
    assert door[1].asked == []


def test_only_posts_are_answered(door, hospital) -> None:
    assert ask(door, hospital, FLEET + "get-run", method="GET")[0] == 405


def test_an_unregistered_key_is_told_so(door, certificates) -> None:
    status, body = ask(door, certificates.client("stranger"), FLEET + "activate-node")
    assert status == 401
    assert json.loads(body)["code"] == compat.NO_NODE
    assert "not registered" in json.loads(body)["detail"]
    assert door[1].asked == []


def test_an_expelled_hospital_is_refused_at_once(door, hospital) -> None:
    assert ask(door, hospital, FLEET + "get-run")[0] == 200
    door[0].expel("north")
    assert ask(door, hospital, FLEET + "get-run")[0] == 401


def test_a_request_without_a_signature_is_refused(door, hospital) -> None:
    status, body = ask(door, hospital, FLEET + "get-run", headers={})
    assert status == 401
    assert b"not signed" in body


def test_a_signature_by_another_key_is_refused(door, hospital, certificates) -> None:
    headers = signed(certificates.client("thief"))
    headers[compat.FLEET_HTTP_PUBLIC_KEY_HEADER] = b64encode(public_key(hospital)).decode()
    assert ask(door, hospital, FLEET + "get-run", headers=headers)[0] == 401


def test_a_clock_far_off_is_named(door, hospital) -> None:
    headers = signed(hospital, datetime.now(UTC) - timedelta(minutes=9))
    status, body = ask(door, hospital, FLEET + "get-run", headers=headers)
    assert status == 401
    assert b"clock of north" in body


def test_an_oversized_body_is_refused_before_it_is_sent(door, hospital) -> None:
    context = client_context(hospital.root, hospital.own)
    for path in (FLEET + "push-object", FLEET + "get-run"):
        with (
            socket.create_connection(("localhost", door[0].port), timeout=5) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as line,
        ):
            head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {PATHS[path] + 1}\r\n"
            head += "".join(f"{name}: {value}\r\n" for name, value in signed(hospital).items())
            line.sendall(head.encode() + b"\r\n")
            assert b" 413 " in line.recv(200)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /v1/fleet/get-run HTTP/1.1\r\ntransfer-encoding: chunked\r\nSIGNED\r\n", b" 411 "),
        (b"POST /v1/fleet/get-run HTTP/1.1\r\ncontent-length: -5\r\nSIGNED\r\n", b" 400 "),
        (b"POST /v1/fleet/get-run HTTP/1.1\r\na: 1\r\na: 2\r\n\r\n", b" 400 "),
        (b"POST /v1/fleet/get-run HTTP/1.0\r\n\r\n", b" 400 "),
        (b"x" * 40_000, b" 431 "),
        (b"POST /v1/fl", b" 408 "),
    ],
)
def test_bad_http_is_refused_with_the_reason(door, hospital, monkeypatch, sent, status) -> None:
    monkeypatch.setattr(limits, "HEAD_WITHIN_S", 0.3)
    lines = "".join(f"{name}: {value}\r\n" for name, value in signed(hospital).items())
    context = client_context(hospital.root, hospital.own)
    with (
        socket.create_connection(("localhost", door[0].port), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as line,
    ):
        line.sendall(sent.replace(b"SIGNED\r\n", lines.encode() + b"\r\n"))
        assert status in line.recv(2000)


def test_a_client_of_another_authority_is_refused(door, tmp_path) -> None:
    other = Certificates(tmp_path / "other", "elsewhere").client("spy")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(other.own)
    said = b""
    with (
        suppress(ssl.SSLError, ConnectionError),
        socket.create_connection(("localhost", door[0].port), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as line,
    ):
        line.sendall(b"POST /v1/fleet/get-run HTTP/1.1\r\n\r\n")
        said = line.recv(1)
    assert said == b""


def test_a_question_is_held_until_the_bell_rings(door, hospital, monkeypatch) -> None:
    path = FLEET + "pull-messages"
    door[1].answers[path] = [b"", b"the message"]
    threading.Timer(0.4, door[0].ring, ("north",)).start()
    begin = time.monotonic()
    assert ask(door, hospital, path) == (200, b"the message")
    assert 0.3 < time.monotonic() - begin < 3


def test_a_question_without_an_answer_comes_back_empty(door, hospital, monkeypatch) -> None:
    from aegis.transport.flower import gateway

    monkeypatch.setattr(gateway, "PRESENCE_S", 0.2)
    assert ask(door, hospital, FLEET + "pull-messages") == (200, b"")
    assert door[1].asked == [FLEET + "pull-messages"]


def _reply(to: str, objects: int):
    tree = compat.ObjectTree(object_id="top")
    for number in range(objects):
        tree.children.append(compat.ObjectTree(object_id=str(number)))
    message = compat.message_to_proto(
        compat.make_message(
            metadata=compat.Metadata(1, "m", 3, 1, to, "", 1.0, 9.0, "query"),
            content=compat.RecordDict(),
        )
    )
    return compat.PushMessagesRequest(
        node=compat.Node(node_id=3), messages_list=[message], message_object_trees=[tree]
    ).SerializeToString()


def test_a_reply_is_announced_when_its_last_object_is_in(door, hospital) -> None:
    _, behind, arrived = door
    behind.answers[FLEET + "push-messages"] = [
        compat.PushMessagesResponse(session_id="s", objects_to_push=["0", "1"]).SerializeToString()
    ]
    assert ask(door, hospital, FLEET + "push-messages", _reply("asked", 2))[0] == 200
    part = compat.PushObjectRequest(session_id="s", object_content=b"x").SerializeToString()
    ask(door, hospital, FLEET + "push-object", part)
    assert arrived == []
    ask(door, hospital, FLEET + "push-object", part)
    assert arrived == [("north", "asked")]


def test_a_message_of_too_many_parts_is_refused(door, hospital) -> None:
    status, body = ask(door, hospital, FLEET + "push-messages", _reply("asked", 500))
    assert status == 413
    assert b"500 parts" in body
    assert ask(door, hospital, FLEET + "push-messages", b"\xff\xff")[0] == 400


def test_without_a_superlink_the_answer_is_to_come_again(door, hospital) -> None:
    door[1].shutdown()
    door[1].server_close()
    assert ask(door, hospital, FLEET + "get-run")[0] == 503
    assert door[0].present() == {"north"}


def test_a_taken_port_is_named(door, certificates) -> None:
    second = Gateway("127.0.0.1", door[0].port, certificates.server(), print, lambda: ("", b""))
    with pytest.raises(BadInput, match=f"port 127.0.0.1:{door[0].port} cannot be opened"):
        second.start()


@pytest.mark.parametrize("curve", [ec.SECP521R1(), ec.SECP256K1()])
def test_keys_on_other_curves_are_refused_by_name(curve) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = ec.generate_private_key(curve).public_key()
    with pytest.raises(BadInput, match=curve.name):
        checked_key(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def _free(gateway, handed: float, stored: float) -> bool:
    return gateway.free("north", handed, stored)


def test_a_second_message_waits_until_the_first_was_taken(door, hospital) -> None:
    gateway, _, _ = door
    handed = time.monotonic()
    assert not _free(gateway, handed, -1e9)
    assert not _free(gateway, handed, handed + 0.001)
    ask(door, hospital, FLEET + "pull-object")
    assert not _free(gateway, handed, handed + 0.001)
    ask(door, hospital, FLEET + "confirm-message-received")
    assert _free(gateway, handed, handed + 0.001)


def test_a_hospital_that_asks_again_has_lost_what_it_took(door, hospital, monkeypatch) -> None:
    from aegis.transport.flower import gateway

    monkeypatch.setattr(gateway, "PRESENCE_S", 0.05)
    handed = time.monotonic()
    ask(door, hospital, FLEET + "pull-messages")
    assert _free(door[0], handed, handed + 0.0001)


def test_what_does_not_move_for_long_is_lost(door, hospital) -> None:
    from aegis.transport.flower import gateway

    now = time.monotonic()
    assert not _free(door[0], now - gateway.STUCK_S - 1, -1e9)  # the relay is still busy with it
    assert _free(door[0], now - gateway.STUCK_S - 2, now - gateway.STUCK_S - 1)
    assert _free(door[0], now - gateway.RELAYED_WITHIN_S - 1, -1e9)


def test_a_question_waits_for_the_end_of_an_answer(door, hospital) -> None:
    gateway, behind, _ = door
    handed = time.monotonic()
    ask(door, hospital, FLEET + "confirm-message-received")
    behind.answers[FLEET + "push-messages"] = [
        compat.PushMessagesResponse(session_id="s", objects_to_push=["0"]).SerializeToString()
    ]
    ask(door, hospital, FLEET + "push-messages", _reply("asked", 1))
    assert not _free(gateway, handed, handed)
    part = compat.PushObjectRequest(session_id="s", object_content=b"x").SerializeToString()
    ask(door, hospital, FLEET + "push-object", part)
    assert _free(gateway, handed, handed)
