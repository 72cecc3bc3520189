"""A federation of one real Prosody and hospitals in processes of their own."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aegis.identity.certificates import Authority, pem
from aegis.transport.carrier import Trust
from aegis.transport.xmpp.engine import XmppCourier
from aegis.transport.xmpp.server import Server

ROOT = Path(__file__).parents[3]


def needs_prosody():
    if shutil.which("prosody") is None:
        pytest.skip("Prosody is not installed: apt-get install prosody")
    pytest.importorskip("spade", reason="needs the extra xmpp")


def free_ports():
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def certified(folder, name="federation", *, expired=False):
    """Trust with a certificate for localhost."""
    folder.mkdir(exist_ok=True, mode=0o700)
    past = datetime.now(UTC) - timedelta(days=40) if expired else None
    authority = Authority.create(name, past)
    (folder / "root.pem").write_bytes(pem(authority.root.certificate))
    leaf = authority.issue("coordinator", "server", ["localhost"], past, 30)
    leaf.save(folder / "server.pem")
    return Trust(folder / "root.pem", folder / "server.pem")


def until(what, seconds=20.0):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)
    return found


class Site:
    def __init__(self, folder):
        self.folder, self.trust = folder, certified(folder / "tls")
        port, files_port = free_ports()
        self.server = Server(port=port, files_port=files_port, largest_file=64 * 2**20)
        self.courier = XmppCourier(folder / "keys", self.trust, self.server)
        self.hospitals = {}

    def start(self):
        self.carrier = self.courier.start()
        return self.carrier

    def admit(self, *names):
        for name in names:
            details = self.folder / f"{name}.json"
            details.write_text(json.dumps(dict(self.courier.admit(name))))

    def open(self, name):
        """Start a hospital that was admitted."""
        self.hospitals[name] = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.transport.xmpp.hospital"),
                *(str(self.folder / f"{name}.json"), str(self.trust.root), str(self.said(name))),
            ],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def said(self, name):
        return self.folder / f"{name}.status"

    def state(self, name):
        return self.said(name).read_text().splitlines()[0]

    def ask(self, name, data, seconds=20.0):
        self.carrier.send(name, data)
        return self.take(seconds)

    def take(self, seconds=20.0):
        return until(lambda: self.carrier.receive(0.05), seconds)

    def close(self):
        for process in self.hospitals.values():
            process.kill()
            process.wait()
        self.courier.stop()
