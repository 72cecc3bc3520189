"""A plan that came over the wire: a plan file's text, or the same as JSON."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from aegis.console.coordinator.api.admissible import admissible
from aegis.errors import BadInput
from aegis.plan import Plan, load_plan

MOST_TEXT = 64_000


def plan_said(said: dict[str, Any] | str) -> Plan:
    """Only what was sent counts: this machine's environment has no say. Raises ``PlanError``."""
    admissible(said)
    text = said if isinstance(said, str) else json.dumps(said)
    if len(text) > MOST_TEXT:
        raise BadInput(f"a plan of {len(text)} characters", f"at most {MOST_TEXT}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.yaml"
        path.write_text(text, encoding="utf-8")
        return load_plan(path, {}, {}, None).plan
