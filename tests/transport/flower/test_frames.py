"""The socket between the coordinator and its relay."""

import json
import queue
import socket
import stat
import time

import pytest

from aegis.transport.flower import frames
from aegis.transport.flower.frames import Kind
from aegis.transport.flower.link import RelayLink


def test_frames_arrive_whole_and_in_order() -> None:
    here, there = socket.socketpair()
    with here, there:
        sent = [(Kind.SEND, 2**63 + 5, b"x" * 3000), (Kind.LOOK, 0, b""), (Kind.REPLY, 1, b"y")]
        for kind, node, body in sent:
            frames.write(here, kind, node, body)
        assert [frames.read(there) for _ in sent] == sent


def test_an_end_within_a_frame_is_the_end() -> None:
    here, there = socket.socketpair()
    with there:
        here.sendall(bytes([1]) + bytes(7) + b"\x05")
        here.close()
        assert frames.read(there) is None


def test_a_frame_beyond_all_measure_is_refused() -> None:
    here, there = socket.socketpair()
    with here, there:
        here.sendall(bytes([1]) + bytes(8) + b"\xff" * 8)
        with pytest.raises(ValueError, match="frame of"):
            frames.read(there)


@pytest.fixture
def link(tmp_path):
    heard: queue.Queue = queue.Queue()
    link = RelayLink(tmp_path, heard.put)
    yield link, heard
    link.close()


def _connect(link: RelayLink, token: str | None = None) -> socket.socket:
    place = json.loads(link.place.read_text())
    end = socket.create_connection(("127.0.0.1", place["port"]), timeout=5)
    end.sendall(bytes.fromhex(token or place["token"]))
    return end


def test_the_token_lies_in_a_file_of_this_user_only(link) -> None:
    assert stat.S_IMODE(link[0].place.stat().st_mode) == 0o600


def test_a_stranger_on_loopback_gets_nothing(link) -> None:
    relay, _ = link
    with _connect(relay, "00" * 32) as end:
        assert end.recv(1) == b""
    assert not relay.connected.is_set()


def test_a_relay_that_ends_is_noticed_and_another_takes_over(link) -> None:
    relay, heard = link
    first = _connect(relay)
    assert relay.connected.wait(5)
    first.close()
    assert relay.lost.wait(5)
    with _connect(relay) as second:
        assert relay.connected.wait(5)
        relay.send(Kind.SEND, 7, b"down")
        assert frames.read(second) == (Kind.SEND, 7, b"down")
        frames.write(second, Kind.REPLY, 7, b"up")
        assert heard.get(timeout=5) == (Kind.REPLY, 7, b"up")


def test_after_a_renewal_only_the_new_relay_connects(link) -> None:
    relay, _ = link
    old = json.loads(relay.place.read_text())["token"]
    with _connect(relay) as first:
        assert relay.connected.wait(5)
        relay.renew()
        assert first.recv(1) == b""
    with _connect(relay, old) as late:
        assert late.recv(1) == b""
    with _connect(relay):
        assert relay.connected.wait(5)


def test_what_is_sent_without_a_relay_is_lost_and_nothing_waits(link) -> None:
    relay, _ = link
    begin = time.monotonic()
    relay.send(Kind.SEND, 1, b"nobody")
    assert time.monotonic() - begin < 1
