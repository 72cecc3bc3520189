"""The commands of the README, with what each is expected to end with."""

from __future__ import annotations

from pathlib import Path

from tests.docs.pages import ROOT, boxes, joined

CHEAP = ("query", "plan", "doctor", "keys", "data check")
# What a command may end with besides 0: a verdict, or a plan that is not sound.
ENDS = {"audit membership": (0, 1), "plan check": (2,)}


def commands() -> list[str]:
    found = [c for box in boxes(ROOT / "README.md") for c in joined(box.lines)]
    return [command for command in found if command.startswith("aegis ") and "demo" not in command]


def expected(command: str) -> tuple[int, ...]:
    return next((codes for start, codes in ENDS.items() if f"aegis {start}" in command), (0,))


def cheap(command: str) -> bool:
    return command.removeprefix("aegis ").startswith(CHEAP)


def furnish(desk: Path) -> None:
    """What the README takes for granted: a checkout, and a table of one's own."""
    (desk / "config").symlink_to(ROOT / "config")
    rows = "".join(f"{40 + n},{n % 2},{n % 3 > 1:d}\n" for n in range(60))
    (desk / "my_hospital.csv").write_text(f"age,smoker,outcome\n{rows}", encoding="utf-8")
