"""The window without a road, as ``aegis console`` opens it."""

from __future__ import annotations

import http.client
import threading

import pytest

from aegis.console.looking import run_console
from aegis.console.running import TOKEN
from aegis.errors import BadInput
from aegis.operations.coordinator.office import Office
from aegis.store.home import Home


def test_a_data_root_without_hospitals_shows_its_pages(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path))
    stop = threading.Event()
    thread = threading.Thread(
        target=run_console, kwargs={"host": "127.0.0.1", "port": 0, "stop": stop}, daemon=True
    )
    thread.start()
    said = ""
    for _ in range(100):
        said += capsys.readouterr().out
        if "Open:" in said:
            break
        thread.join(0.1)
    try:
        port = int(said.rpartition("Open:")[2].strip().rpartition(":")[2])
        token = (tmp_path / "keys" / TOKEN).read_text()
        for path in ("/", "/agents", "/training", "/clinical", "/privacy", "/audit", "/models"):
            caller = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            caller.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            assert caller.getresponse().status == 200, path
            caller.close()
    finally:
        stop.set()
        thread.join(20)
    assert "/welcome?token=" in said


def test_the_window_is_for_this_machine_only():
    with pytest.raises(BadInput, match="open to the network"):
        run_console(host="0.0.0.0", port=0)


def test_a_coordinator_on_the_same_data_root_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path))
    home = Home(tmp_path).prepare()
    with Office(home).alone(), pytest.raises(BadInput, match="runs on"):
        run_console(host="127.0.0.1", port=0)
