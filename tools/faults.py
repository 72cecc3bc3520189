"""docs/faults.md, made from the table of faults: python -m tools.faults"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.faults.table import FAULTS, Fault
from tools.tables import code, table

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "faults.md"


def part(test: str) -> str:
    """The command that runs it."""
    file = Path(test.partition("::")[0])
    if file.parts[0] == "prove":
        return f"make prove PART={file.stem.removeprefix('test_')}"
    return "make test"


def _overview(fault: Fault) -> tuple[str, ...]:
    commands = list(dict.fromkeys(part(test) for test in fault.tests))
    return str(fault.number), fault.fault, fault.target, ", ".join(map(code, commands))


def _shown(fault: Fault) -> str:
    said = [f"### {fault.number}. {fault.fault}", f"{fault.target}."]
    said.append(
        "\n".join(f"- {sentence(test)} (`tests/{test.partition('::')[0]}`)" for test in fault.tests)
    )
    if fault.but:
        said.append(fault.but)
    return "\n\n".join(said)


def sentence(test: str) -> str:
    """What a test shows, as its name says it."""
    words = test.partition("::")[2].removeprefix("test_").replace("_", " ")
    return words[0].upper() + words[1:]


def page() -> str:
    parts = [
        "# Faults\n\n<!-- Made by `make evidence` from tests/faults/table.py. -->",
        "What may go wrong, what must then hold, and the command that shows it. Each row is a test "
        "that fails when its bar does not hold; below the table are their names, and what one "
        "machine cannot show.",
        table(("", "Fault", "What must hold", "Command"), map(_overview, FAULTS)),
        "Some need root on Linux (network namespaces, small disks, limited memory), Prosody, "
        "PostgreSQL or libfaketime, and say so when they are skipped. The bars stand in the tests.",
        "## What shows each",
        *map(_shown, FAULTS),
    ]
    return "\n\n".join(parts) + "\n"


def main(argv: list[str] | None = None) -> int:
    reader = argparse.ArgumentParser(description="Write docs/faults.md.")
    reader.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    check = reader.parse_args(argv).check
    text = page()
    stale = not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text
    if stale and not check:
        PAGE.write_text(text, encoding="utf-8")
    print(f"docs/faults.md is {'stale' if check and stale else 'as the table says'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
