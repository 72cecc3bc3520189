"""The whole road with a real SuperLink: one start, every everyday thing that happens on it."""

from __future__ import annotations

import os
import socket
import ssl
import time
from contextlib import contextmanager

import pytest

pytest.importorskip("flwr")

from aegis.errors import BadInput
from aegis.transport.carrier import Trust
from aegis.transport.flower.engine import FlowerCourier
from aegis.transport.flower.node import FlowerLine
from tests.transport.flower.federation import Certificates, echo, public_key

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def road(certificates, tmp_path_factory):
    home = tmp_path_factory.mktemp("flower")
    courier = FlowerCourier(home, certificates.server(), "127.0.0.1", 0, in_memory=True)
    carrier = courier.start()
    yield courier, carrier
    courier.stop()


@contextmanager
def hospital(courier, certificates, name):
    trust = certificates.client(name)
    line = FlowerLine(courier.admit(name, public_key(trust)), trust)
    try:
        yield line
    finally:
        line.close()


def wait_for(what, seconds=20.0):
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def test_envelopes_go_down_and_answers_come_back(road, certificates) -> None:
    courier, carrier = road
    with hospital(courier, certificates, "a") as a, hospital(courier, certificates, "b") as b:
        echo(a, b"a says ")
        echo(b, b"b says ")
        wait_for(lambda: carrier.present() >= {"a", "b"})
        wait_for(lambda: a.status == "connected")
        large = os.urandom(9_000_000)
        carrier.send("a", large)
        carrier.send("b", b"same")
        came = [carrier.receive(30), carrier.receive(30)]
        assert sorted(came) == [("a", b"a says " + large), ("b", b"b says same")]
        carrier.send("a", b"same")
        assert carrier.receive(30) == ("a", b"a says same")


def test_what_is_sent_to_a_hospital_that_is_away_waits_for_it(road, certificates) -> None:
    courier, carrier = road
    trust = certificates.client("late")
    admission = courier.admit("late", public_key(trust))
    carrier.send("late", b"old")
    carrier.send("late", b"new")
    line = FlowerLine(admission, trust)
    try:
        parcel = line.receive(60)
        assert parcel is not None
        assert parcel.data == b"new"
    finally:
        line.close()


def test_asked_again_a_courier_admits_as_before(road, certificates) -> None:
    courier, _ = road
    key = public_key(certificates.client("again"))
    assert courier.admit("again", key) == courier.admit("again", key)
    with pytest.raises(BadInput, match="already that of again"):
        courier.admit("thief", key)


def test_a_key_that_nobody_admitted_is_told_so(road, certificates) -> None:
    courier, carrier = road
    trust = certificates.client("stranger")
    line = FlowerLine({"address": f"localhost:{courier.port}"}, trust)
    try:
        wait_for(lambda: "not registered" in line.status, 5)
    finally:
        line.close()
    assert "stranger" not in carrier.present()


def test_a_hospital_of_another_federation_does_not_connect(road, certificates, tmp_path) -> None:
    courier, carrier = road
    trust = certificates.client("lost")
    admission = courier.admit("lost", public_key(trust))
    elsewhere = Certificates(tmp_path / "elsewhere", "elsewhere")
    line = FlowerLine(admission, Trust(elsewhere.root, trust.own))
    try:
        wait_for(lambda: "not the federation's coordinator" in line.status, 5)
    finally:
        line.close()
    assert "lost" not in carrier.present()


def test_an_expelled_hospital_hears_why_and_may_come_back(road, certificates) -> None:
    courier, carrier = road
    with hospital(courier, certificates, "c") as line:
        echo(line)
        wait_for(lambda: "c" in carrier.present())
        courier.expel("c")
        wait_for(lambda: "not registered" in line.status, 12)
        assert "c" not in carrier.present()
    with hospital(courier, certificates, "c") as line:
        echo(line)
        wait_for(lambda: "c" in carrier.present())


def test_a_taken_port_is_refused_within_seconds(road, certificates, tmp_path) -> None:
    courier, _ = road
    second = FlowerCourier(tmp_path, certificates.server(), "127.0.0.1", courier.port)
    begin = time.monotonic()
    with pytest.raises(BadInput, match=f"{courier.port} cannot be opened"):
        second.start()
    assert time.monotonic() - begin < 3


def test_the_superlink_listens_on_loopback_and_with_tls_only(road) -> None:
    courier, _ = road
    root = courier.superlink.root.decode()
    with socket.create_connection(("127.0.0.1", courier.superlink.port), timeout=5) as raw:
        context = ssl.create_default_context(cadata=root)
        with context.wrap_socket(raw, server_hostname="127.0.0.1") as line:
            assert line.version() == "TLSv1.3"
    outside = [
        found[4][0]
        for found in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
        if not found[4][0].startswith("127.")
    ]
    for address in outside:
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((address, courier.superlink.port), timeout=2)
