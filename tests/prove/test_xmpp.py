"""The XMPP road under load and under fire: 45 MB updates, cuts of 5 and 30 s, and kill -9 of each
process; what is on its way arrives, and who is dead is gone within three heartbeats."""

import hashlib
import json
import os
import signal
import socket
import statistics
import threading
import time
from pathlib import Path

import pytest

from aegis.transport.carrier import PRESENCE_S
from tests.transport.xmpp.site import Site, needs_prosody, until

pytestmark = [pytest.mark.prove, pytest.mark.engine]

RESNET = 45_000_000


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    needs_prosody()
    site = Site(tmp_path_factory.mktemp("xmpp"))
    try:
        site.start()
        site.admit("north", "south", "east", "west")
        for name in ("north", "south", "east", "west"):
            site.open(name)
        until(lambda: len(site.carrier.present()) == 4, 60)
        yield site
    finally:
        site.close()


def digest(data):
    return hashlib.sha256(data).hexdigest().encode()


def busy(pid):
    """Seconds of processor time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_45_mb_cross_at_10_mb_a_second(site, measured):
    def rates():
        site.ask("north", os.urandom(1_000_000))
        found, spent = [], []
        for _ in range(3):
            data, began, worked = os.urandom(RESNET), time.perf_counter(), busy(site.courier.pid)
            assert site.ask("north", data, 120) == ("north", digest(data))
            found.append(RESNET / 1e6 / (time.perf_counter() - began))
            spent.append(busy(site.courier.pid) - worked)
        return {
            "mb_per_s": [round(one, 1) for one in found],
            "server_cpu_s": [round(one, 2) for one in spent],
            "load": round(os.getloadavg()[0], 1),
            "cores": os.cpu_count(),
        }

    figures = measured("45 MB down, digest back", rates)
    print(figures)
    # the server is the bottleneck: where others fill the machine, its own time is what counts
    rate = RESNET / 1e6 / min(figures["server_cpu_s"])
    crowded = figures["load"] > figures["cores"]
    assert max(figures["mb_per_s"]) >= 10 or (crowded and rate >= 10)


def test_a_small_message_is_back_within_50_ms(site, measured):
    def times():
        found = []
        for _ in range(100):
            began = time.perf_counter()
            site.ask("north", b"mirror")
            found.append((time.perf_counter() - began) * 1e3)
        return {
            "least_ms": round(min(found), 1),
            "median_ms": round(statistics.median(found), 1),
            "p90_ms": round(statistics.quantiles(found, n=10)[-1], 1),
            "load": round(os.getloadavg()[0], 1),
            "cores": os.cpu_count(),
        }

    figures = measured("round trip", times)
    print(figures)
    crowded = figures["load"] > figures["cores"]
    assert figures["least_ms" if crowded else "median_ms"] < 50


def test_two_runs_follow_each_other_with_four_hospitals(site):
    names = ("north", "south", "east", "west")
    for run in range(2):
        for round in range(5):
            data = f"run {run} round {round}".encode() + os.urandom(300_000)
            for name in names:
                site.carrier.send(name, data)
            assert {site.take(60) for _ in names} == {(name, digest(data)) for name in names}


def test_a_killed_server_loses_nothing_of_45_mb(site):
    for pause in (0.2, 0.8, 2.0):
        data = os.urandom(RESNET)
        site.carrier.send("south", data)
        time.sleep(pause)
        os.kill(site.courier.pid, signal.SIGKILL)
        assert site.take(120) == ("south", digest(data))


def test_a_killed_hospital_is_gone_within_three_heartbeats_and_comes_back(site, measured):
    def gone():
        until(lambda: "east" in site.carrier.present(), 30)
        began = time.monotonic()
        site.hospitals["east"].kill()
        site.hospitals["east"].wait()
        until(lambda: "east" not in site.carrier.present(), 30)
        seconds = time.monotonic() - began
        site.carrier.send("east", kept := os.urandom(1000))
        site.open("east")
        assert site.take(60) == ("east", digest(kept))
        return {"gone_after_s": round(seconds, 1)}

    figures = measured("kill -9 of a hospital", gone)
    print(figures)
    assert figures["gone_after_s"] <= 3 * PRESENCE_S + 0.5


class Wire:
    """A wire between a hospital and its server that can be cut without either hearing of it."""

    def __init__(self, port):
        self.port, self.whole = port, threading.Event()
        self.whole.set()
        self.server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.server.accept()
            self.whole.wait()
            far = socket.create_connection(("127.0.0.1", self.port))
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=(one, other), daemon=True).start()

    def carry(self, one, other):
        try:
            while data := one.recv(65536):
                self.whole.wait()
                other.sendall(data)
        except OSError:
            pass
        for end in (one, other):
            end.close()


@pytest.mark.parametrize("seconds", [5, 30])
def test_a_silent_cut_ends_by_itself(site, seconds):
    wires = Wire(site.server.port), Wire(site.server.files_port)
    site.admit("remote")
    path = site.folder / "remote.json"
    details = json.loads(path.read_text())
    details["port"] = str(wires[0].server.getsockname()[1])
    path.write_text(json.dumps(details))
    site.open("remote")
    until(lambda: "remote" in site.carrier.present(), 60)
    assert site.ask("remote", b"before") == ("remote", digest(b"before"))
    site.carrier.send("remote", data := b"sleep " + os.urandom(100))
    time.sleep(0.5)
    wires[0].whole.clear()
    time.sleep(seconds)
    wires[0].whole.set()
    assert site.take(30) == ("remote", digest(data))
    remote = site.hospitals.pop("remote")
    remote.kill()
    remote.wait()
    until(lambda: "remote" not in site.carrier.present(), 30)
