"""Behind a stock SuperNode: its ClientApp hands over to the hospital's own process."""

import stat
import threading

import pytest

pytest.importorskip("flwr")

from flwr.app import Context, RecordDict

from aegis.transport.flower import compat
from aegis.transport.flower.clientapp import hand_over
from aegis.transport.flower.local_line import LocalLine
from aegis.transport.flower.parcels import packed, unpacked
from tests.transport.flower.federation import echo


@pytest.fixture
def line(tmp_path):
    line = LocalLine(tmp_path / "line.json")
    yield line
    line.close()


@pytest.fixture
def task(monkeypatch):
    """The identity that Flower gives to the process of a task."""
    from flwr.supercore.task_identity import TaskIdentity

    monkeypatch.setattr(TaskIdentity, "_run_id", 1)
    monkeypatch.setattr(TaskIdentity, "_task_id", 2)
    monkeypatch.setattr(TaskIdentity, "_node_id", 3)


def _message(data: bytes):
    return compat.make_message(
        metadata=compat.Metadata(1, "m", 1, 3, "", "", 1e9, 1e10, "query"), content=packed(data)
    )


def _context(place) -> Context:
    return Context(
        run_id=1, node_id=3, node_config={"aegis": str(place)}, state=RecordDict(), run_config={}
    )


def test_the_hospitals_process_answers_each_message(line, tmp_path, task) -> None:
    echo(line, b"seen: ")
    for data in (b"one", bytes(100_000)):
        reply = hand_over(_message(data), _context(tmp_path / "line.json"))
        assert unpacked(reply.content.config_records.values()) == b"seen: " + data
    assert line.status == "connected"


def test_without_the_hospitals_process_the_message_fails(tmp_path, task) -> None:
    line = LocalLine(tmp_path / "line.json")
    place = (tmp_path / "line.json").read_text()
    line.close()
    (tmp_path / "line.json").write_text(place)
    with pytest.raises(ConnectionError):
        hand_over(_message(b"x"), _context(tmp_path / "line.json"))


def test_who_has_no_token_hands_nothing_over(line, tmp_path, task) -> None:
    import json

    path = tmp_path / "line.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    place = json.loads(path.read_text())
    forged = tmp_path / "forged.json"
    forged.write_text(json.dumps({**place, "token": "00" * 32}))
    with pytest.raises(ConnectionError):
        hand_over(_message(b"x"), _context(forged))
    assert line.receive(0.05) is None


def test_an_answer_to_a_client_app_that_is_gone_is_dropped(line, tmp_path, task) -> None:
    import json
    import socket

    from aegis.transport.flower import frames

    place = json.loads((tmp_path / "line.json").read_text())
    with socket.create_connection(("127.0.0.1", place["port"])) as end:
        end.sendall(bytes.fromhex(place["token"]))
        frames.write(end, frames.Kind.SEND, 0, b"x")
        parcel = line.receive(5)
    assert parcel is not None
    for _ in range(2):
        line.reply(parcel, bytes(10_000))
    assert threading.active_count() < 100
