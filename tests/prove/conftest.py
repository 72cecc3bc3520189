"""Slow proofs: each figure is kept under benchmarks/results/prove/, so a part that was cut off goes
on where it stopped. A figure counts for the source it was measured with and is measured anew after
any change of ``src``; set AEGIS_PROVE_AGAIN=1 to measure everything anew."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.prove.report import Tally

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "benchmarks" / "results" / "prove"


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Tally(), "tally of proofs")


@pytest.fixture(scope="session")
def source_sha256() -> str:
    digest = hashlib.sha256()
    for path in sorted((ROOT / "src").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@pytest.fixture(scope="session")
def begun() -> set[Path]:
    """The parts measured in this session."""
    return set()


@pytest.fixture
def measured(
    request: pytest.FixtureRequest, source_sha256: str, begun: set[Path]
) -> Callable[[str, Callable[[], Any]], Any]:
    """``measured(case, how)``: the kept figure of this case, or ``how()`` kept from now on."""
    path = KEPT / f"{Path(str(request.path)).stem.removeprefix('test_')}.json"

    def measure(case: str, how: Callable[[], Any]) -> Any:
        kept = json.loads(path.read_text()) if path.exists() else {}
        again = bool(os.environ.get("AEGIS_PROVE_AGAIN")) and path not in begun
        if kept.get("source") != source_sha256 or again:
            kept = {"source": source_sha256, "figures": {}}
        begun.add(path)
        if case not in kept["figures"]:
            kept["figures"][case] = how()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
        return kept["figures"][case]

    return measure
