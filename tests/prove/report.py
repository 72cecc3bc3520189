"""What a whole part came to, kept in benchmarks/results/proofs.json for the page of evidence.

A part that was cut off, or of which only some tests were asked for, is no whole part and leaves
what is kept there as it is.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REPORT = HERE.parents[1] / "benchmarks" / "results" / "proofs.json"
SETTING = ("AEGIS_ROADS",)


class Tally:
    """A plugin of one session of pytest."""

    def __init__(self, report: Path = REPORT) -> None:
        self._report, self._found = report, Counter[str]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._found["failed"] += 1
        elif report.skipped:
            self._found["skipped"] += 1
        elif report.when == "call":
            self._found["passed"] += 1

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        key = part_of(session.config)
        if key is None or exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            return
        known = json.loads(self._report.read_text()) if self._report.exists() else {}
        counted = {name: self._found[name] for name in ("passed", "failed", "skipped")}
        known[key] = {**counted, "date": time.strftime("%Y-%m-%d", time.gmtime())}
        self._report.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


def part_of(config: pytest.Config) -> str | None:
    """The part that this session runs whole, with what narrows it, if it is one."""
    option = config.option
    if option.markexpr != "prove" or option.keyword or option.collectonly or option.maxfail:
        return None
    if len(config.args) != 1 or "::" in config.args[0]:
        return None
    path = Path(config.args[0]).resolve()
    if path.parent != HERE or not path.name.startswith("test_"):
        return None
    said = [f"{name}={os.environ[name]}" for name in SETTING if os.environ.get(name)]
    return " ".join([path.stem.removeprefix("test_"), *said])
