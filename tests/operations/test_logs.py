"""What a collector of logs gets: objects with run, round and hospital, and nothing of a patient."""

import ast
import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from aegis.errors import BadInput, DataError
from aegis.events import HospitalAbsent, HospitalJoined, RoundClosed, RunStarted
from aegis.operations import logs

ROOT = Path(__file__).parents[2]
RUN = "20261122-094534-heart-d2c969"
SENTINELS = ("Ottilie Sentinel", "MRN-4711-0815", "67.04251", "1931-07-02")


@pytest.fixture
def lines(monkeypatch):
    """The objects of this process's log, as they stand when called."""
    stream, root, ours = io.StringIO(), logging.getLogger(), logging.getLogger("aegis")
    before = root.handlers[:], root.level, ours.level, sys.excepthook, threading.excepthook
    monkeypatch.setenv("AEGIS_LOG", "json")
    monkeypatch.setattr(logs, "_known", set())
    logs.start(stream, names=["north", RUN])
    try:
        yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    finally:
        logging.captureWarnings(False)
        root.handlers[:], (root.level, ours.level) = before[0], before[1:3]
        sys.excepthook, threading.excepthook = before[3:]


def _quoting():
    try:
        try:
            float(SENTINELS[0])
        except ValueError as error:
            raise DataError(f"row 7, age: {SENTINELS[1]!r} is no number", SENTINELS[2]) from error
    except DataError as error:
        error.add_note(SENTINELS[3])
        raise KeyError(SENTINELS[0]) from error


def test_no_value_of_a_patient_leaves_by_any_way_into_the_log(lines):
    log, name = logging.getLogger("aegis"), SENTINELS[0]
    try:
        _quoting()
    except KeyError as error:
        log.exception("%s ended: %s", RUN, error)
        log.error("the data of %s cannot be used for this plan: %s", "north", error.__cause__)
        logging.getLogger("aegis.xmpp").warning("%s: a message from %s", "north", name)
        logging.getLogger("flwr").error("could not read %s", error, exc_info=error)
        sys.excepthook(type(error), error, error.__traceback__)
        thread = threading.Thread(target=_quoting)
        thread.start()
        thread.join()
    log.warning("%.3f and %r and %5s", float(SENTINELS[2]), SENTINELS[3], [name])
    logging.getLogger("py.warnings").warning("%s", name)  # where captured warnings go
    logs.happened(HospitalAbsent(RUN, 3, "north", f"row 7 says {name}"))
    logs.happened(HospitalJoined(RUN, "north", 9, 1, "ab" * 32, SENTINELS[0]))
    logs.said({"event": "answered", "reason": name, "what": {"x": [SENTINELS[1]]}, "round": 2})
    broken = [("one gap too few", (name,)), ("one too many %s %s", (RUN,)), (Exception(name), ())]
    formed = [
        logs.Objects().format(logging.LogRecord("aegis", 30, "x.py", 1, said, args, None))
        for said, args in broken
    ]
    text = json.dumps([*lines(), *map(json.loads, formed)])
    assert len(lines()) == 11
    for sentinel in SENTINELS:
        assert sentinel not in text
    assert "Ottilie" not in text


def test_a_line_says_when_how_grave_what_and_where_it_belongs(lines):
    logs.happened(RunStarted(RUN, "heart", "ab" * 32, 16, 5, "masked"))
    logs.happened(RoundClosed(RUN, 2, "cd" * 32, {"accuracy": 0.5}, {"north": {"f1": 1.0}}))
    logging.getLogger("aegis").warning("%s waits: %d of %d hospitals", RUN, 2, 3)
    logging.getLogger("aegis").error("%s ended: %s", RUN, DataError("x"))
    started, closed, waits, ended = lines()
    assert list(closed)[:5] == ["time", "level", "event", "run", "round"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]{12}\+00:00", closed["time"])
    assert (started["task"], started["trust"], closed["level"]) == ("heart", "masked", "INFO")
    assert closed["metrics"] == {"accuracy": 0.5}
    assert closed["hospitals"] == {"north": {"f1": 1.0}}
    assert (waits["event"], waits["run"]) == (f"{RUN} waits: 2 of 3 hospitals", RUN)
    assert ended["event"] == f"{RUN} ended: [DataError]"


@given(some.text(), some.text() | some.integers() | some.binary() | some.dates())
def test_whatever_is_in_an_event_becomes_json_without_strange_words(word, value):
    found = logs.collected({"event": "Exported", "what": word, "deep": {"a": [value]}})
    json.dumps(found)
    allowed = not word or word in logs._KINDS or logs._DIGEST.fullmatch(word)
    assert allowed or "what" in found["withheld"]


@pytest.mark.parametrize(
    ("name", "value"), [("AEGIS_LOG", "yaml"), ("LOG_LEVEL", "loud"), ("LOG_LEVEL", "10")]
)
def test_a_setting_that_cannot_be_is_refused_by_its_name(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(BadInput, match=name):
        logs.start()


def test_every_sentence_of_our_logs_is_written_in_the_code_and_made_of_nothing_else():
    """A sentence put together beforehand could hold a value and would be shown whole."""
    found = 0
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "getLogger" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            owner = node.func.value
            named = isinstance(owner, ast.Name) and owner.id in ("log", "_log", "logger")
            if named and node.func.attr in (
                *("debug", "info", "warning", "error", "exception", "critical"),
            ):
                found += 1
                assert isinstance(node.args[0], ast.Constant), f"{path}:{node.lineno}"
    assert found > 40


def test_a_command_that_ends_badly_ends_in_one_object(tmp_path):
    env = os.environ | {"AEGIS_LOG": "json", "AEGIS_HOME": str(tmp_path)}
    words = [sys.executable, "-m", "aegis", "report", SENTINELS[1]]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    [line] = done.stderr.splitlines()
    said = json.loads(line)
    assert (done.returncode, said["exit_code"], said["errors"][0]["error"]) == (2, 2, "BadInput")
    assert SENTINELS[1] not in done.stderr
