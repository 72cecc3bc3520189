"""The coordinator's end alone: what it hands over, what it keeps, and when it starts a relay."""

from __future__ import annotations

import json
import socket
import threading
import time
from types import SimpleNamespace

import pytest

from aegis.errors import AegisError
from aegis.transport.flower import frames
from aegis.transport.flower.carrying import FlowerCarrier
from aegis.transport.flower.frames import Kind


class Courier:
    """One hospital, number 7, and relays that the test connects itself."""

    def __init__(self) -> None:
        self.here, self.waiting = True, True
        self.runs, self.rung = 0, 0
        self.fault: AegisError | None = None
        self.superlink = SimpleNamespace(alive=True, log="log")

    def present(self):
        return frozenset({"north"} if self.here else ())

    def node(self, hospital):
        return 7 if hospital == "north" else None

    def hospital(self, node):
        return "north" if node == 7 else None

    def free(self, hospital, handed, stored):
        return self.waiting

    def ring(self, hospital):
        self.rung += 1

    def revive(self):
        if self.fault is not None:
            raise self.fault
        return False

    def run_relay(self, place):
        self.runs += 1
        return self.runs

    def end_run(self, run):
        pass

    def why_ended(self, run):
        return ""


@pytest.fixture
def end(tmp_path):
    courier = Courier()
    carrier = FlowerCarrier(courier, tmp_path)
    yield courier, carrier, tmp_path / "relay.json"
    carrier.close()


def relay(courier, place, run: int) -> socket.socket:
    until = time.monotonic() + 10
    while courier.runs < run:
        assert time.monotonic() < until
        time.sleep(0.01)
    said = json.loads(place.read_text())
    link = socket.create_connection(("127.0.0.1", said["port"]), timeout=10)
    link.sendall(bytes.fromhex(said["token"]))
    return link


def test_a_message_goes_down_and_its_answer_comes_up(end) -> None:
    courier, carrier, place = end
    carrier.send("north", b"before there is a relay")
    with relay(courier, place, 1) as link:
        assert frames.read(link) == (Kind.SEND, 7, b"before there is a relay")
        frames.write(link, Kind.SENT, 7)
        carrier.look("north", "number")
        assert frames.read(link) == (Kind.LOOK, 7, b"number")
        frames.write(link, Kind.REPLY, 7, b"answer")
        assert carrier.receive(5) == ("north", b"answer")
        assert courier.rung == 1
        assert carrier.status == "connected"


def test_only_the_newest_waits_and_it_waits_for_its_hospital(end) -> None:
    courier, carrier, place = end
    courier.here = False
    with relay(courier, place, 1) as link:
        carrier.send("north", b"old")
        carrier.send("north", b"new")
        link.settimeout(0.3)
        with pytest.raises(TimeoutError):
            frames.read(link)
        courier.here = True
        link.settimeout(10)
        assert frames.read(link) == (Kind.SEND, 7, b"new")


def test_a_question_that_was_answered_meanwhile_is_not_asked_again(end) -> None:
    courier, carrier, place = end
    with relay(courier, place, 1) as link:
        carrier.send("north", b"question, sealed once")
        assert frames.read(link) is not None
        courier.waiting = False
        carrier.send("north", b"question, sealed twice")
        frames.write(link, Kind.REPLY, 7, b"answer")
        assert carrier.receive(5) == ("north", b"answer")
        carrier.send("north", bytes(500))
        courier.waiting = True
        assert frames.read(link) == (Kind.SEND, 7, bytes(500))


def test_a_relay_that_died_is_started_again_and_what_it_had_is_forgotten(end) -> None:
    courier, carrier, place = end
    relay(courier, place, 1).close()
    with relay(courier, place, 2) as link:
        carrier.send("north", b"again")
        assert frames.read(link) == (Kind.SEND, 7, b"again")


def test_a_superlink_that_does_not_start_is_told_at_once(tmp_path) -> None:
    courier = Courier()
    courier.fault = AegisError("the SuperLink ended with code 3")
    carrier = FlowerCarrier(courier, tmp_path)
    try:
        with pytest.raises(AegisError, match="code 3"):
            carrier.wait(20)
        assert "code 3" in carrier.status
    finally:
        carrier.close()
    assert threading.active_count() < 100
