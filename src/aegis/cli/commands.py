"""Which module holds which command, and its line in ``aegis --help``; no other is loaded for it.

A line here fits one row of that list; a command's own help says more.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

# name -> (module in this room, its line)
COMMANDS = {
    "demo": ("demo", "Five hospitals train one private breast-cancer model; seconds"),
    "run": ("run", "Run one federation from a plan; go on with one that stopped"),
    "simulate": ("run", "Short form of run, without a plan file"),
    "report": ("report", "Show a stored run again, or write its report as one file"),
    "console": ("console", "Look at finished runs and run rehearsals in a browser"),
    "plan": ("plan", "Check a plan, or explain every value of it"),
    "data": ("data", "List, fetch, describe and check data sets"),
    "doctor": ("doctor", "Check the installation, the data root, a hospital's line"),
    "coordinator": ("coordinator", "The coordinator: run it, invite and admit hospitals"),
    "hospital": ("hospital", "A hospital: make it, join, serve; its policy and approvals"),
    "people": ("people", "Who may use a console, and as what"),
    "keys": ("keys", "Make, change, revoke and list signing keys"),
    "ca": ("ca", "The federation's own certificates for TLS"),
    "audit": ("audit", "Verify what happened; attack a stored model"),
    "attack": ("attack", "Run a plan with dishonest hospitals, rule beside rule"),
    "query": ("query", "Ask all hospitals for noisy, charged counts of patients"),
    "models": ("models", "The registry: every model a run has stored"),
    "experiments": ("experiments", "Every run with its plan, environment, events, result"),
    "backup": ("backup", "Back up the data root, also while a run is on; restore it"),
    "migrate": ("migrate", "Bring an older data root to the present format"),
    "tracking": ("tracking", "Mirror runs to MLflow; no run ever waits for it"),
    "bench": ("bench", "Measure side by side with peers; quote the ratios"),
}


class _Held(MutableMapping[str, Any]):
    """Commands by name, in the order of ``COMMANDS``; each is built when it is looked up."""

    def __init__(self) -> None:
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            room = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
            import_module(f"aegis.cli.{COMMANDS[name][0]}").register(room)
            self._built |= typer.main.get_group(room).commands
        return self._built[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._built[name] = command

    def __delitem__(self, name: str) -> None:
        del self._built[name]

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Commands(TyperGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes | {"commands": None})
        self.commands: Any = _Held()

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])
