"""The child process: what it costs when it cannot start, and that it never outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aegis.errors import AegisError, MissingExtra
from aegis.transport import flower
from aegis.transport.flower import process
from aegis.transport.flower.process import SuperLink

GUARDIAN = Path(process.__file__).with_name("guardian.py")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups")


def test_without_flower_the_extra_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(flower.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r'pip install -e "\.\[flower\]"'):
        SuperLink(tmp_path / "home", None).start()


def test_a_superlink_that_dies_is_told_with_its_last_words(tmp_path, monkeypatch) -> None:
    script = tmp_path / "flower-superlink"
    script.write_text("#!/bin/sh\necho the database is from another version\nexit 3\n")
    script.chmod(0o700)
    monkeypatch.setattr(process, "program", lambda name: str(script))
    monkeypatch.setattr(process, "require_flower", lambda: None)
    superlink = SuperLink(tmp_path / "home", None)
    begin = time.monotonic()
    with pytest.raises(AegisError, match=r"code 3.*the database is from another version"):
        superlink.start()
    assert time.monotonic() - begin < 10
    assert not superlink.alive
    superlink.stop()
    superlink.stop()


def _guarded(tmp_path: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A guardian, and the number of what its child started."""
    note = tmp_path / "pid"
    guardian = subprocess.Popen(
        [
            *(sys.executable, "-S", "-E", str(GUARDIAN), "sh", "-c"),
            f"sleep 60 & echo $! > {note}.new; mv {note}.new {note}; wait",
        ],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    until = time.monotonic() + 10
    while not note.exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    return guardian, int(note.read_text())


def _is_gone(pid: int) -> bool:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("how", ["end of input", "asked", "terminated"])
def test_a_guardian_takes_everything_with_it(tmp_path, how) -> None:
    guardian, grandchild = _guarded(tmp_path)
    assert guardian.stdin is not None
    if how == "asked":
        guardian.stdin.write(b"end\n")
        guardian.stdin.flush()
    if how == "terminated":
        guardian.send_signal(signal.SIGTERM)
    else:
        guardian.stdin.close()
    guardian.wait(10)
    guardian.stdin.close()
    assert _is_gone(grandchild)
