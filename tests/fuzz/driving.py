"""Many cases through one harness, by seed: case n is the same today and tomorrow."""

from __future__ import annotations

import hashlib
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.fuzz.harness import Finding, Harness, judged

HARNESSES = (
    *("arff", "codecs", "descriptions", "enrolment", "envelopes", "exports", "fhir", "models"),
    *("notes", "pictures", "plans", "policies", "questions", "stanzas", "tables", "uploads"),
)
KEPT = Path(__file__).parents[2] / "benchmarks" / "results" / "prove" / "fuzz"  # not in the archive


def harness(name: str) -> Harness:
    found: Harness = import_module(f"tests.fuzz.{name}").HARNESS
    return found


def driven(one: Harness, cases: int, begin: int = 0) -> tuple[dict[str, Any], list[Finding]]:
    """What happened, and a finding for each fault: the smallest case that shows it."""
    found: dict[tuple[str, str, str], Finding] = {}
    for data in one.seeds():  # what is imported late is imported now
        _noted(found, judged(one, data))
    for number in range(begin, begin + cases):
        _noted(found, judged(one, one.case(number)))
    findings = sorted(found.values(), key=lambda each: each.key)
    told = {"cases": cases, "findings": [f"{each} {kept(each)}" for each in findings]}
    return told, findings


def kept(finding: Finding) -> str:
    """How to see it again; the case is put where no archive takes it."""
    name = hashlib.sha256(finding.data).hexdigest()[:16]
    path = KEPT / finding.harness / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(finding.data)
    return f"(replay: python -m tests.fuzz.{finding.harness} {path.relative_to(KEPT.parents[3])})"


def _noted(found: dict[tuple[str, str, str], Finding], new: Finding | None) -> None:
    if new is not None:
        before = found.get(new.key)
        if before is None or len(new.data) < len(before.data):
            found[new.key] = new
