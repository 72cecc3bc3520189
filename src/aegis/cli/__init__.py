"""The command line. Each command answers ``--json`` with one object and exits 0, 1, 2 or 3."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; errors become one or two lines (or one JSON object) and an exit code."""
    from aegis.cli.app import run_command

    sys.exit(run_command(list(sys.argv[1:] if argv is None else argv)))
