"""The process beside a run: it follows, it waits ever longer for what is away, and it ends."""

import os
import subprocess
import sys
import threading
import time

import pytest

from aegis.errors import BadInput
from aegis.events import RoundClosed
from aegis.operations import mirroring
from aegis.store.home import Home
from aegis.store.tracking import URI
from tests.store.test_tracking import PLAN, Fake, journal_of, told


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(mirroring.os, "nice", lambda by: 0)  # only a process of its own is nice
    home = Home(tmp_path).prepare()
    with journal_of(home) as journal:
        journal.open_run("run", "heart", PLAN.to_json(), "hash", {})
    return home


class Beside:
    """``follow`` in a thread; ``points`` is what its MLflow holds."""

    def __init__(self, home, monkeypatch, broken=()):
        self.points, self.made = [], []
        monkeypatch.setattr(
            mirroring.Mirror, "from_settings", lambda home: self._mirror(home, broken)
        )
        out, self.pipe = os.pipe()
        self.thread = threading.Thread(target=mirroring.follow, args=(home, out, 0.02))
        self.thread.start()

    def _mirror(self, home, broken):
        self.made.append(Fake(home, self.points, broken))
        return self.made[-1]

    def rounds(self, count, within_s=10.0):
        until = time.monotonic() + within_s
        while len({one[3] for one in self.points if one[0] == "accuracy"}) < count:
            assert time.monotonic() < until
            time.sleep(0.01)

    def end(self):
        os.close(self.pipe)
        self.thread.join(10)
        assert not self.thread.is_alive()


def test_rounds_appear_while_the_run_is_on_and_the_last_ones_after_it(home, monkeypatch):
    beside = Beside(home, monkeypatch)
    with journal_of(home) as journal:
        for at in range(3):
            journal.tell("run", [told(3)[at]])
            beside.rounds(at + 1)
        journal.tell("run", [RoundClosed("run", 9, "m", {"accuracy": 0.9})])
    beside.end()
    assert {one[3] for one in beside.points if one[0] == "accuracy"} == {1, 2, 3, 9}


def test_what_was_away_is_asked_again_ever_more_rarely_and_said_once(home, monkeypatch, caplog):
    asked, connected = [], Fake._connected

    def away(self):
        asked.append(time.monotonic())
        raise ConnectionError("connection refused")

    monkeypatch.setattr(Fake, "_connected", away)
    beside = Beside(home, monkeypatch)
    with journal_of(home) as journal:
        journal.tell("run", told(2))
    time.sleep(1.5)
    assert 3 <= len(asked) < 10  # at an even pace there would be seventy
    assert asked[-1] - asked[-2] > 2 * (asked[1] - asked[0])
    monkeypatch.setattr(Fake, "_connected", connected)
    beside.end()
    assert len({one[3] for one in beside.points if one[0] == "accuracy"}) == 2
    assert sum("nothing is lost" in one.getMessage() for one in caplog.records) == 1


def test_two_at_once_take_turns(home, monkeypatch):
    with mirroring.only_mirror(home):
        beside = Beside(home, monkeypatch)
        with pytest.raises(BadInput, match="is mirroring"), mirroring.only_mirror(home, 0.1):
            pass
        time.sleep(0.1)
        assert beside.made == []
        with journal_of(home) as journal:
            journal.tell("run", told(1))
    beside.rounds(1)
    beside.end()


def test_the_process_is_not_waited_for_and_ends_by_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path))
    monkeypatch.setenv(URI, "fake://mlflow")
    monkeypatch.setattr(mirroring, "find_spec", lambda name: object())
    started = []

    real = subprocess.Popen
    monkeypatch.setattr(mirroring.subprocess, "Popen", lambda *a, **k: _once(real, started, a, k))
    with mirroring.mirrored():
        [process] = started
        assert process.poll() is None
    began = time.monotonic()
    assert process.poll() is None  # it catches up, and nobody waits
    assert time.monotonic() - began < 0.4
    assert process.wait(30) == 0
    assert mirroring._left.pop() is process


def _once(real, started, args, kept):
    code = "import sys, time; sys.stdin.read(); time.sleep(0.5)"
    assert args[0][1:] == ["-m", "aegis", "tracking", "follow"]
    started.append(real([sys.executable, "-c", code], **kept))
    return started[0]
