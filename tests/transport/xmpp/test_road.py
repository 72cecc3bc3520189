"""The whole road once: a real Prosody, hospitals as processes, and what goes wrong with them."""

import asyncio
import hashlib
import json
import logging
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from aegis.errors import BadInput, RunAborted
from aegis.transport.carrier import Trust
from aegis.transport.frame import Envelope, Header
from aegis.transport.xmpp import line
from aegis.transport.xmpp.accounts import Accounts
from aegis.transport.xmpp.ends import XmppCarrier
from aegis.transport.xmpp.engine import XmppCourier
from aegis.transport.xmpp.server import Server
from tests.transport.xmpp.site import Site, certified, free_ports, needs_prosody, until

pytestmark = pytest.mark.engine


def envelope(stage, size=100):
    header = Header(1, "run-1", 1, 1, stage, "coordinator", "a", 1, 9, "0" * 64, "1" * 64)
    return Envelope(header, header.to_bytes(), os.urandom(size), b"\0" * 64).to_bytes()


def digest(data):
    return hashlib.sha256(data).hexdigest().encode()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Hospitals that were there before their server, which is there for the second time."""
    needs_prosody()
    site = Site(tmp_path_factory.mktemp("xmpp"))
    try:
        site.start()
        site.admit("north", "South")
        site.courier.stop()
        site.open("north")
        site.open("South")
        time.sleep(1.0)
        site.start()
        until(lambda: site.carrier.present() == {"north", "South"})
        yield site
    finally:
        site.close()


def stranger(site, name, trust=None, account=True):
    """An end of somebody who has an account at the server and is no hospital, or has none."""
    accounts = Accounts(site.folder / name, "localhost", site.courier._prosody.data)
    details = {**json.loads((site.folder / "north.json").read_text()), "name": name}
    details["password"] = accounts.hospital(name) if account else "guessed"
    return line(details, name, trust or Trust(site.trust.root))


def test_messages_small_and_large_cross_both_ways_and_both_machines_follow(site, caplog):
    caplog.set_level(logging.INFO, "aegis.xmpp")
    for name in ("north", "South"):
        assert site.ask(name, question := envelope("Train")) == (name, digest(question))
    large = b"mirror" + os.urandom(3_000_000)
    assert site.ask("South", large) == ("South", large)
    until(lambda: site.state("South") == "Waiting")
    site.carrier.send("north", envelope("Evaluate"))
    site.take()
    until(lambda: site.carrier.standing == "Broadcasting", 2)
    assert "RoundSetup -> Aggregating" in caplog.text
    trace = (site.folder / "north.status.log").read_text()
    for step in ("Init -> Idle", "Idle -> Ready", "Computing -> Reporting", "Reporting -> Waiting"):
        assert step in trace


def test_nothing_secret_is_logged_or_shown(site):
    secret = json.loads((site.folder / "north.json").read_text())["password"]
    logs = [site.folder / "north.status.log", site.courier._prosody.data.parent / "prosody.log"]
    assert all(secret not in path.read_text() for path in logs)
    command = Path(f"/proc/{site.courier.pid}/cmdline").read_bytes()
    assert secret.encode() not in command
    if os.geteuid() == 0:
        assert Path(f"/proc/{site.courier.pid}").stat().st_uid != 0


def test_a_server_with_another_root_is_not_spoken_to(site, tmp_path):
    other = certified(tmp_path / "other")
    end = stranger(site, "wrong-root", Trust(other.root))
    until(lambda: end.refused, 10)
    assert "has no certificate of this federation" in end.status
    until(lambda: end.standing == "Failed", 2)
    end.close()


def test_an_account_that_does_not_exist_is_not_let_in(site):
    end = stranger(site, "nobody", account=False)
    until(lambda: "does not accept this account" in end.status, 10)
    end.close()


def test_strangers_bombs_and_odd_messages_are_dropped_with_a_line_in_the_log(site, caplog):
    caplog.set_level(logging.INFO, "aegis.xmpp")
    end = stranger(site, "stranger")
    until(lambda: end.status == "connected", 10)
    north = stranger(site, "north2")
    until(lambda: north.status == "connected", 10)
    site.courier._accounts._passwords["north2"] = "known"  # a member from here on
    agent = north._agent

    def says(text):
        asyncio.run_coroutine_threadsafe(spoken(text), north._loop).result(5)

    async def spoken(text):
        agent.outbox.speak("coordinator@localhost", text, "0" * 32)

    end._in_loop(end._agent.outbox.hand_over, "coordinator", b"hello", "up", "1" * 32)
    until(lambda: "a message from a stranger, stranger@localhost" in caplog.text, 10)
    says(json.dumps({"header": {"protocol_version": "1.0"}, "payload": None}))
    until(lambda: "protocol version '1.0'" in caplog.text, 10)
    says("<no json & no sense>")
    until(lambda: "no JSON" in caplog.text, 10)
    says("x" * 300_000)
    until(lambda: "300000 characters from north2 are dropped" in caplog.text, 10)
    says("x" * 3_000_000)  # the server itself puts this one out
    until(lambda: north.status != "connected" or "ended the stream" in caplog.text, 10)
    assert site.carrier.receive(0.2) is None
    del site.courier._accounts._passwords["north2"]
    for one in (end, north):
        one.close()
    assert site.ask("north", b"still there?") == ("north", digest(b"still there?"))


def test_a_file_that_is_not_the_one_announced_is_refused(site, caplog):
    async def told(changed):
        agent = site.carrier._agent
        label = labelled_as()
        file = await agent.outbox.upload(label, b"x" * 200_000)
        with pytest.raises(Exception, match=r"sha256|announced|answered|lie under"):
            await agent.files.fetch(replace(file, **changed))

    def labelled_as():
        from aegis.transport.xmpp.messages import labelled

        return labelled(b"", "coordinator", "down", os.urandom(16).hex())

    for changed in (
        {"sha256": "0" * 64},
        {"size": 199_999},
        {"size": 200_001},
        {"url": "https://localhost:1/x"},
        {"url": f"https://localhost:{site.server.files_port}/file_share/none/none"},
    ):
        asyncio.run_coroutine_threadsafe(told(changed), site.carrier._loop).result(10)


def test_a_server_that_is_killed_mid_round_loses_no_answer(site):
    site.carrier.send("north", question := b"sleep " + os.urandom(50))
    time.sleep(0.7)  # the hospital works on it for two seconds
    before = site.courier.pid
    os.kill(before, signal.SIGKILL)
    assert site.take(25) == ("north", digest(question))
    until(lambda: site.courier.pid != before, 5)
    until(lambda: site.carrier.present() == {"north", "South"})
    assert site.ask("South", b"and you?") == ("South", digest(b"and you?"))


def test_an_answer_for_a_coordinator_that_is_away_waits_for_it(site):
    site.carrier.send("north", question := b"sleep " + os.urandom(50))
    time.sleep(0.7)
    site.carrier.close()
    time.sleep(2.0)  # by now the answer came back to the hospital as not delivered
    accounts = site.courier._accounts
    site.carrier = site.courier._carrier = XmppCarrier(
        site.server, accounts.coordinator(), site.trust, lambda: accounts.hospitals
    )
    assert site.take(25) == ("north", digest(question))
    until(lambda: site.carrier.present() == {"north", "South"})


def test_a_small_message_goes_there_and_back_in_less_than_50_ms(site):
    times = []
    for _ in range(30):
        began = time.perf_counter()
        site.ask("north", b"mirror")
        times.append(time.perf_counter() - began)
    print(f"round trip: median {sorted(times)[15] * 1e3:.1f} ms, least {min(times) * 1e3:.1f} ms")
    assert min(times) < 0.05


def test_what_is_too_large_for_the_road_is_refused_at_once(site):
    with pytest.raises(BadInput, match="at most 67108864"):
        site.carrier.send("north", bytes(64 * 2**20 + 1))


def test_a_hospital_that_is_expelled_is_no_longer_heard(site):
    site.courier.expel("South")
    assert site.carrier.present() == {"north"}
    site.carrier.send("South", b"anybody?")
    assert site.carrier.receive(0.5) is None
    site.admit("South")


def test_an_expired_certificate_stops_the_coordinator_with_the_reason(tmp_path):
    needs_prosody()
    site_trust = certified(tmp_path / "tls", expired=True)
    port, files_port = free_ports()
    server = Server(port=port, files_port=files_port)
    began = time.monotonic()
    with pytest.raises(RunAborted, match="certificate has expired"):
        XmppCourier(tmp_path / "keys", site_trust, server).start()
    assert time.monotonic() - began < 10
