"""The units for systemd: they load, and they give no more rights than are needed."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from aegis.cli.app import app

UNITS = sorted((Path(__file__).parents[2] / "deploy" / "systemd").glob("*.service"))
HARDENED = {
    **dict.fromkeys(("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectClock"), "yes"),
    **dict.fromkeys(("ProtectKernelModules", "ProtectKernelLogs", "RestrictSUIDSGID"), "yes"),
    "ProtectSystem": "strict",
    "CapabilityBoundingSet": "",
    "Restart": "always",
    "UMask": "0077",
}


class Twice(dict):
    """Keys that systemd lets a unit repeat are kept as one text."""

    def __setitem__(self, key, value):
        if key in self and isinstance(value, list):
            value = self[key] + value
        super().__setitem__(key, value)


def _service(unit):
    parser = configparser.ConfigParser(strict=False, interpolation=None, dict_type=Twice)
    parser.optionxform = str
    parser.read_string(unit.read_text(encoding="utf-8"))
    return parser["Service"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_is_hardened_and_comes_back(unit):
    service = _service(unit)
    assert {key: service[key] for key in HARDENED} == HARDENED
    assert int(service["RestartSec"]) > 0
    assert service["User"] not in ("", "root")
    assert service["ReadWritePaths"] == f"/var/lib/{service['StateDirectory']}"
    assert f"AEGIS_HOME={service['ReadWritePaths']}" in unit.read_text(encoding="utf-8")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_starts_a_command_that_aegis_knows(unit):
    program, *words = _service(unit)["ExecStart"].split()
    assert program == "/opt/aegis/bin/aegis"
    command = get_command(app)
    while words and not words[0].startswith(("--", "$")) and hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not here")
def test_systemd_itself_finds_no_fault(tmp_path):
    """With a program that exists in the place of ours; nothing is installed or started."""
    names = []
    for unit in UNITS:
        text = re.sub(r"/opt/aegis/bin/aegis", "/usr/bin/env", unit.read_text(encoding="utf-8"))
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
        names.append(str(tmp_path / unit.name.replace("@.", "@north.")))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *names], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
