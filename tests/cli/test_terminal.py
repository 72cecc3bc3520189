"""What others say reaches a terminal as text."""

from __future__ import annotations

from aegis.cli import app as program
from aegis.cli.following import Following
from aegis.errors import CheckFailed
from aegis.events import HospitalAbsent

HOSTILE = "declined\x1b]0;owned\x07\x1b[2J\r\x9bgone\u202e"


def test_a_hospitals_reason_is_no_control_sequence(capsys):
    with Following() as follow:
        follow(HospitalAbsent("run", 1, "north", HOSTILE))
    told = capsys.readouterr().err
    assert "declined" in told
    assert not {"\x1b", "\x07", "\r", "\x9b", "\u202e"} & set(told)


def test_nor_is_what_a_server_answers(capsys, monkeypatch):
    def hostile(*_, **__):
        raise CheckFailed(HOSTILE, "one line\nand another")

    monkeypatch.setattr(program, "app", hostile)
    assert program.run_command(["hospital", "join"]) == CheckFailed("x").exit_code
    told = capsys.readouterr().err
    assert "one line\nand another" in told
    assert not {"\x1b", "\x07", "\r", "\x9b", "\u202e"} & set(told)
