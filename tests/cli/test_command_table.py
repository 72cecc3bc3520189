"""The table of commands: every entry is there, and none loads more than itself."""

import subprocess
import sys

import pytest
import typer

from aegis.cli.app import app
from aegis.cli.commands import COMMANDS

ROOT = typer.main.get_command(app)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_of_the_table_is_in_its_module(name):
    assert ROOT.commands[name].name == name


@pytest.mark.parametrize("name", COMMANDS)
def test_its_line_fits_a_terminal_of_eighty_columns(name):
    assert len(COMMANDS[name][1]) <= 80 - 2 - len("experiments") - 2 - 2


def test_every_module_that_registers_at_the_top_is_in_the_table():
    from pathlib import Path

    import aegis.cli

    folder = Path(next(iter(aegis.cli.__path__)))
    there = {
        path.stem
        for path in folder.glob("*.py")
        if "def register(app: typer.Typer)" in path.read_text("utf-8")
    }
    assert there == {module for module, _ in COMMANDS.values()}


def test_one_command_does_not_load_another():
    code = "import sys; from aegis.cli.app import run_command; run_command(['plan', '--help']);"
    code += "print(sorted(m for m in sys.modules if m.startswith('aegis.cli.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = done.stdout.splitlines()[-1]
    assert "'aegis.cli.plan'" in found
    assert "'aegis.cli.run'" not in found


def test_a_misspelt_command_is_answered_with_the_nearest_once(capsys):
    from aegis.cli.app import run_command

    assert run_command(["hospitl"]) == 2
    assert capsys.readouterr().err.count("Did you mean") == 1
