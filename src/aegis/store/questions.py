"""``logs/queries.jsonl``: a line for each question that was asked, answered or not; no count."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aegis.store.home import Home


def note_question(
    home: Home,
    task: str,
    plan_sha256: str,
    question: Mapping[str, Any],
    question_sha256: str,
    epsilon: float | None,
    delta: float,
    answered: Sequence[str],
    refused: Mapping[str, str],
) -> None:
    """``epsilon`` is the price at each hospital, None for exact counts of public data; ``refused``
    says why, by hospital. On disk when this returns."""
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "task": task,
        "plan_sha256": plan_sha256,
        "question": question,
        "question_sha256": question_sha256,
        "epsilon": epsilon,
        "delta": None if epsilon is None else delta,
        "answered": list(answered),
        "refused": dict(refused),
    }
    path = home.root / "logs" / "queries.jsonl"
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(line, separators=(",", ":")) + "\n")
        file.flush()
        os.fsync(file.fileno())
